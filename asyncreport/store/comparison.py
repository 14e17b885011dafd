"""Compare replaced parts with those that replaced them, and write down what changed."""

from __future__ import annotations

from threading import Event

from asyncreport.store.manifest import Manifest
from asyncreport.store.restatements import NAME, Replaced, Restatements, append_restatements


def compare_replaced(manifest: Manifest, stopped: Event, *, at: int) -> Restatements:
    """List the values that differ in replaced parts; `at` is now.

    Raise StoreError, and Interrupted once `stopped` is set.
    """
    replaced = [pair for pair in manifest.replaced() if _is_comparable(pair)]
    if not replaced:
        return Restatements()
    appended = append_restatements(
        manifest.folder,
        replaced,
        stopped,
        at=at,
        length=manifest.changes_length,
        source=manifest.remote,
    )
    if appended.restatements.values:
        manifest.remote.save(manifest.folder / NAME)
    # After the lines are durable: the length that counts is the one in the manifest.
    manifest.note_changes(appended.length, replaced)
    return appended.restatements


def _is_comparable(pair: Replaced) -> bool:
    """Tell whether both parts have the same buckets: otherwise every row would differ."""
    return pair.old.edges in (None, pair.new.edges)
