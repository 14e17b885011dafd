"""Connections on a Dask cluster: the same bytes, whatever is killed; nothing secret travels.

The cluster, the client and the emulators are processes of their own.
"""

from __future__ import annotations

import json
import os
import random
import re
import select
import signal
import socket
import socketserver
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest

from asyncreport.store.lock import lock_holder, locked
from tests.cluster_process import Cluster, cluster_process
from tests.emulator_process import Handle, emulator_process
from tests.exporting import call, connection, environ
from tests.manifests import read_lines
from tests.object_servers import Storage, moto

pytestmark = pytest.mark.extra

NAMES = ("acme", "globex", "initech")
#: chunks of each connection
CHUNKS = 24
RANGE = {"start": "2024-01-01", "end": "2024-01-25", "granularity": "PT1H", "chunk": "P1D"}


@pytest.fixture(scope="module")
def emulators() -> Iterator[dict[str, Handle]]:
    """Serve three organisations, each slow enough to be killed in the middle."""
    with (
        emulator_process(agents=4, seed=1, requests_per_minute=0, latency=0.1) as acme,
        emulator_process(agents=4, seed=2, requests_per_minute=0, latency=0.1) as globex,
        emulator_process(agents=4, seed=3, requests_per_minute=0, latency=0.1) as initech,
    ):
        yield dict(zip(NAMES, (acme, globex, initech), strict=True))


@pytest.fixture(scope="module")
def secrets(emulators: dict[str, Handle]) -> dict[str, str]:
    """Give the variables with the secrets of the emulators."""
    return {f"{name.upper()}_SECRET": each.client_secret for name, each in emulators.items()}


class Bureau:
    """A job of several organisations in a folder."""

    def __init__(self, folder: Path, emulators: dict[str, Handle], secrets: dict[str, str]) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.secrets = secrets
        self.job: dict[str, Any] = {
            "name": "bureau",
            "connections": {
                name: connection(each, client_secret=f"${{{name.upper()}_SECRET}}")
                for name, each in emulators.items()
            },
            "range": RANGE,
            "limits": {"concurrency": 1},
            "teams": [{"name": "all", "everyone": True, "connections": "all"}],
            "output": {"path": "out/{connection}.jsonl"},
        }

    @property
    def path(self) -> str:
        path = self.folder / "job.yaml"
        path.write_text(json.dumps(self.job))
        return str(path)

    def run(self, *arguments: str) -> Any:
        return call("run", self.path, *arguments, cwd=self.folder, **self.secrets)

    @contextmanager
    def start(self, *arguments: str, **extra: str) -> Iterator[subprocess.Popen[str]]:
        """Start a run in a session of its own, as a terminal does."""
        command = [sys.executable, "-m", "asyncreport", "run", self.path, *arguments]
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=environ(**self.secrets, **extra),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def state(self, name: str) -> Path:
        return self.folder / "out" / ".asyncreport" / "bureau" / name

    def parts(self, name: str) -> list[str]:
        """List the intervals of the parts that were saved, each as often as it was."""
        path = self.state(name) / "manifest.jsonl"
        return [line["interval"] for line in read_lines(path) if "interval" in line]

    def holder(self, name: str) -> int:
        """Give the process that holds a connection."""
        found = json.loads((self.state(name) / "lock.json").read_text())
        return int(found["pid"])

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.folder / "out").glob("*.jsonl")}


@pytest.fixture
def bureau(tmp_path: Path, emulators: dict[str, Handle], secrets: dict[str, str]) -> Bureau:
    return Bureau(tmp_path / "bureau", emulators, secrets)


@pytest.fixture(scope="module")
def calm(
    tmp_path_factory: pytest.TempPathFactory,
    emulators: dict[str, Handle],
    secrets: dict[str, str],
) -> dict[str, bytes]:
    """Give the files of a run in one process."""
    bureau = Bureau(tmp_path_factory.mktemp("calm"), emulators, secrets)
    assert bureau.run().code == 0
    return bureau.files()


