"""Which part files exist and were not cut short. Owns nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from asyncreport.core.job import Part
from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.parts import part_name, part_path


def with_files(parts: Iterable[Part], folder: Path) -> list[Part]:
    """Keep the parts whose files have the right size; raise StoreError."""
    sizes = _file_sizes(folder)
    return [part for part in parts if sizes.get(part_name(part.number)) == part.size]


def describe_loss(part: Part, folder: Path) -> str:
    """Say what happened to the file of a lost part, in the folder of all connections."""
    path = part_path(folder, part)
    name = f"{path} ({part.interval})"
    try:
        size = path.stat().st_size
    except OSError:
        return f"{name} has disappeared"
    return f"{name} is damaged: it has {size:,} bytes instead of {part.size:,}"


def _file_sizes(folder: Path) -> Mapping[str, int]:
    """List the files of a folder with their sizes: one call for all is faster than one each."""
    with oserror_as_store_error(folder, "listed"):
        try:
            with os.scandir(folder) as entries:
                return {entry.name: entry.stat().st_size for entry in entries}
        except FileNotFoundError:
            return {}
