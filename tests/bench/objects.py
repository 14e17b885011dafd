"""A job in a bucket against the same job on disk: a run, and a run again with many parts.

The storages are on loopback. `python -m tests.bench.objects` takes some minutes.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from asyncreport.core.timeline import DAY, iso, parse_iso
from asyncreport.store.objects.bucket import Bucket
from tests.bench.answers import UNLIMITED, job_of, run
from tests.bench.standin import Standin, Work, standin
from tests.bench.state import CHUNKS, fill, job_of_hours
from tests.bench.table import Line, print_lines
from tests.object_servers import Storage, moto, seaweed

START = parse_iso("2024-01-01T00:00:00Z")
#: of a bucket that is far away
SECONDS = 0.15
PER_MINUTE = 300
STORAGES: dict[str, Callable[[], AbstractContextManager[Storage]]] = {
    "SeaweedFS": seaweed,
    "moto": moto,
}


def lines(*, quick: bool = False) -> Iterator[Line]:
    """Compare times with those on disk, and with a budget."""
    days, chunks = (1, 50) if quick else (5, CHUNKS)
    with standin(Work()) as server:
        disk = _export(server, "", days)
        for name, start in STORAGES.items():
            with start() as storage, patch.dict(os.environ, storage.environ):
                storage.bucket("bench").close()
                yield _against_disk(name, disk, _export(server, "s3://bench/", days), days)
                if start is seaweed:
                    yield from _many_parts(storage, chunks)
                    yield _far(10 if quick else 100)


def _export(server: Standin, place: str, days: int) -> dict[str, Any]:
    """Run a job of 1,000 agents by the half hour; `place` is a bucket, empty for the disk."""
    with tempfile.TemporaryDirectory() as name:
        path = job_of(
            server,
            Path(name),
            start=iso(START),
            end=iso(START + days * DAY),
            everyone=True,
            per_minute=UNLIMITED,
            output={"path": f"{place or name + '/'}run.jsonl"},
        )
        return run(path)


def _against_disk(name: str, disk: dict[str, Any], found: dict[str, Any], days: int) -> Line:
    """Compare a run with the same on disk."""
    ratio = found["seconds"] / disk["seconds"]
    return Line(
        f"a run of {days * 48_000:,} records in a bucket of {name}, against the same on disk",
        "at most 1.5 x",
        f"{ratio:.2f} x ({found['seconds']:.1f} s against {disk['seconds']:.1f} s), "
        f"{found['rss_mb']:.0f} MB against {disk['rss_mb']:.0f} MB",
        ratio <= 1.5,
    )


def _many_parts(storage: Storage, chunks: int) -> Iterator[Line]:
    """Run a finished job of many parts again."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = job_of_hours(folder, chunks)
        asyncio.run(fill(path, chunks))
        bucket = Bucket("bench", storage.environ)
        _copy(bucket, folder / ".asyncreport" / "job")
        bucket.close()
        path.write_text(path.read_text().replace(f"{folder}/out", "s3://bench/parts/out"))
        merged = run(path)
        again = run(path)
    yield Line(
        f"a finished job of {chunks:,} parts in a bucket run again",
        "under 10 s",
        f"{again['seconds']:.1f} s, {again['rss_mb']:.0f} MB",
        again["seconds"] < 10,
    )
    yield Line(
        f"the same, when all {chunks:,} parts must be copied and merged",
        "",
        f"{merged['seconds']:.1f} s, {merged['rss_mb']:.0f} MB",
    )


def _far(days: int) -> Line:
    """Run a job with a query for each day, in a bucket that is far away."""
    # The first requests, for the token and the permissions, count too.
    limit = 60 * days / PER_MINUTE
    with standin(Work(agents=50)) as server, tempfile.TemporaryDirectory() as name:
        path = job_of(
            server,
            Path(name),
            start="",
            end="",
            everyone=True,
            per_minute=PER_MINUTE,
            range={
                "start": iso(START),
                "end": iso(START + days * DAY),
                "granularity": "PT30M",
                "chunk": "P1D",
            },
            output={"path": "s3://bench/far/run.jsonl"},
        )
        found = run(path, program=("tests.bench.far", f"{SECONDS}"))
    return Line(
        f"{days} chunks at {PER_MINUTE} a minute, a bucket that takes {SECONDS} s longer for each "
        "request",
        "",
        f"{found['seconds']:.1f} s with start and end; the limit alone is {limit:.1f} s",
    )


def _copy(bucket: Bucket, state: Path) -> None:
    """Write the state of a job into the bucket, with all lines of the manifest in the base."""
    top = "parts/.asyncreport/job"
    parts = f"{top}/default"
    manifest = (state / "default" / "manifest.jsonl").read_bytes()
    bucket.write(f"{parts}/manifest/base", b'{"upto":0}\n' + manifest)
    bucket.write(f"{top}/names.json", (state / "names.json").read_bytes())
    bucket.each(lambda path: _copy_part(bucket, parts, path), sorted(state.rglob("part-*")))


def _copy_part(bucket: Bucket, folder: str, path: Path) -> None:
    """Write a part."""
    data = path.read_bytes()
    bucket.write(f"{folder}/{path.stem}-{hashlib.sha256(data).hexdigest()[:16]}.jsonl", data)


def main() -> None:
    """Measure and print the figures."""
    print_lines(lines(quick="--quick" in sys.argv))


if __name__ == "__main__":
    main()
