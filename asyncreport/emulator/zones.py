"""The time zones of the emulated server: today's rules, whatever the system has. Owns nothing."""

from __future__ import annotations

from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo


@cache
def load_zone(name: str) -> ZoneInfo:
    """Load a zone of the package tzdata; raise ValueError for an unknown zone."""
    package = resources.files("tzdata")
    names = package.joinpath("zones").read_text("utf-8").split()
    if name not in names:
        raise ValueError(name)
    path = package.joinpath("zoneinfo", *name.split("/"))
    with path.open("rb") as file:
        return ZoneInfo.from_file(file, key=name)
