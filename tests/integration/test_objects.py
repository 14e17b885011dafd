"""A job in a bucket: the same bytes as on disk, on two storages that the tests start."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from asyncreport.store.objects.bucket import Bucket
from tests.emulator_process import Handle, emulator_process
from tests.exporting import call, write_job
from tests.object_servers import Storage, moto, seaweed

pytestmark = pytest.mark.extra

RANGE = {"start": "2024-01-20", "end": "2024-02-10", "granularity": "PT1H"}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=12, seed=7) as handle:
        yield handle


@pytest.fixture(scope="module", params=[moto, seaweed], ids=["moto", "seaweed"])
def storage(request: pytest.FixtureRequest) -> Iterator[Storage]:
    with ExitStack() as stack:
        yield stack.enter_context(request.param())


@pytest.fixture
def bucket(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """Make a bucket; the variables of this process lead to its storage."""
    for name, value in storage.environ.items():
        monkeypatch.setenv(name, value)
    found = storage.bucket(f"test-{uuid4().hex[:12]}")
    yield found
    found.close()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def object_sha256(bucket: Bucket, key: str) -> str:
    found = bucket.read(key)
    assert found is not None, key
    return sha256(found.data)


def test_a_job_has_the_same_bytes_as_on_disk(
    tmp_path: Path, emulator: Handle, bucket: Bucket
) -> None:
    """Run, run again with nothing to do, status, verify; no file of the copy is left."""
    on_disk = tmp_path / "disk"
    on_disk.mkdir()
    path = write_job(on_disk, emulator, range=RANGE, output={"path": str(on_disk / "aht.jsonl")})
    assert call("run", str(path), cwd=tmp_path).code == 0
    job = write_job(
        tmp_path, emulator, range=RANGE, output={"path": f"s3://{bucket.name}/exports/aht.jsonl"}
    )
    first = call("run", str(job), cwd=tmp_path)
    assert first.code == 0, first.err
    assert f"s3://{bucket.name}/exports/aht.jsonl" in first.err
    expected = sha256((on_disk / "aht.jsonl").read_bytes())
    assert object_sha256(bucket, "exports/aht.jsonl") == expected
    written = bucket.list_all("exports")
    again = call("run", str(job), cwd=tmp_path)
    assert again.code == 0, again.err
    assert "nothing to do" in again.err
    assert object_sha256(bucket, "exports/aht.jsonl") == expected
    output = [each for each in bucket.list_all("exports") if each.key == "exports/aht.jsonl"]
    assert output == [each for each in written if each.key == "exports/aht.jsonl"]
    assert call("verify", str(job), cwd=tmp_path).code == 0
    status = call("status", str(job), cwd=tmp_path)
    assert f"s3://{bucket.name}/exports/aht.jsonl" in status.out
    assert "asyncreport-copies" not in first.err + again.err + status.out
