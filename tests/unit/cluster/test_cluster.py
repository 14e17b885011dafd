"""What needs no cluster: what travels, the task on its own, the display, the missing extra."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from asyncreport import __version__, formats
from asyncreport.cluster import places, task
from asyncreport.cluster.board import Board
from asyncreport.cluster.connect import check_installed
from asyncreport.cluster.paths import with_absolute_paths
from asyncreport.cluster.report import Report
from asyncreport.cluster.work import Message, Outcome, Packed, Work, packed
from asyncreport.config import load_job, unresolved_connections
from asyncreport.core.errors import ConfigError, FolderInUseError
from asyncreport.core.job import Job
from asyncreport.engine.activity import Activity, Count, Watch
from asyncreport.export.run_context import Choices
from asyncreport.export.summary import Summary
from tests.exporting import NOW

JOB = """
name: job
connections: {acme: {region: eu-west-1, client_id: id, client_secret: "${SECRET}"}}
range: {start: 2024-01-01, end: 2024-01-02, time_zone: Europe/Dublin}
teams: [{name: all, everyone: true}]
output: {path: "out/{connection}.jsonl"}
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    """Give the work of a connection."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "job.yaml"
    path.write_text(JOB)
    environ = {"SECRET": "s3cret"}
    job = with_absolute_paths(load_job(path, environ=environ, now=NOW))
    bare = replace(job.connections[0], clients=(), proxy=None)
    marker = tmp_path / "marker"
    marker.touch()
    return Work(
        now=NOW,
        job=replace(job, connections=(bare,)),
        connection=unresolved_connections(path, environ=environ, overrides=())["acme"],
        env_file=Path(".env"),
        choices=Choices(),
        marker=marker,
    )


def pack(work: Work, version: str = __version__) -> Packed:
    return Packed(label="job/acme", version=version, topic="topic", content=packed(work))


class Log:
    """Receive the messages of a task."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def __call__(self, _: str, content: Any) -> None:
        self.messages.append(msgspec.convert(content, Message))


def outcome_of(task_: Packed, log: Log) -> Outcome:
    return task._outcome(task_, Report(task_, log), lambda: True)


def test_work_travels_without_its_secret_and_with_absolute_paths(
    work: Work, tmp_path: Path
) -> None:
    sent = pack(work)
    assert b"s3cret" not in sent.content
    assert repr(sent) == "Packed('job/acme')"
    arrived = sent.unpack()
    assert arrived == work
    # The very rules of the zone that every part depends on.
    assert arrived.job.query.grid.zone is work.job.query.grid.zone
    assert arrived.job.output.paths == (str(tmp_path / "out/{connection}.jsonl"),)
    output = replace(work.job.output, report="page-{connection}.html")
    absolute = with_absolute_paths(replace(work.job, output=output)).output
    assert absolute.report == str(tmp_path / "page-{connection}.html")


def test_a_worker_of_another_version_says_so(work: Work) -> None:
    outcome = outcome_of(pack(work, version="0.1"), Log())
    assert outcome.exit_code == 2
    assert outcome.error.endswith(
        f"has asyncreport {__version__}, the client 0.1; install the same version on all workers"
    )


def test_a_worker_with_another_disk_says_so(work: Work) -> None:
    assert work.marker is not None
    work.marker.unlink()
    outcome = outcome_of(pack(work), Log())
    assert outcome.exit_code == 5
    assert f"does not see {work.marker.parent} as the client does" in outcome.error


