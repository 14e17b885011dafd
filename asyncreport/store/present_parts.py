"""Which part files exist and were not cut short. Owns nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from asyncreport.core.job import Part
from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.parts import part_name


def with_files(parts: Iterable[Part], folder: Path) -> list[Part]:
    """Keep the parts whose files have the right size; raise StoreError."""
    sizes = _file_sizes(folder)
    return [part for part in parts if sizes.get(part_name(part.number)) == part.size]


def _file_sizes(folder: Path) -> Mapping[str, int]:
    """List the files of a folder with their sizes: one call for all is faster than one each."""
    with oserror_as_store_error(folder, "listed"):
        try:
            with os.scandir(folder) as entries:
                return {entry.name: entry.stat().st_size for entry in entries}
        except FileNotFoundError:
            return {}
