"""The time zones, names and rules, of the package tzdata. Reads its files; owns none.

Not the system's: another machine, or an old one, would have other rules for the same days. Only the
name of this machine's zone is the system's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
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


def machine_zone(environ: Mapping[str, str], settings: Path = Path("/etc")) -> str:
    """Find the name of this machine's time zone; UTC if it cannot be found.

    The variable TZ comes first, then the link `localtime` and the file `timezone` in the folder of
    settings. Windows has neither.
    """
    link = os.path.realpath(settings / "localtime")
    variable = environ.get("TZ", "").removeprefix(":")
    for name in (variable, link.rpartition("/zoneinfo/")[2], _first_line(settings)):
        if name in zone_names():
            return "UTC" if name == "Etc/UTC" else name
    return "UTC"


def _first_line(settings: Path) -> str:
    """Read the name in the file `timezone`, which Debian has; nothing if there is none."""
    try:
        return (settings / "timezone").read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
