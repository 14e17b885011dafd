"""Check before a merge that its files can be written: records per file, bytes on the disks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from asyncreport.core.errors import ConfigError, StoreError
from asyncreport.store.disk_errors import free_bytes, oserror_as_store_error
from asyncreport.store.parts import PartReader
from asyncreport.store.sizes import lines_size, record_count
from asyncreport.store.target import Target


def check_counts(targets: Iterable[Target], reader: PartReader) -> None:
    """Raise ConfigError if a file will have more records than its format can hold.

    Records that are surely in the file count. Only indexes are read; raise StoreError.
    """
    for target in targets:
        form = target.form
        if form.format.most_records is not None and form.rollup is None:
            check_records(target, record_count(target, reader))


def check_records(target: Target, count: int) -> None:
    """Raise ConfigError if a file has more records than its format can hold."""
    form = target.form.format
    if form.most_records is not None and count > form.most_records:
        raise ConfigError(
            f"{target.path} would have {count:,} rows, and a sheet of {form.about} has room for "
            f"{form.most_records:,}; put {{month}} into its path, or write .csv or .parquet"
        )


def check_space(groups: Sequence[Sequence[Target]], reader: PartReader) -> None:
    """Raise StoreError if a disk has less space than files of equal contents need together.

    Only if some of them are converted: then lines and converted files are there at the same time.
    """
    needed: defaultdict[int, int] = defaultdict(int)
    folders: dict[int, Path] = {}
    for group in groups:
        size = lines_size(group[0], reader)
        for folder, share in _shares(group, reader.folder):
            device = _device(folder)
            needed[device] += round(size * share)
            folders[device] = folder
    for device, bytes_needed in needed.items():
        _check_disk(folders[device], bytes_needed)


def _shares(group: Sequence[Target], state: Path) -> Iterable[tuple[Path, float]]:
    """Give the folder of each file and its bytes for each byte of lines."""
    if group[0].form.format.convert is not None:
        yield state, 1
    for target in group:
        yield _existing(target.path.parent), target.form.format.share


def _existing(folder: Path) -> Path:
    """Give a folder, or the nearest around it that exists."""
    return next(each for each in (folder, *folder.parents) if each.exists())


def _device(folder: Path) -> int:
    """Identify the disk of a folder; raise StoreError."""
    with oserror_as_store_error(folder, "read"):
        return folder.stat().st_dev


def _check_disk(folder: Path, needed: int) -> None:
    """Raise StoreError if a disk has too little space."""
    with oserror_as_store_error(folder, "read"):
        free = free_bytes(folder)
    if free < needed:
        raise StoreError(
            f"{folder}: the output files need about {needed:,} bytes and {free:,} are free; "
            "free some space on this disk and run again: finished work is kept"
        )
