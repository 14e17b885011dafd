"""Where the parts of a connection are kept, if its folder is a copy: a bucket, or nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from asyncreport.core.job import Part


class Remote(Protocol):
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

    def fetch(self, parts: Iterable[Part]) -> None:
        """Bring the content of parts into the folder."""


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


NOWHERE = Nowhere()

#: gives the remote of a connection by its name
Remotes = Callable[[str], Remote]


def nowhere(_: str) -> Remote:
    """Give the remote of a folder that is not a copy."""
    return NOWHERE
