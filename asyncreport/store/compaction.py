"""Shorten a manifest, and delete the part files that it does not name. Owns nothing."""

from __future__ import annotations

import re
from collections.abc import Callable

from asyncreport.core.job import Part
from asyncreport.store.atomic import atomic_write
from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.manifest import Manifest
from asyncreport.store.manifest_lines import seal
from asyncreport.store.replacement import PRIVATE

_PART = re.compile(r"part-\d{8,}\.jsonl")


def compact(manifest: Manifest, is_kept: Callable[[Part], bool] = lambda _: True) -> Manifest:
    """Write a manifest again without its replaced parts, whose files are deleted already.

    `is_kept` tells which of the other parts stay in it. Raise StoreError.
    """
    return change_parts(manifest, lambda part: part if is_kept(part) else None)


def change_parts(manifest: Manifest, change: Callable[[Part], Part | None]) -> Manifest:
    """Write a manifest again with what `change` makes of each part; None leaves it out.

    The file is replaced as a whole: a reader sees either the old lines or the new ones.
    Raise StoreError.
    """
    manifest.check_unchanged()
    content = b"".join(map(seal, manifest.live_lines(change)))
    manifest.remote.replace(content)
    with atomic_write(manifest.path, owner=manifest.folder, mode=PRIVATE) as sink:
        sink.write(content)
    shorter = Manifest.read(manifest.folder, manifest.remote)
    shorter.start_writing()
    return shorter


def keep_only(manifest: Manifest, is_kept: Callable[[Part], bool]) -> Manifest:
    """Delete the parts that are not to be kept, if there are any; raise StoreError."""
    if all(map(is_kept, manifest.live_parts())):
        return manifest
    # This is the commit. Before the files are deleted: a manifest that names a file that is gone
    # would say that the part was lost.
    shorter = compact(manifest, is_kept)
    delete_unnamed(shorter)
    return shorter


def delete_unnamed(manifest: Manifest) -> int:
    """Delete the files of parts that no manifest line names; give their bytes. Raise StoreError."""
    named = manifest.files()
    deleted = 0
    with oserror_as_store_error(manifest.folder, "cleaned up"):
        for path in manifest.folder.iterdir():
            if _PART.fullmatch(path.name) and path.name not in named:
                deleted += path.stat().st_size
                path.unlink()
    # The folder is not synced: a file that comes back after a power cut is deleted next time.
    return deleted
