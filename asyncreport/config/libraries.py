"""What needs a library that may not be installed. Pure, except that it looks for libraries."""

from __future__ import annotations

from asyncreport.config.validate import Place
from asyncreport.formats import Library


def check_library(place: Place, what: str, library: Library) -> None:
    """Refuse what needs a library that is not installed; raise ConfigError."""
    if not library.is_installed:
        raise place.error(f"{what} {library.needed}")
