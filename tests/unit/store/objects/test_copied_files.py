"""Files in a folder and the objects that they are copies of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest

from asyncreport.core.errors import Interrupted
from asyncreport.core.job import Part
from asyncreport.core.timeline import DAY, Interval
from asyncreport.store.objects.bucket import Found
from asyncreport.store.objects.copied_files import CopiedFiles
from asyncreport.store.threads import check_stopped, run_in_thread
from tests.buckets import FakeBucket

SIZE = len(b"rows;index")


def part(number: int) -> Part:
    """Make a part whose index begins at the byte 5."""
    return Part(
        connection="default",
        number=number,
        fingerprint="",
        month="1970-01",
        interval=Interval(0, DAY),
        users=None,
        fetched_at=0,
        count=1,
        size=SIZE,
        index_at=5,
        sha256="",
        edges=None,
    )


def copied_parts(bucket: FakeBucket, folder: Path, count: int) -> tuple[CopiedFiles, list[Path]]:
    """Make files without content of objects."""
    files = CopiedFiles(bucket.bucket, folder, check_stopped)
    paths = []
    for number in range(count):
        key = f"job/part-{number}"
        bucket.write(key, b"rows;index")
        paths.append(files.path(key))
        files.make_empty(paths[-1], Found(key, SIZE, "", 0), 0)
    return files, paths


def test_the_index_of_a_part_is_brought_once(tmp_path: Path) -> None:
    """Several steps of a run want it; a finished job may have 10,000 parts."""
    bucket = FakeBucket()
    files, (path,) = copied_parts(bucket, tmp_path, 1)
    files.fetch_ends([(path, part(0))])
    files.fetch_ends([(path, part(0))])
    assert path.read_bytes() == b"\0\0\0\0\0index"
    assert bucket.reads == ["job/part-0"]


def fetch_ends(files: CopiedFiles, paths: list[Path]) -> None:
    files.fetch_ends((path, part(number)) for number, path in enumerate(paths))


def download_all(files: CopiedFiles, _: list[Path]) -> None:
    files.bucket.each(files.download, files.bucket.list_all("job"))


@pytest.mark.parametrize("bring", [CopiedFiles.fetch, fetch_ends, download_all])
def test_after_a_stop_no_download_begins(
    tmp_path: Path, bring: Callable[[CopiedFiles, list[Path]], None]
) -> None:
    """The task is cancelled during the third of 60."""
    bucket = FakeBucket()
    files, paths = copied_parts(bucket, tmp_path, 60)
    raised: list[Exception] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(run_in_thread(work))

        def stop_at_third(_: str) -> None:
            if len(bucket.reads) == 3:
                loop.call_soon_threadsafe(task.cancel)
                assert events[0].wait(30)

        bucket.before_read = stop_at_third
        with pytest.raises(asyncio.CancelledError):
            await task

    events: list[Event] = []

    def work(stopped: Event) -> None:
        events.append(stopped)
        try:
            bring(files, paths)
        except Interrupted as error:
            raised.append(error)

    asyncio.run(main())
    assert len(bucket.reads) == 3
    assert len(raised) == 1
