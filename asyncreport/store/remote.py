"""Where parts are kept, if their folder is a copy: in a bucket, or nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from asyncreport.core.job import Part


class PartSource(Protocol):
    """What brings the content of parts into their folder; the methods raise StoreError.

    They may be called in any thread, but not in that of the event loop: they take their time.
    """

    def fetch(self, parts: Iterable[Part]) -> None:
        """Bring all of the parts that are not there, many at the same time."""

    def fetch_indexes(self, parts: Iterable[Part]) -> None:
        """Bring what says which users have records in parts."""


class Remote(PartSource, Protocol):
    """Where the parts of one connection are kept; the methods raise StoreError.

    What it was given is durable there when it returns.
    """

    def append(self, lines: bytes) -> None:
        """Commit lines of the manifest."""

    def replace(self, lines: bytes) -> None:
        """Commit lines as the whole manifest."""

    def save_part(self, part: Part) -> None:
        """Keep the file of a part that is not committed yet."""

    def save(self, path: Path) -> None:
        """Keep another file of the folder."""

    def delete(self, path: Path) -> None:
        """Delete the file of a damaged part."""


class Nowhere:
    """The remote of a folder that is not a copy: does nothing."""

    def append(self, lines: bytes) -> None:
        """Do nothing."""

    def replace(self, lines: bytes) -> None:
        """Do nothing."""

    def save_part(self, part: Part) -> None:
        """Do nothing."""

    def save(self, path: Path) -> None:
        """Do nothing."""

    def delete(self, path: Path) -> None:
        """Do nothing."""

    def fetch(self, parts: Iterable[Part]) -> None:
        """Do nothing."""

    def fetch_indexes(self, parts: Iterable[Part]) -> None:
        """Do nothing."""


NOWHERE = Nowhere()

#: gives the remote of a connection by its name
Remotes = Callable[[str], Remote]


def nowhere(_: str) -> Remote:
    """Give the remote of a folder that is not a copy."""
    return NOWHERE