@pytest.fixture(scope="module")
def storage() -> Iterator[Storage]:
    with moto() as storage:
        yield storage


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, secrets: dict[str, str], storage: Storage
) -> Iterator[Cluster]:
    """Serve a cluster whose workers have all secrets but one."""
    variables = {**secrets, **storage.environ}
    del variables["INITECH_SECRET"]
    with cluster_process(2, tmp_path_factory.mktemp("workers"), **variables) as cluster:
        yield cluster


def wait_until(true: Callable[[], bool], seconds: float = 30) -> None:
    """Return when something is true; fail if that takes too long."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.02)


def saved(bureau: Bureau, name: str, parts: int) -> Callable[[], bool]:
    def is_saved() -> bool:
        path = bureau.state(name) / "manifest.jsonl"
        return path.exists() and path.read_bytes().count(b'"interval"') >= parts

    return is_saved


def without_progress(err: str) -> list[str]:
    """List the lines without those of all connections together: every ten seconds, and places."""
    return [line for line in err.splitlines() if not line.startswith("bureau: ")]


def test_files_of_all_connections_have_the_bytes_of_one_process(
    bureau: Bureau, tmp_path: Path, emulators: dict[str, Handle]
) -> None:
    bureau.job["output"] = {"path": "out/whole.jsonl", "per_team": "out/of-{team}.jsonl"}
    result = bureau.run("--cluster", "local:2")
    assert result.code == 0, result.err
    lines = without_progress(result.err)
    assert [line.partition(",")[0] for line in lines[:3]] == [
        f"bureau/{name}: exit code 0: complete" for name in NAMES
    ]
    assert "\nbureau: nothing to fetch" in result.err
    assert not list((bureau.folder / "out" / ".asyncreport" / "bureau").glob("*.tmp"))
    one = Bureau(tmp_path / "one", emulators, bureau.secrets)
    one.job["output"] = bureau.job["output"]
    assert one.run().code == 0
    assert bureau.files() == one.files()
    assert sorted(bureau.files()) == ["of-all.jsonl", "whole.jsonl"]


@contextmanager
def held(*emulators: Handle) -> Iterator[None]:
    """Hold responses back while a block runs: however busy the machine is, nothing completes."""
    for each in emulators:
        each.hold()
    try:
        yield
    finally:
        for each in emulators:
            each.release()


def test_workers_that_die_or_stand_still_lose_and_double_nothing(
    bureau: Bureau, calm: dict[str, bytes], emulators: dict[str, Handle]
) -> None:
    """Three times, wherever the connection goes on."""
    lost: list[int] = []
    # So soon, Dask takes a worker for dead, and its nanny kills it.
    ttl = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "1s"}
    with bureau.start("--cluster", "local:2", **ttl) as process:
        for seed, number in enumerate((signal.SIGKILL, signal.SIGSTOP, signal.SIGKILL)):
            wait_until(saved(bureau, "acme", 5 * seed + random.Random(seed).randrange(1, 5)))
            wait_until(lambda: bureau.holder("acme") not in lost)
            with held(emulators["acme"]):
                lost.append(bureau.holder("acme"))
                os.kill(lost[-1], number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    ends = [line for line in without_progress(err) if ": waiting: " not in line]
    assert [line.partition(",")[0] for line in ends] == [
        f"bureau/{name}: exit code 0: complete" for name in NAMES
    ]
    assert bureau.files() == calm
    assert bureau.holder("acme") not in lost
    for name in NAMES:
        assert len(bureau.parts(name)) == len(set(bureau.parts(name))) == CHUNKS


def test_a_worker_that_is_retired_gives_its_connections_back(
    bureau: Bureau, calm: dict[str, bytes], emulators: dict[str, Handle]
) -> None:
    """Nothing of that is an error: what was stopped for the worker's end goes on elsewhere."""
    retire = (
        "import sys; from distributed import Client; client = Client(sys.argv[1]); "
        "workers = client.processing(); "
        "print(client.retire_workers([each for each in workers if workers[each]][:1]))"
    )
    with (
        cluster_process(2, bureau.folder, **bureau.secrets) as cluster,
        bureau.start("--cluster", cluster.address) as process,
    ):
        wait_until(saved(bureau, "acme", 2))
        with held(*emulators.values()):
            command = [sys.executable, "-c", retire, cluster.address]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        _, err = process.communicate(timeout=60)
    assert "tcp://" in done.stdout
    assert process.returncode == 0, err
    assert bureau.files() == calm
    for name in NAMES:
        assert len(bureau.parts(name)) == len(set(bureau.parts(name))) == CHUNKS


