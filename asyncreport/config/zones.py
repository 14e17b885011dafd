"""The time zones, names and rules, of the package tzdata. Reads its files; owns none.

Not the system's: another machine, or an old one, would have other rules for the same days.
"""

from __future__ import annotations

from functools import cache, lru_cache
from importlib import resources
from zoneinfo import ZoneInfo


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Give the names of all time zones."""
    # The system's own list also has `localtime`, and differs between machines.
    names = resources.files("tzdata") / "zones"
    return frozenset(names.read_text("utf-8").split())


@cache
def load_zone(name: str) -> ZoneInfo:
    """Load the rules of a zone in `zone_names`."""
    # Not `ZoneInfo(name)`: it prefers the system's files.
    path = resources.files("tzdata").joinpath("zoneinfo", *name.split("/"))
    with path.open("rb") as file:
        return ZoneInfo.from_file(file, key=name)
