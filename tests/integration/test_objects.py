"""A job in a bucket: the same bytes as on disk, on two storages that the tests start."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest

import asyncreport
from asyncreport.core.errors import StoreError
from asyncreport.core.object_urls import COPIES
from asyncreport.core.timeline import parse_iso
from asyncreport.emulator import World
from asyncreport.export.clean import clean
from asyncreport.export.erase import erase_user
from asyncreport.store.objects.bucket import Bucket
from tests.emulator_process import Handle, emulator_process
from tests.exporting import FAIL_SOON, NOW, connection, environ, write_job
from tests.object_servers import Storage
from tests.twin_jobs import ROOT, Twins

pytestmark = pytest.mark.extra

#: two months
RANGE = {"start": "2024-01-30", "end": "2024-02-03", "granularity": "PT1H", "chunk": "P1D"}
#: the parts of a run at this time are stale for the next one
EARLY = parse_iso("2024-02-03T06:00Z")
PEOPLE = World(agents=6, seed=3).people
QUERY = "/api/v2/analytics/conversations/aggregates/query"
STATE = "exports/.asyncreport/job"


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=6, seed=3, requests_per_minute=0, tokens_per_minute=0) as handle:
        yield handle


@pytest.fixture
def bucket(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """Make a bucket; the variables of this process lead to its storage."""
    for name, value in storage.environ.items():
        monkeypatch.setenv(name, value)
    found = storage.bucket(f"test-{uuid4().hex[:12]}")
    yield found
    found.close()


def twins(folder: Path, storage: Storage, bucket: Bucket, emulator: Handle, **rest: Any) -> Twins:
    """Describe a job with most kinds of files; one worker, so that parts have the same numbers."""
    out = f"{ROOT}/exports"
    job = {
        "name": "job",
        "connections": {"default": connection(emulator)},
        "range": RANGE,
        "split_by": ["queue_id", "wrap_up_code"],
        "limits": {"concurrency": 1, **FAIL_SOON},
        "teams": [
            {"name": "all", "everyone": True},
            {"name": "few", "users": [PEOPLE[0].id, PEOPLE[1].id, "0" * 8]},
        ],
        "output": {
            "path": [f"{out}/all.jsonl", f"{out}/all.csv.gz", f"{out}/all.parquet"],
            "per_team": f"{out}/teams/{{team}}-{{month}}.jsonl",
            "rollups": [{"by": ["user"], "every": "P1D", "path": f"{out}/days-{{month}}.csv"}],
            "report": f"{out}/report.html",
        },
        **rest,
    }
    return Twins(folder, storage, bucket, job)


def test_the_life_of_an_export_leaves_the_same_bytes_as_on_disk(
    tmp_path: Path, storage: Storage, bucket: Bucket, emulator: Handle
) -> None:
    """A gap, its repair, changed values, a range that moves, other queries, one person less."""
    both = twins(tmp_path, storage, bucket, emulator)
    broken = [{"match": {"path": QUERY, "after": 2}, "do": {"status": 500}}]
    both.before = lambda: emulator.faults(broken)
    assert not any(each.complete for each in both.run(now=EARLY, allow_partial=True))
    both.before = lambda: emulator.faults([])
    assert all(each.complete for each in both.run(now=EARLY))
    assert all(not each.chunks_fetched for each in both.run(now=EARLY))
    both.restate(f"{STATE}/default", "2024-01-31T00:00:00.000Z")
    both.run()
    assert both.objects()[f"{STATE}/default/changes.jsonl"]
    both.run("range.start=2024-01-31")
    both.run("range.granularity=P1D", "range.start=2024-01-31")
    both.each(lambda job: clean(job, now=NOW), "range.start=2024-01-31")
    gone = PEOPLE[0].id
    assert any(gone.encode() in data for data in both.objects().values())
    both.job["teams"][1]["users"] = [PEOPLE[1].id]
    both.run("range.start=2024-01-31")
    both.each(lambda job: erase_user(job, gone, now=NOW), "range.start=2024-01-31")
    for key, data in both.objects().items():
        if not key.endswith((".gz", ".parquet")):
            assert gone.encode() not in data, key


def copies() -> set[Path]:
    """List the temporary folders of this process."""
    return set(Path(tempfile.gettempdir()).glob(f"{COPIES}*"))


def test_the_python_api_names_objects_and_leaves_no_copy(
    tmp_path: Path,
    storage: Storage,
    bucket: Bucket,
    emulator: Handle,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    both = twins(tmp_path, storage, bucket, emulator)
    root = f"s3://{bucket.name}/exports"
    on_disk, job = map(both.path, both.roots)
    asyncreport.run(on_disk)
    summary = asyncreport.run(job)
    results = [
        summary,
        asyncreport.status(job),
        asyncreport.verify(job),
        asyncreport.plan(job),
        asyncreport.check(job),
    ]
    for result in results:
        assert COPIES not in msgspec.json.encode(result).decode()
    assert f"{root}/all.jsonl" in [each.path for each in summary.outputs]
    assert asyncreport.status(job).state_folder == f"{root}/.asyncreport/job"
    assert not copies()
    records = asyncreport.records(job)
    assert next(records) == next(asyncreport.records(on_disk))
    assert len(copies()) == 1
    assert [*records] == [*asyncreport.records(on_disk)][1:]
    assert not copies()
    never_read = asyncreport.records(job)
    assert copies()
    del never_read
    assert not copies()
    assert asyncreport.to_pandas(job).equals(asyncreport.to_pandas(on_disk))
    bucket.write("exports/all.jsonl", b"{}")
    with pytest.raises(StoreError, match=rf"^{root}/all\.jsonl: was changed after the run"):
        asyncreport.records(job)
    assert not copies()


def test_a_run_on_disk_imports_nothing_of_buckets(tmp_path: Path, emulator: Handle) -> None:
    path = write_job(tmp_path, emulator, range=RANGE)
    script = (
        "import asyncreport, sys; asyncreport.run(sys.argv[1]); sys.exit('obstore' in sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(path)], cwd=tmp_path, env=environ(), check=True
    )


def damaged(bucket: Bucket, key: str) -> Bucket:
    """Change one byte of an object."""
    content = bucket.read(key)
    assert content is not None
    bucket.write(key, content.data.replace(b'"', b"'", 1))
    return bucket


def test_a_damaged_object_is_found_and_fetched_again(
    tmp_path: Path, storage: Storage, bucket: Bucket, emulator: Handle
) -> None:
    """Edited, truncated and deleted parts, as on disk; an edited base is a clear error."""
    both = twins(tmp_path, storage, bucket, emulator, split_by=[])
    _, path = map(both.path, both.roots)
    both.run()
    expected = both.objects()["exports/all.jsonl"]
    parts = sorted(key for key in both.objects() if "/part-" in key)
    damaged(bucket, parts[0])
    bucket.write(parts[1], both.objects()[parts[1]][:-20])
    bucket.delete([parts[2]])
    damaged(bucket, "exports/all.csv.gz")
    findings = asyncreport.verify(path)
    assert findings.failed
    text = "\n".join(map(str, findings.findings))
    for fact in ("part-00000001.jsonl", "part-00000002.jsonl", "part-00000003.jsonl", "all.csv.gz"):
        assert fact in text
    summary = asyncreport.run(path)
    assert (summary.complete, summary.chunks_fetched) == (True, 3)
    assert not asyncreport.verify(path).failed
    assert both.objects()["exports/all.jsonl"] == expected
    bucket.write(f"{STATE}/default/manifest/base", b"?")
    with pytest.raises(StoreError, match=rf"^s3://{bucket.name}/.*/base is damaged"):
        asyncreport.run(path)
