"""A job in a bucket that is in memory: whatever moment its process dies at, the next run heals it.

No library is needed: the bucket is a fake with the conditions of a real one.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from asyncreport.config import load_job
from asyncreport.core.errors import StoreError
from asyncreport.core.job import Job
from asyncreport.export import storage
from asyncreport.export.clean import clean
from asyncreport.export.erase import erase_user, find_user
from asyncreport.export.run import run_job
from asyncreport.export.status import read_status
from asyncreport.export.verify import verify_job
from asyncreport.formats import Library
from asyncreport.store.job_parts import JobParts
from asyncreport.store.objects import working_copy
from asyncreport.store.objects.bucket import Found
from tests.buckets import FakeBucket
from tests.emulator_process import Handle, emulator_process
from tests.exporting import NOW, connection, run_here, write_job

RANGE = {"start": "2024-01-29", "end": "2024-02-03", "granularity": "PT1H", "chunk": "P1D"}
OUTPUT = {"path": ["s3://bucket/exports/aht.jsonl", "s3://bucket/exports/{month}.csv"]}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=4, seed=3) as handle:
        yield handle


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeBucket:
    """Make the bucket of all jobs."""
    found = FakeBucket()
    monkeypatch.setattr(working_copy, "Bucket", lambda *_, **__: found)
    monkeypatch.setattr(Library, "is_installed", property(lambda _: True))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return found


def load(path: Path) -> Job:
    return load_job(path, environ={}, now=NOW)


def outputs(bucket: FakeBucket) -> dict[str, bytes]:
    """Give the output files."""
    found = bucket.list_folder("exports")
    return {each.key: bucket.objects[each.key].data for each in found}


def job(folder: Path, emulator: Handle, **sections: Any) -> Path:
    return write_job(folder, emulator, **{"range": RANGE, "output": OUTPUT, **sections})


@pytest.fixture(scope="module")
def expected(emulator: Handle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Give the same files on disk."""
    folder = tmp_path_factory.mktemp("disk")
    paths = [str(folder / "aht.jsonl"), str(folder / "{month}.csv")]
    run_here(write_job(folder, emulator, range=RANGE, output={"path": paths}))
    names = ("aht.jsonl", "2024-01.csv", "2024-02.csv")
    return {f"exports/{name}": (folder / name).read_bytes() for name in names}


@pytest.mark.usefixtures("bucket")
def test_a_reader_brings_what_it_reads(tmp_path: Path, emulator: Handle) -> None:
    """Rows alone, an index alone, or one after the other: nobody has to ask for them before."""
    path = job(tmp_path, emulator)
    run_here(path)
    with storage.looking(load(path)) as files:
        (connection,) = files.job.connections
        parts = JobParts.read(files.job).current(connection)
        with files.reader() as reader:
            whole = [reader.read(part, 0, part.size) for part in parts]
        assert [sha256(each).hexdigest() for each in whole] == [part.sha256 for part in parts]
    with storage.looking(load(path)) as files, files.reader() as reader:
        for part, content in zip(parts, whole, strict=True):
            for entry in reader.index(part):
                rows = content[entry.offset : entry.offset + entry.length]
                assert reader.block(part, entry) == rows
        assert reader.damaged(parts) == []


def test_the_bytes_are_those_on_disk_and_nothing_is_written_twice(
    tmp_path: Path, emulator: Handle, bucket: FakeBucket, expected: dict[str, bytes]
) -> None:
    path = job(tmp_path, emulator)
    assert run_here(path).chunks_fetched == 5
    assert outputs(bucket) == expected
    written = len(bucket.written)
    summary = run_here(path)
    assert summary.chunks_fetched == 0
    again = [key.rpartition("/")[2] for key in bucket.written[written:]]
    parts = [name for name in again if name.startswith("part-") or name.endswith(("csv", "jsonl"))]
    assert not parts
    assert not list(tmp_path.glob("asyncreport-copies-*"))


