"""Shorten a manifest whose lines mostly describe parts that were replaced. Owns nothing."""

from __future__ import annotations

from asyncreport.store.atomic import atomic_write
from asyncreport.store.manifest import Manifest
from asyncreport.store.manifest_lines import seal
from asyncreport.store.replacement import PRIVATE


def compact(manifest: Manifest) -> Manifest:
    """Write a manifest again without its replaced parts, whose files are deleted already.

    The file is replaced as a whole: a reader sees either the old lines or the new ones.
    Raise StoreError.
    """
    manifest.check_unchanged()
    content = b"".join(map(seal, manifest.live_lines()))
    with atomic_write(manifest.path, owner=manifest.folder, mode=PRIVATE) as sink:
        sink.write(content)
    shorter = Manifest.read(manifest.folder)
    shorter.start_writing()
    return shorter
