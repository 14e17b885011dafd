"""A job in a bucket whose process is killed or stopped: nothing twice, nothing lost.

The moments are exact, see `tests.object_cut`; a lease lasts two seconds there.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from asyncreport.store.objects.bucket import Bucket
from tests.emulator_process import Handle, emulator_process
from tests.exporting import Call, call, start, write_job
from tests.object_cut import LEASE
from tests.object_servers import Storage, moto

pytestmark = pytest.mark.extra

RANGE = {"start": "2024-01-30", "end": "2024-02-03", "granularity": "PT1H", "chunk": "P1D"}
QUERY = "/api/v2/analytics/conversations/aggregates/query"


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=4, seed=3, requests_per_minute=0, tokens_per_minute=0) as handle:
        yield handle


class InBucket:
    """A job in a folder of its own of a bucket, run by a process with short leases."""

    def __init__(self, folder: Path, storage: Storage, emulator: Handle) -> None:
        self.folder = folder
        self.emulator = emulator
        self.environ = storage.environ
        self.bucket: Bucket = storage.bucket("kills")
        self.out = uuid4().hex
        self.parts = f"{self.out}/.asyncreport/job/default"
        # One worker: the moments of a run come in the same order each time.
        self.path = write_job(
            folder,
            emulator,
            range=RANGE,
            limits={"concurrency": 1},
            output={"path": f"s3://{self.bucket.name}/{self.out}/out-{{month}}.jsonl"},
        )

    def run(self, **spec: Any) -> Call:
        return call(*self.command(**spec), module="tests.object_cut", **self.place)

    def command(self, **spec: Any) -> tuple[str, ...]:
        return json.dumps(spec), "run", str(self.path)

    @property
    def place(self) -> dict[str, Any]:
        return {"cwd": self.folder, **self.environ}

    def objects(self, start: str = "") -> dict[str, bytes]:
        """Read the objects whose keys begin so."""
        keys = [each.key for each in self.bucket.list_all(self.out)]
        found = {key: self.bucket.read(key) for key in keys if key.startswith(start)}
        return {key: content.data for key, content in found.items() if content is not None}

    def outputs(self) -> dict[str, bytes]:
        """Read the output files."""
        found = self.objects(f"{self.out}/out-")
        return {key.rsplit("/", 1)[1]: data for key, data in found.items()}

    def entries(self) -> list[tuple[int, int]]:
        """Give the lease and the number of parts of each entry of the manifest."""
        texts = [
            data.splitlines()
            for key, data in self.objects(f"{self.parts}/manifest/").items()
            if not key.endswith("base")
        ]
        return [
            (json.loads(head)["lease"], sum(b'"part"' in line for line in lines))
            for head, *lines in texts
        ]

    def asked(self, seen: int) -> Counter[str]:
        """Count the requests for each interval after so many."""
        log = [entry for entry in self.emulator.log()[seen:] if entry["path"] == QUERY]
        return Counter(entry["interval"] for entry in log if entry["interval"])


@pytest.fixture
def job(tmp_path: Path, storage: Storage, emulator: Handle) -> Iterator[InBucket]:
    found = InBucket(tmp_path, storage, emulator)
    yield found
    found.bucket.close()


Calm = tuple[dict[str, bytes], list[list[str]]]


@pytest.fixture(scope="module")
def calm(storage: Storage, emulator: Handle, tmp_path_factory: pytest.TempPathFactory) -> Calm:
    """Run a job undisturbed: its output files and its moments."""
    folder = tmp_path_factory.mktemp("calm")
    job = InBucket(folder, storage, emulator)
    result = job.run(trace=str(folder / "trace"))
    assert result.code == 0, result.err
    return job.outputs(), json.loads((folder / "trace").read_text())


def moment(trace: list[list[str]], what: str, of: str, number: int = 0) -> int:
    """Find a moment: the call, and the name of an object or the path of a request."""
    found = [at for at, (call, name) in enumerate(trace, 1) if call == what and of in name]
    return found[number]


def check_after_kill(job: InBucket, calm: Calm) -> None:
    """Run again: what was committed is not fetched, the bytes are the same, nothing is left."""
    done = sum(parts for _, parts in job.entries())
    seen = len(job.emulator.log())
    result = job.run()
    assert result.code == 0, result.err
    assert "has disappeared" not in result.err
    asked = job.asked(seen)
    assert (asked.total(), max(asked.values(), default=1)) == (4 - done, 1)
    assert job.outputs() == calm[0]
    assert len(job.objects(f"{job.parts}/part-")) == 4
    seen = len(job.emulator.log())
    again = job.run()
    assert (again.code, job.asked(seen).total()) == (0, 0), again.err
    assert "nothing to do" in again.err
    assert job.outputs() == calm[0]
    assert sum(parts for _, parts in job.entries()) == 4


def test_a_part_that_was_written_but_not_committed_is_kept_once_it_is(
    job: InBucket, calm: Calm
) -> None:
    """The next run writes the same bytes under the same name, and must not delete them."""
    assert job.run(at=moment(calm[1], "after upload", "part-", 1)).code == -signal.SIGKILL
    check_after_kill(job, calm)


@pytest.mark.parametrize("seed", range(3))
def test_a_run_that_is_killed_is_finished_by_the_next(job: InBucket, calm: Calm, seed: int) -> None:
    moments = calm[1]
    first = moment(moments, "before _put", "manifest/")
    at = random.Random(seed).randrange(first, len(moments) + 1)
    assert job.run(at=at).code == -signal.SIGKILL
    check_after_kill(job, calm)


def test_output_files_that_a_killed_run_wrote_are_not_foreign(job: InBucket, calm: Calm) -> None:
    """It died between the files and what says what they are."""
    assert job.run(at=moment(calm[1], "after upload", "out-2024-02")).code == -signal.SIGKILL
    check_after_kill(job, calm)


@pytest.mark.parametrize(
    ("what", "of"),
    [("send", QUERY), ("before _put", "manifest/00000006"), ("before upload", "out-2024-01")],
    ids=["request", "commit", "upload"],
)
def test_a_process_that_was_stopped_for_too_long_changes_nothing(
    job: InBucket, calm: Calm, what: str, of: str
) -> None:
    """It sends the one request that had passed the check, and commits nothing more."""
    at = moment(calm[1], what, of, 1 if what == "send" else 0)
    command = job.command(at=at, action="stop", jump=-7200)
    with start(*command, module="tests.object_cut", **job.place) as stopped:
        how = os.waitid(os.P_PID, stopped.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        assert how is not None
        assert how.si_code == os.CLD_STOPPED, stopped.communicate()
        result = job.run(jump=7200)
        assert result.code == 0, result.err
        assert f"takes over after {LEASE:g} s" in result.err
        before, seen = job.objects(job.parts), len(job.emulator.log())
        os.kill(stopped.pid, signal.SIGCONT)
        _, err = stopped.communicate(timeout=60)
    assert stopped.returncode == 5, err
    assert "this process lost its lease" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert len(job.emulator.log()) - seen <= (what == "send")
    after = job.objects(job.parts)
    assert after == before
    leases = [lease for lease, _ in job.entries()]
    assert leases == sorted(leases)
    assert set(leases) == {1, 2}
    assert sum(parts for _, parts in job.entries()) == 4
    assert job.outputs() == calm[0]


def test_a_process_that_was_killed_is_followed_whatever_the_clocks_say(
    job: InBucket, calm: Calm
) -> None:
    """Its wall clock is two hours ahead, that of the next process two hours behind."""
    at = moment(calm[1], "send", QUERY, 2)
    assert job.run(at=at, jump=7200).code == -signal.SIGKILL
    begun = time.monotonic()
    result = job.run(jump=-7200)
    assert result.code == 0, result.err
    assert time.monotonic() - begun > LEASE
    assert job.outputs() == calm[0]


@pytest.mark.parametrize(
    ("what", "of", "parts"),
    [("before _put", "manifest/", 0), ("send", QUERY, 1), ("before upload", "out-2024-01", 4)],
    ids=["opening", "fetching", "uploading"],
)
def test_a_run_that_is_interrupted_keeps_its_parts_and_releases_its_leases(
    job: InBucket, calm: Calm, what: str, of: str, parts: int
) -> None:
    """Ctrl-C; the temporary folder is deleted, and no more output files are written."""
    at = moment(calm[1], what, of, 1 if what == "send" else 0)
    copies = job.folder / "copies"
    copies.mkdir()
    place = {**job.place, "TMPDIR": str(copies)}
    command = job.command(at=at, action="interrupt")
    result = call(*command, module="tests.object_cut", **place)
    assert result.code == 128 + signal.SIGINT, result.err
    assert result.err.splitlines()[-1] == "stopped by SIGINT"
    assert not [*copies.iterdir()]
    assert sum(number for _, number in job.entries()) == parts
    assert len(job.outputs()) < len(calm[0])
    assert "takes over" not in job.run().err
    assert job.outputs() == calm[0]


def test_a_storage_that_disappears_ends_with_one_line(
    tmp_path: Path, emulator: Handle, calm: Calm
) -> None:
    """In the middle of the uploads."""
    with ExitStack() as stack:
        job = InBucket(tmp_path, stack.enter_context(moto()), emulator)
        command = job.command(at=moment(calm[1], "before upload", "out-2024-01"), action="stop")
        with start(*command, module="tests.object_cut", **job.place) as process:
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
            stack.close()
            os.kill(process.pid, signal.SIGCONT)
            _, err = process.communicate(timeout=60)
    assert process.returncode == 5, err
    (line,) = err.splitlines()
    assert line.startswith(f"error: s3://kills/{job.out}")
    assert "no connection to http://127.0.0.1:" in line or "lost its lease" in line


def test_an_upload_that_fails_in_the_middle_leaves_the_old_object(
    tmp_path: Path, storage: Storage
) -> None:
    """A large file goes in pieces; it becomes visible with the last one."""
    bucket = storage.bucket("kills")
    path = tmp_path / "large"
    path.write_bytes(os.urandom(40 << 20))
    bucket.delete(["new"])
    bucket.write("old", b"1")
    for key in ("new", "old"):
        pieces = iter([None, None])
        with pytest.raises(StopIteration):
            bucket.upload(key, path, lambda each=pieces: next(each))  # type: ignore[misc]
    assert bucket.read("new") is None
    old = bucket.read("old")
    assert old is not None
    assert old.data == b"1"
    etag = bucket.upload("old", path)
    found = bucket.read("old")
    assert found is not None
    assert (found.data, found.etag) == (path.read_bytes(), etag)
    bucket.close()
