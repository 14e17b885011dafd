"""Files in a folder and the objects that they are copies of."""

from __future__ import annotations

from pathlib import Path

from asyncreport.core.job import Part
from asyncreport.core.timeline import DAY, Interval
from asyncreport.store.objects.bucket import Found
from asyncreport.store.objects.copied_files import CopiedFiles
from tests.buckets import FakeBucket


class Counting(FakeBucket):
    """Count what is read of objects."""

    ranges = 0

    def read_range(self, key: str, start: int, length: int) -> bytes:
        self.ranges += 1
        return self.objects[key].data[start : start + length]


def test_the_index_of_a_part_is_brought_once(tmp_path: Path) -> None:
    """Several steps of a run want it; a finished job may have 10,000 parts."""
    bucket = Counting()
    bucket.write("job/part-1", b"rows;index")
    files = CopiedFiles(bucket.bucket, tmp_path, lambda: None)
    path = files.path("job/part-1")
    part = Part(
        connection="default",
        number=1,
        fingerprint="",
        month="1970-01",
        interval=Interval(0, DAY),
        users=None,
        fetched_at=0,
        count=1,
        size=10,
        index_at=5,
        sha256="",
        edges=None,
    )
    files.make_empty(path, Found("job/part-1", 10, "", 0), 0)
    files.fetch_ends([(path, part)])
    files.fetch_ends([(path, part)])
    assert path.read_bytes() == b"\0\0\0\0\0index"
    assert bucket.ranges == 1