def test_a_task_waits_while_another_process_holds_its_connection(
    bureau: Bureau, calm: dict[str, bytes], cluster: Cluster
) -> None:
    del bureau.job["connections"]["initech"]
    lock = bureau.state("globex") / "lock"
    lock.parent.mkdir(parents=True)
    with ExitStack() as hold, bureau.start("--cluster", cluster.address) as process:
        hold.enter_context(locked(lock))
        assert process.stderr is not None
        assert re.fullmatch(
            rf"bureau/globex: waiting: {lock.parent} is in use by process {os.getpid()} on .+ "
            r"since \S+\n",
            process.stderr.readline(),
        )
        wait_until(lambda: "acme.jsonl" in bureau.files())
        hold.close()
        _, err = process.communicate(timeout=40)
    assert process.returncode == 0, err
    assert len(without_progress(err)) == 2
    assert bureau.files() == {name: calm[name] for name in ("acme.jsonl", "globex.jsonl")}


def test_ctrl_c_stops_the_workers(
    bureau: Bureau, calm: dict[str, bytes], emulators: dict[str, Handle]
) -> None:
    with bureau.start("--cluster", "local:2") as process:
        for name in NAMES:
            wait_until(saved(bureau, name, 1))
        workers = {bureau.holder(name) for name in NAMES}
        with held(*emulators.values()):
            # As a terminal does: to all processes.
            os.killpg(process.pid, signal.SIGINT)
            _, err = process.communicate(timeout=30)
    assert (process.returncode, without_progress(err)) == (
        130,
        [
            "stopping: requests are cancelled, writes finished; press Ctrl-C again to stop at once",
            "finished chunks are kept; run again to continue",
            "stopped by SIGINT",
        ],
    )
    assert all(lock_holder(bureau.state(name) / "lock") is None for name in NAMES)
    wait_until(lambda: not any(map(is_alive, workers)))
    before = len(bureau.parts("acme"))
    assert 1 <= before < CHUNKS
    # Without a cluster, from where it was stopped.
    assert bureau.run().code == 0
    assert bureau.files() == calm
    assert len(bureau.parts("acme")) == CHUNKS


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_tasks_stop_if_their_client_is_killed(
    bureau: Bureau, cluster: Cluster, emulators: dict[str, Handle]
) -> None:
    del bureau.job["connections"]["initech"]
    locks = [bureau.state(name) / "lock" for name in ("acme", "globex")]
    with bureau.start("--cluster", cluster.address) as process:
        wait_until(saved(bureau, "acme", 3))
        with held(*emulators.values()):
            process.kill()
            process.wait()
            wait_until(lambda: all(lock_holder(lock) is None for lock in locks), 20)
    assert len(bureau.parts("acme")) < CHUNKS


def test_a_variable_that_a_worker_lacks_is_named(bureau: Bureau, cluster: Cluster) -> None:
    result = bureau.run("--cluster", cluster.address)
    assert result.code == 2
    *others, last = without_progress(result.err)
    assert [line.partition(",")[0] for line in others] == [
        f"bureau/{name}: exit code 0: complete" for name in ("acme", "globex")
    ]
    assert re.fullmatch(
        rf"bureau/initech: exit code 2: error: on the worker at {socket.gethostname()}: "
        r"\S+job\.yaml:1: connections\.initech\.client_secret: the variable INITECH_SECRET is not "
        r"set; set it in the environment or in \.env",
        last,
    )


