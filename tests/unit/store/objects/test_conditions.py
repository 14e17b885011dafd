"""A storage that ignores conditions is refused before anything is kept in it."""

from __future__ import annotations

import pytest

from asyncreport.core.errors import StoreError
from asyncreport.store.objects.bucket import Content
from asyncreport.store.objects.conditions import check_conditions
from tests.buckets import FakeBucket


def test_a_storage_with_conditions_is_accepted() -> None:
    bucket = FakeBucket()
    check_conditions(bucket.bucket, "exports")
    assert not bucket.objects


class WithoutIfMatch(FakeBucket):
    """If-None-Match works, If-Match is ignored."""

    def replace(self, key: str, data: bytes, _: str) -> str | None:
        return self.write(key, data)


class Refusing(FakeBucket):
    """Each replacement is refused."""

    def replace(self, *_: object) -> str | None:
        return None


@pytest.mark.parametrize(
    ("bucket", "fact"),
    [
        (FakeBucket(conditional=False), r"written again though If-None-Match is \*"),
        (WithoutIfMatch(), "replaced though If-Match is an etag of before"),
        (Refusing(), "not replaced though If-Match is its etag"),
    ],
)
def test_a_storage_without_conditions_is_refused(bucket: FakeBucket, fact: str) -> None:
    bucket.objects["other"] = Content(b"", "", 0)
    with pytest.raises(StoreError, match=f"cannot hold an export: .* {fact}"):
        check_conditions(bucket.bucket, "exports")
    assert list(bucket.objects) == ["other"]