def test_a_worker_without_the_variable_names_it(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SECRET", raising=False)
    outcome = outcome_of(pack(work), Log())
    assert outcome.exit_code == 2
    assert "client_secret: the variable SECRET is not set" in outcome.error


def test_a_worker_reads_the_file_of_variables_in_its_own_folder(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    async def run_job(job: Job, **_: Any) -> Summary:
        seen.append(job.connections[0].clients[0].client_secret.reveal())
        raise ConfigError("enough")

    monkeypatch.setattr(task, "run_job", run_job)
    Path(".env").write_text("SECRET=of-the-worker\n")
    assert outcome_of(pack(work), Log()).error == "enough"
    assert seen == ["of-the-worker"]


def test_a_task_waits_for_its_connection_and_says_so_once(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "s3cret")
    monkeypatch.setattr(task, "_LOCK_PERIOD", 0)
    tries: list[Job] = []

    async def run_job(job: Job, **_: Any) -> Summary:
        tries.append(job)
        if len(tries) < 4:
            raise FolderInUseError("out is in use by process 123 on host")
        raise ConfigError("enough")

    monkeypatch.setattr(task, "run_job", run_job)
    log = Log()
    assert outcome_of(pack(work), log).error == "enough"
    assert [message.line for message in log.messages if message.line] == [
        "waiting: out is in use by process 123 on host"
    ]
    assert [message.waiting for message in log.messages] == [False, True, True, True]


def test_a_fault_of_ours_does_not_leave_the_task(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "s3cret")

    async def run_job(_: Job, **__: Any) -> Summary:
        raise ZeroDivisionError("by us")

    monkeypatch.setattr(task, "run_job", run_job)
    outcome = outcome_of(pack(work), Log())
    assert outcome.exit_code == 70
    assert outcome.error.startswith("internal error, ZeroDivisionError: by us")
    assert "in run_job" in outcome.traceback


def test_a_cancellation_that_nobody_asked_for_is_a_fault_of_ours(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the task would go from worker to worker, without an end."""
    monkeypatch.setenv("SECRET", "s3cret")

    async def run_job(_: Job, **__: Any) -> Summary:
        raise asyncio.CancelledError

    monkeypatch.setattr(task, "run_job", run_job)
    assert outcome_of(pack(work), Log()).exit_code == 70
    with pytest.raises(asyncio.CancelledError):
        task._outcome(pack(work), Report(pack(work), Log()), lambda: False)


def test_the_figures_of_a_run_are_sent_at_its_end_too(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "s3cret")

    async def run_job(_: Job, *, watch: Watch, **__: Any) -> Summary:
        activity = Activity("job")
        async with watch(activity):
            activity.progress.counts["acme"] = Count(chunks=5, finished=3)
            raise ConfigError("enough")

    monkeypatch.setattr(task, "run_job", run_job)
    log = Log()
    outcome_of(pack(work), log)
    assert log.messages[-1] == Message(label="job/acme", chunks=5, finished=3)


def test_a_task_that_nobody_wants_is_cancelled_once_and_ends_its_writes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(task, "_LOOK_PERIOD", 0.01)
    events: list[str] = []

    async def command() -> None:
        try:
            events.append("began")
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.1)
            events.append("written")

    def wanted() -> bool:
        return not events

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(task._until_unwanted(command(), wanted))
    assert events == ["began", "written"]


def test_the_board_counts_what_the_tasks_say() -> None:
    async def play() -> None:
        board = Board("job", 3)
        assert board.lines(0)[0].plain() == "job: 0/3 connections, starting the cluster"
        for message in (
            Message(label="job/a"),
            Message(label="job/b", chunks=10, finished=4, failed=1),
            Message(label="job/b", line="warning: something"),
            Message(label="job/c", waiting=True),
        ):
            board.take((0.0, msgspec.to_builtins(message)))
        assert board.lines(0)[0].plain() == (
            "job: 0/3 connections, 3 running, 1 waiting, 4/10 chunks, 1 failed"
        )
        board.take((0.0, {"label": "job/b", "ended": True}))
        board.finish("job/b")
        # Lost with its worker: only the result says that it has ended.
        board.finish("job/a")
        assert board.lines(0)[0].plain() == (
            "job: 2/3 connections, 1 running, 1 waiting, 4/10 chunks, 1 failed"
        )
        waiter = asyncio.create_task(board.until_idle())
        board.take((0.0, {"label": "job/c", "ended": True}))
        await asyncio.wait_for(waiter, 5)
        assert board.lines(0)[0].plain() == "job: 2/3 connections, 4/10 chunks, 1 failed"

    asyncio.run(play())


def test_workers_that_come_later_get_connections_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker with many threads has no more than the option says; one that goes changes nothing.

    If the scheduler is gone, nothing waits for a worker.
    """
    monkeypatch.setattr(places, "_PERIOD", 0)
    answers = iter([{}, {"one": 16}, {"one": 16, "two": 2}, {"two": 2}])

    class Client:
        async def nthreads(self) -> dict[str, int]:
            try:
                return next(answers)
            except StopIteration:
                raise OSError("the scheduler is gone") from None

    async def count() -> int:
        board = Board("job", 100)
        number = 0
        async with places.Places(Client(), 8, board) as found:
            while number < 8 + 2 + 100:
                await asyncio.wait_for(found.free.acquire(), 5)
                number += 1
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(found.free.acquire(), 0.01)
        return number

    assert asyncio.run(count()) == 110


def test_without_the_extra_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda _: None)
    with pytest.raises(ConfigError) as error:
        check_installed()
    assert str(error.value) == (
        f"--cluster needs distributed: {sys.executable} -m pip install 'asyncreport[cluster]'"
    )