@contextmanager
def wire(address: str) -> Iterator[tuple[str, list[bytes]]]:
    """Give another address of a scheduler, and all bytes that go to it and come from it."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    seen: list[bytes] = []

    class Copy(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((host, int(port))) as scheduler:
                while ready := select.select([self.request, scheduler], [], [])[0]:
                    for one in ready:
                        data = one.recv(65536)
                        if not data:
                            return
                        seen.append(data)
                        (scheduler if one is self.request else self.request).sendall(data)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Copy) as server:
        Thread(target=server.serve_forever, args=(0.1,)).start()
        try:
            yield f"tcp://127.0.0.1:{server.server_address[1]}", seen
        finally:
            server.shutdown()


def test_no_secret_travels_or_is_logged(
    bureau: Bureau, cluster: Cluster, emulators: dict[str, Handle]
) -> None:
    with wire(cluster.address) as (address, pieces):
        result = bureau.run("--cluster", address, "-v")
    assert result.code == 2
    seen = b"".join(pieces)
    # The task itself was seen.
    assert b"ACME_SECRET" in seen
    logged = cluster.logged()
    assert "bureau/acme" in logged
    for each in emulators.values():
        secret = each.client_secret
        basic = b64encode(f"{each.client_id}:{secret}".encode()).decode()
        for spelled in (secret, basic):
            assert spelled.encode() not in seen
            assert spelled not in logged
            assert spelled not in result.out + result.err


def test_a_secret_in_the_job_file_is_refused(bureau: Bureau) -> None:
    bureau.job["connections"]["acme"]["client_secret"] = "s3cret"
    result = bureau.run("--cluster", "local:2")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "connections.acme.client_secret: must be a variable such as ${ACME_SECRET}; " in (
        result.err
    )
    assert "s3cret" not in result.err.replace("${ACME_SECRET}", "")


def test_a_scheduler_that_does_not_answer_is_one_line(bureau: Bureau) -> None:
    began = time.monotonic()
    result = bureau.run("--cluster", "tcp://127.0.0.1:1")
    # Dask itself would wait for 30 s.
    assert time.monotonic() - began < 30
    assert (result.code, result.err) == (
        1,
        "error: --cluster tcp://127.0.0.1:1: no Dask scheduler answers there; check the address, "
        "and that the scheduler runs: dask scheduler\n",
    )


def test_the_workers_reach_a_bucket_with_their_own_keys(
    bureau: Bureau, calm: dict[str, bytes], cluster: Cluster, storage: Storage
) -> None:
    del bureau.job["connections"]["initech"]
    bureau.secrets = {**bureau.secrets, **storage.environ}
    with closing(storage.bucket(f"test-{uuid4().hex[:12]}")) as bucket:
        bureau.job["output"] = {"path": f"s3://{bucket.name}/out/{{connection}}.jsonl"}
        with wire(cluster.address) as (address, pieces):
            result = bureau.run("--cluster", address)
        assert result.code == 0, result.err
        for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            assert storage.environ[variable].encode() not in b"".join(pieces)
            assert storage.environ[variable] not in cluster.logged()
        for name in ("acme.jsonl", "globex.jsonl"):
            found = bucket.read(f"out/{name}")
            assert found is not None
            assert found.data == calm[name]


@pytest.mark.parametrize("address", ["scheduler:8786", "local:0"])
def test_what_is_not_a_cluster_is_refused(bureau: Bureau, address: str) -> None:
    result = bureau.run(f"--cluster={address}")
    assert (result.code, result.out) == (2, "")
    assert f"{address!r} is not a cluster such as tcp://scheduler:8786 or local:4" in result.err
