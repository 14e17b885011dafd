"""Whether a storage keeps its promise about conditional writes. Owns nothing."""

from __future__ import annotations

import uuid

from asyncreport.core.errors import StoreError
from asyncreport.store.objects.bucket import Bucket


def check_conditions(bucket: Bucket, folder: str) -> None:
    """Raise StoreError for a storage that writes though a condition is not met.

    With such a storage two processes could write one export, and neither would know.
    """
    # First: some storages create a bucket that does not exist at the first write.
    bucket.list_folder(folder)
    key = f"{folder}/condition-{uuid.uuid4().hex}"
    try:
        _try(bucket, key)
    finally:
        bucket.delete([key])


def _try(bucket: Bucket, key: str) -> None:
    """Try each condition with an object of its own."""
    etag = bucket.create(key, b"1")
    if etag is None or bucket.create(key, b"2") is not None:
        raise _unusable(bucket, "an object that exists is written again though If-None-Match is *")
    new = bucket.replace(key, b"3", etag)
    if new is None:
        raise _unusable(bucket, "an object is not replaced though If-Match is its etag")
    if bucket.replace(key, b"4", etag) is not None:
        raise _unusable(bucket, "an object is replaced though If-Match is an etag of before")


def _unusable(bucket: Bucket, fact: str) -> StoreError:
    """Make the error for a storage without conditions."""
    return StoreError(
        f"s3://{bucket.name} cannot hold an export: it has no conditional writes ({fact}), "
        "so two runs at the same time could damage it; use a storage that has them, or a disk"
    )