def test_a_run_that_dies_at_any_write_is_finished_by_the_next(
    tmp_path: Path,
    emulator: Handle,
    bucket: FakeBucket,
    expected: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each run dies a few writes later than the one before it, until one comes to its end."""
    # Soon over: a process that died has one.
    monkeypatch.setattr(storage, "LEASE_SECONDS", 0.3)
    path = job(tmp_path, emulator)
    fetched = runs = 0
    left = 0

    def die(_: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise StoreError("the process died")

    while True:
        runs += 1
        left = runs * 3
        bucket.before_write = die
        commits = _commits(bucket)
        try:
            run_here(path)
        except StoreError:
            fetched += _commits(bucket) - commits
            continue
        finally:
            bucket.before_write = lambda _: None
        fetched += _commits(bucket) - commits
        break
    assert runs > 5
    assert outputs(bucket) == expected
    # No chunk was committed twice.
    assert fetched == 5
    run_here(path)
    names = [key.rpartition("/")[2] for key in bucket.objects]
    assert sum(name.startswith("part-") for name in names) == 5


def test_the_manifests_of_connections_are_read_at_the_same_time(
    tmp_path: Path, emulator: Handle, bucket: FakeBucket
) -> None:
    """One after the other, hundreds of connections would take minutes before the first request."""
    both_are_here = Barrier(2, timeout=30)

    def wait_for_the_other(key: str) -> None:
        if key.endswith("/manifest/base"):
            both_are_here.wait()

    bucket.before_read = wait_for_the_other
    with emulator_process(agents=2, seed=5) as other:
        places = {"east": connection(emulator), "west": connection(other)}
        teams = [{"name": name, "connection": name, "everyone": True} for name in places]
        assert run_here(job(tmp_path, emulator, connections=places, teams=teams)).complete


def _commits(bucket: FakeBucket) -> int:
    """Count the parts that were committed."""
    entries = [key for key in bucket.objects if "/default/manifest/0" in key]
    return sum(bucket.objects[key].data.count(b'"interval":') for key in entries)


def test_a_part_that_disappears_is_fetched_again(
    tmp_path: Path, emulator: Handle, bucket: FakeBucket, expected: dict[str, bytes]
) -> None:
    path = job(tmp_path, emulator)
    run_here(path)
    parts = sorted(key for key in bucket.objects if "/part-" in key)
    bucket.delete(parts[:1])
    damaged = bucket.objects[parts[1]]
    bucket.write(parts[1], damaged.data.replace(b'"handled_count":1,', b'"handled_count":2,'))
    bucket.delete(["exports/aht.jsonl"])
    summary = run_here(path)
    assert summary.complete
    assert outputs(bucket) == expected


def test_status_verify_and_clean_read_the_bucket(
    tmp_path: Path, emulator: Handle, bucket: FakeBucket
) -> None:
    path = job(tmp_path, emulator)
    run_here(path)
    loaded = load(path)
    status = read_status(loaded, now=NOW)
    assert status.complete
    assert [file.state for file in status.files] == ["current"] * 3
    assert asyncio.run(verify_job(loaded, now=NOW)).exit_code == 0
    run_here(job(tmp_path, emulator, split_by=["media_type"]))
    cleaned = asyncio.run(clean(load(path.with_name("job.yaml")), now=NOW))
    assert cleaned.bytes > 0
    assert not bucket.list_all("exports/.asyncreport/job/default/part-0")


def test_an_erased_person_is_in_no_object(
    tmp_path: Path, emulator: Handle, bucket: FakeBucket
) -> None:
    path = job(tmp_path, emulator)
    run_here(path)
    lines = bucket.objects["exports/aht.jsonl"].data.splitlines()
    user = json.loads(lines[-1])["user_id"]
    assert find_user(load(path), user, now=NOW)
    assert asyncio.run(erase_user(load(path), user, now=NOW))
    with_user = [key for key, found in bucket.objects.items() if user.encode() in found.data]
    assert not with_user
    assert not find_user(load(path), user, now=NOW)


def test_a_run_that_lost_its_lease_commits_nothing(
    tmp_path: Path, emulator: Handle, bucket: FakeBucket
) -> None:
    """Another process takes over right before a part is committed."""
    run_here(job(tmp_path, emulator))
    before = outputs(bucket)
    parts = _commits(bucket)

    def take_over(key: str) -> None:
        if "/part-" in key:
            lease = "exports/.asyncreport/job/default/lease.json"
            found = json.loads(bucket.objects[lease].data)
            data = json.dumps({**found, "token": "other", "number": found["number"] + 1})
            bucket.before_write = lambda _: None
            bucket.write(lease, data.encode())
            bucket.write(_next_entry(bucket), b'{"lease":99,"token":"other"}\n')

    bucket.before_write = take_over
    with pytest.raises(StoreError, match="lost its lease"):
        run_here(job(tmp_path, emulator, split_by=["media_type"]))
    assert _commits(bucket) == parts
    assert outputs(bucket) == before


def _next_entry(bucket: FakeBucket) -> str:
    """Name the entry that the next commit creates."""
    folder = "exports/.asyncreport/job/default/manifest"
    last = max(each.key for each in bucket.list_all(folder) if each.key[-1].isdigit())
    return f"{folder}/{int(last.rpartition('/')[2]) + 1:08}"


def test_what_a_run_commits_while_the_bucket_is_read_is_not_lost(
    tmp_path: Path, emulator: Handle, bucket: FakeBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last commits happen right after the objects were listed."""
    path = job(tmp_path, emulator)
    run_here(path)
    state = "exports/.asyncreport/job"
    entries = [key for key in bucket.objects if f"{state}/default/manifest/" in key]
    last = max(key for key in entries if b'"part"' in bucket.objects[key].data)
    part = max(key for key in bucket.objects if "/part-" in key)
    late = {key: bucket.objects.pop(key) for key in [*entries, part] if key >= last}
    listed = bucket.list_all

    def list_then_commit(folder: str, after: str = "") -> list[Found]:
        found = listed(folder, after)
        if folder == state:
            bucket.objects.update(late)
        return found

    monkeypatch.setattr(bucket, "list_all", list_then_commit)
    findings = asyncio.run(verify_job(load(path), now=NOW))
    text = "\n".join(map(str, findings.findings))
    assert "part-0000000" not in text


async def cancelled(
    command: Coroutine[Any, Any, object], bucket: FakeBucket, hook: str, of: str
) -> list[str]:
    """Cancel a command in a hook of the bucket, at the second key that matches; give these keys."""
    loop = asyncio.get_running_loop()
    task = asyncio.create_task(command)
    found: list[str] = []

    async def deliver() -> None:
        task.cancel()
        # Each turn of the loop takes it one task further; then the work knows.
        for _ in range(20):
            await asyncio.sleep(0)

    def stop(key: str) -> None:
        if re.search(of, key):
            found.append(key)
            if len(found) == 2:
                asyncio.run_coroutine_threadsafe(deliver(), loop).result(30)

    setattr(bucket, hook, stop)
    with pytest.raises(asyncio.CancelledError):
        await task
    setattr(bucket, hook, lambda _: None)
    return found


COMMANDS: dict[str, Callable[[Job], Coroutine[Any, Any, object]]] = {
    "run": lambda job: run_job(job, now=NOW),
    "verify": lambda job: verify_job(job, now=NOW),
    "erase": lambda job: erase_user(job, "nobody", now=NOW),
}


@pytest.mark.parametrize("of", ["/part-", "/manifest/"], ids=["parts", "opening"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_stopped_command_begins_no_further_download(
    tmp_path: Path, emulator: Handle, bucket: FakeBucket, command: str, of: str
) -> None:
    path = job(tmp_path, emulator)
    run_here(path)
    before = outputs(bucket)
    # So that the next run has to read all parts.
    bucket.delete(before)
    stopped = cancelled(COMMANDS[command](load(path)), bucket, "before_read", of)
    assert len(asyncio.run(stopped)) == 2
    run_here(path)
    assert outputs(bucket) == before


def test_a_stopped_run_uploads_no_other_file(
    tmp_path: Path, emulator: Handle, bucket: FakeBucket, expected: dict[str, bytes]
) -> None:
    path = job(tmp_path, emulator)
    stopped = cancelled(COMMANDS["run"](load(path)), bucket, "before_write", "^exports/[^/]+$")
    assert asyncio.run(stopped) == ["exports/2024-01.csv", "exports/2024-02.csv"]
    assert "exports/aht.jsonl" not in bucket.objects
    assert run_here(path).chunks_fetched == 0
    assert outputs(bucket) == expected


def test_a_person_of_a_connection_that_the_job_no_longer_has_is_found(
    tmp_path: Path, emulator: Handle, bucket: FakeBucket
) -> None:
    """What is found before is what is erased then."""
    run_here(job(tmp_path, emulator))
    user = json.loads(bucket.objects["exports/aht.jsonl"].data.splitlines()[-1])["user_id"]
    path = job(tmp_path, emulator, connections={"other": connection(emulator)})
    run_here(path)
    found = find_user(load(path), user, now=NOW)
    assert sorted(name for name, parts in found.parts.items() if parts) == ["default", "other"]
    assert len(found.outputs) == 3
    erased = asyncio.run(erase_user(load(path), user, now=NOW))
    assert erased.parts == found.parts
    assert len(erased.outputs) == 3


def test_verify_downloads_what_it_reads_together(
    tmp_path: Path, emulator: Handle, bucket: FakeBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, the parts of a year would take minutes."""
    path = job(tmp_path, emulator)
    run_here(path)
    together: list[int] = []
    each = bucket.each

    def count(work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        found = [*items]
        together.append(len(found))
        return each(work, found)

    monkeypatch.setattr(bucket, "each", count)
    reads = len(bucket.reads)
    assert asyncio.run(verify_job(load(path), now=NOW)).exit_code == 0
    assert sum("/part-" in key for key in bucket.reads[reads:]) == 5
    assert 5 in together
