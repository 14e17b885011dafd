"""One job in one process, by shares, and on a cluster; in buckets and on disk: the same bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncreport.store.objects.bucket import Bucket
from tests.emulator_process import Handle, emulator_process
from tests.exporting import call, connection
from tests.object_servers import Storage

pytestmark = pytest.mark.extra

NAMES = ("acme", "globex", "initech")
FILES = [*(f"{name}.jsonl" for name in NAMES), "all.jsonl"]

#: the commands that bring the files of all connections and of each of them up to date
WAYS = {
    "one process": (["run"],),
    "shares": (
        ["run", "--connections", "1/2"],
        ["run", "--connections", "2/2"],
        ["merge"],
    ),
    "cluster": (["run", "--cluster", "local:2"],),
}


@pytest.fixture(scope="module")
def emulators() -> Iterator[dict[str, Handle]]:
    with (
        emulator_process(agents=4, seed=1) as acme,
        emulator_process(agents=5, seed=2) as globex,
        emulator_process(agents=6, seed=3) as initech,
    ):
        yield dict(zip(NAMES, (acme, globex, initech), strict=True))


def write_jobs(folder: Path, emulators: dict[str, Handle], place: str) -> list[str]:
    """Write a job with a file for each connection, and one with a file of all."""
    paths = []
    for name, output in (("apart", "{connection}.jsonl"), ("together", "all.jsonl")):
        job = {
            "name": name,
            "connections": {
                key: connection(each, client_secret=f"${{{key.upper()}_SECRET}}")
                for key, each in emulators.items()
            },
            "range": {"start": "2024-01-28", "end": "2024-02-04", "granularity": "PT1H"},
            "teams": [{"name": "all", "everyone": True, "connections": "all"}],
            "output": {"path": f"{place}/{output}", "settle": "PT0S"},
        }
        path = folder / f"{name}.yaml"
        path.write_text(json.dumps(job))
        paths.append(str(path))
    return paths


def bring_up_to_date(folder: Path, emulators: dict[str, Handle], place: str, way: str) -> None:
    """Run both jobs in one of the ways."""
    secrets = {f"{name.upper()}_SECRET": each.client_secret for name, each in emulators.items()}
    apart, together = write_jobs(folder, emulators, place)
    for words in WAYS[way]:
        jobs = [together] if words == ["merge"] else [apart, together]
        for job in jobs:
            done = call(words[0], job, *words[1:], cwd=folder, **secrets)
            assert done.code == 0, done.err


@pytest.fixture(scope="module")
def expected(
    tmp_path_factory: pytest.TempPathFactory, emulators: dict[str, Handle]
) -> dict[str, bytes]:
    """Give the files of one process on disk."""
    folder = tmp_path_factory.mktemp("expected")
    bring_up_to_date(folder, emulators, str(folder), "one process")
    found = {name: (folder / name).read_bytes() for name in FILES}
    assert all(found.values())
    return found


@pytest.mark.parametrize("way", WAYS)
def test_in_a_bucket(
    tmp_path: Path,
    emulators: dict[str, Handle],
    storage: Storage,
    expected: dict[str, bytes],
    way: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in storage.environ.items():
        monkeypatch.setenv(name, value)
    bucket = storage.bucket(f"test-{way.replace(' ', '-')}")
    bring_up_to_date(tmp_path, emulators, f"s3://{bucket.name}", way)
    assert {name: content(bucket, name) for name in FILES} == expected
    bucket.close()


def content(bucket: Bucket, key: str) -> bytes:
    """Read an output file."""
    found = bucket.read(key)
    assert found is not None, key
    return found.data
