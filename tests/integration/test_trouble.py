"""Signals, full disks, missing permissions, damaged state: one message, then the next run works."""

from __future__ import annotations

import json
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from asyncreport.core.timeline import parse_iso
from asyncreport.emulator import World
from asyncreport.export.run import clock
from tests.emulator_process import Handle, emulator_process
from tests.exporting import (
    NOW,
    PATIENCE,
    Call,
    call,
    environ,
    restate,
    run_here,
    start,
    write_job,
)
from tests.manifests import edit_lines

ROOT = Path(__file__).parents[2]
RANGE = {"start": "2024-01-01", "end": "2024-01-05", "granularity": "PT1H", "chunk": "P1D"}
CHUNKS = 4
QUERY = "aggregates/query"
#: whose members a team has
QUEUE = World(agents=4, seed=3).queues[0].id
USERS = [person.id for person in World(agents=4, seed=3).people]
STOPPED = [(signal.SIGINT, "SIGINT", 130), (signal.SIGTERM, "SIGTERM", 143)]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=4, seed=3, requests_per_minute=0, tokens_per_minute=0) as handle:
        yield handle


@pytest.fixture(scope="module")
def calm(emulator: Handle, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("calm")
    run_here(job(folder, emulator))
    return (folder / "out.jsonl").read_bytes()


@pytest.fixture(scope="module")
def trace(emulator: Handle, tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    """Give the moments of an undisturbed run, see `tests.cut`."""
    folder = tmp_path_factory.mktemp("trace")
    ended = cut_to_end(job(folder, emulator), trace=str(folder / "trace"))
    assert ended.code == 0, ended.err
    found: list[list[str]] = json.loads((folder / "trace").read_text())
    return found


def job(folder: Path, emulator: Handle, **sections: Any) -> Path:
    return write_job(folder, emulator, **{"range": RANGE, "limits": {"concurrency": 1}, **sections})


@contextmanager
def cut(path: Path, **spec: Any) -> Iterator[subprocess.Popen[str]]:
    """Start a job in a process in which something goes wrong."""
    arguments = (json.dumps(spec), "run", str(path))
    root = str(ROOT)
    with start(*arguments, cwd=path.parent, module="tests.cut", PYTHONPATH=root) as process:
        yield process


def cut_to_end(path: Path, command: str = "run", **spec: Any) -> Call:
    """Run a job to its end in a process in which something goes wrong."""
    return call(json.dumps(spec), command, str(path), module="tests.cut", cwd=path.parent)


def moment(trace: list[list[str]], what: str, of: str, nth: int = 1) -> int:
    """Find the nth moment of a kind: its number."""
    return [
        number
        for number, (call, file) in enumerate(trace, 1)
        if call == what and file.startswith(of)
    ][nth - 1]


def seen_by(emulator: Handle) -> int:
    """Count the requests to the API so far, as `wait` counts them."""
    return sum(entry["path"].startswith("/api/") for entry in emulator.log())


def queries(emulator: Handle, since: int) -> int:
    return sum(QUERY in entry["path"] for entry in emulator.log()[since:])


def unfinished(folder: Path) -> list[Path]:
    return [*folder.rglob("*.tmp"), *folder.rglob(".asyncreport-*")]


@pytest.mark.parametrize(("number", "name", "code"), STOPPED)
def test_a_signal_during_the_merge_ends_it_cleanly(
    emulator: Handle,
    calm: bytes,
    trace: list[list[str]],
    tmp_path: Path,
    number: int,
    name: str,
    code: int,
) -> None:
    """The old output stays, no temporary file is left, and the next run only merges."""
    path = job(tmp_path, emulator)
    (tmp_path / "out.jsonl").write_text("old")
    with cut(path, at=moment(trace, "open", "out.jsonl"), action="hold") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (code, "told\n")
    replaced, *lines = err.splitlines()
    assert "out.jsonl exists, and no job has written it: this run replaces it" in replaced
    assert lines == [
        "stopping: requests are cancelled, writes finished; press Ctrl-C again to stop at once",
        "finished chunks are kept; run again to continue",
        f"stopped by {name}",
    ]
    assert (tmp_path / "out.jsonl").read_text() == "old"
    assert not unfinished(tmp_path)
    seen = len(emulator.log())
    assert run_here(path, now=clock()).complete
    assert queries(emulator, seen) == 0
    assert (tmp_path / "out.jsonl").read_bytes() == calm


def kill_in_a_write(path: Path, *, at: int, number: int, says: str) -> int:
    """Send a signal to a run whose write hangs; once it says something, send the signal again."""
    with cut(path, at=at, action="hang") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.send_signal(number)
        assert process.stdout.readline() == f"{says}\n"
        process.send_signal(number)
        process.communicate(timeout=PATIENCE)
    assert process.returncode is not None
    return process.returncode


@pytest.mark.parametrize(("number", "name", "_code"), STOPPED)
def test_a_second_signal_kills_at_once(
    emulator: Handle,
    calm: bytes,
    trace: list[list[str]],
    tmp_path: Path,
    number: int,
    name: str,
    _code: int,
) -> None:
    """Even if a write hangs, as on a disk that does not respond; the next run works."""
    path = job(tmp_path, emulator)
    killed = kill_in_a_write(
        path, at=moment(trace, "write", "out.jsonl"), number=number, says="told"
    )
    assert killed == -number, name
    assert run_here(path, now=clock()).complete
    assert (tmp_path / "out.jsonl").read_bytes() == calm
    assert not unfinished(tmp_path)


@pytest.mark.parametrize("of", ["lock.json", "names", "summary"])
@pytest.mark.parametrize(("number", "name", "_code"), STOPPED)
def test_a_second_signal_kills_even_if_a_write_blocks_the_event_loop(
    emulator: Handle,
    calm: bytes,
    trace: list[list[str]],
    tmp_path: Path,
    of: str,
    number: int,
    name: str,
    _code: int,
) -> None:
    """The event loop itself writes small files, and handles no signal meanwhile."""
    path = job(tmp_path, emulator)
    killed = kill_in_a_write(path, at=moment(trace, "write", of), number=number, says="heard")
    assert killed == -number, name
    assert run_here(path, now=clock()).complete
    assert (tmp_path / "out.jsonl").read_bytes() == calm
    assert not unfinished(tmp_path)


def test_a_second_signal_does_not_wait_until_a_query_job_is_deleted(
    emulator: Handle, tmp_path: Path
) -> None:
    """The first signal deletes the running query job, for 5 s at most; a second one kills."""
    path = job(tmp_path, emulator, contract="query-jobs")
    before = seen_by(emulator)
    emulator.faults([{"match": {"path": "/aggregates/jobs/"}, "do": {"hang": True}}])
    try:
        with start("run", str(path), cwd=tmp_path) as process:
            emulator.wait(before + 4)  # user count, organisation, query job, its state, which hangs
            process.send_signal(signal.SIGINT)
            emulator.wait(before + 5)  # the deletion, which hangs too
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=PATIENCE)
    finally:
        emulator.faults([])
    assert [entry["method"] for entry in emulator.log()[-2:]] == ["GET", "DELETE"]
    assert process.returncode == -signal.SIGINT


FILES = [
    ("write", of)
    for of in ("lock.json", "part", "manifest", "names", "out.jsonl", "outputs", "summary")
]


@pytest.mark.parametrize(("what", "of"), FILES)
def test_a_full_disk_is_reported_and_the_next_run_works(
    emulator: Handle, calm: bytes, trace: list[list[str]], tmp_path: Path, what: str, of: str
) -> None:
    path = job(tmp_path, emulator)
    ended = cut_to_end(path, at=moment(trace, what, of), action="full")
    assert ended.code == 5
    assert_full(ended.err, tmp_path, of)
    seen, standing = (
        len(emulator.log()),
        len(list((tmp_path / ".asyncreport" / "job" / "default").glob("part-*"))),
    )
    assert run_here(path, now=clock()).complete
    assert queries(emulator, seen) == CHUNKS - (standing if of != "manifest" else 0)
    assert (tmp_path / "out.jsonl").read_bytes() == calm


def settling(folder: Path, emulator: Handle) -> Path:
    """Write a job with a queue's members, stale parts, one changed value, and no queue names."""
    emulator.members("queue", QUEUE, USERS[:1])
    path = job(
        folder,
        emulator,
        split_by=["queue_id"],
        teams=[{"name": "all", "everyone": True}, {"name": "few", "queue": QUEUE}],
    )
    state = folder / ".asyncreport" / "job"
    run_here(path, now=parse_iso("2024-01-05T06:00Z"))
    restate(state / "default", "2024-01-02T00:00:00.000Z")
    (state / "queues.json").unlink()
    emulator.members("queue", QUEUE, USERS[:2])
    return path


@pytest.fixture(scope="module")
def settled(
    emulator: Handle, tmp_path_factory: pytest.TempPathFactory
) -> tuple[bytes, list[list[str]]]:
    """Give the output and the moments of an undisturbed run of that job."""
    folder = tmp_path_factory.mktemp("settled")
    ended = cut_to_end(settling(folder, emulator), trace=str(folder / "trace"))
    assert ended.code == 0, ended.err
    return (folder / "out.jsonl").read_bytes(), json.loads((folder / "trace").read_text())


@pytest.mark.parametrize("of", ["queues.json", "members.json", "changes.jsonl"])
def test_a_disk_that_is_full_at_a_look_up_file_loses_nothing(
    emulator: Handle, settled: tuple[bytes, list[list[str]]], tmp_path: Path, of: str
) -> None:
    output, trace = settled
    path, state = settling(tmp_path, emulator), tmp_path / ".asyncreport" / "job" / "default"
    ended = cut_to_end(path, at=moment(trace, "write", of), action="full")
    assert ended.code == 5
    assert_full(ended.err, tmp_path, of)
    summary = run_here(path, now=clock())
    assert summary.complete
    assert summary.members["few"].joined == [max(USERS[:2], key=USERS.index)]
    assert (tmp_path / "out.jsonl").read_bytes() == output
    assert (state / "changes.jsonl").read_bytes().count(b"\n") == 1


def assert_full(err: str, folder: Path, of: str) -> None:
    """Check the one line of a run with a full disk: the file, the bytes, the next step.

    No temporary file is left.
    """
    (line,) = err.splitlines()
    assert line.startswith(f"error: {folder}/")
    assert f"/{of}" in line
    assert re.search(
        r"could not be written: No space left on device; "
        r"about [\d,]+ bytes are needed and [\d,]+ are free; free some space on",
        line,
    )
    assert line.endswith(" and run again: finished work is kept")
    assert not unfinished(folder)


def test_a_file_size_limit_is_reported_and_the_next_run_only_merges(
    emulator: Handle, calm: bytes, tmp_path: Path
) -> None:
    """The system refuses in the middle of a write: the parts fit, the output does not."""
    path = job(tmp_path, emulator)
    assert len(calm) > 12_000
    ended = cut_to_end(path, file_size=12_000)
    assert ended.code == 5
    assert ended.err == (
        f"error: {tmp_path}/out.jsonl could not be written: File too large; "
        "raise the file size limit (ulimit -f) and run again: finished work is kept\n"
    )
    assert not unfinished(tmp_path)
    seen = len(emulator.log())
    assert run_here(path, now=clock()).complete
    assert queries(emulator, seen) == 0
    assert (tmp_path / "out.jsonl").read_bytes() == calm


@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "job.yaml"),
        ("schema",),
        ("query", "--emulator", "--start", "2024-01-01", "--end", "2024-01-02"),
    ],
)
def test_standard_output_that_is_full_ends_with_5(
    emulator: Handle, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    job(tmp_path, emulator)
    command = [sys.executable, "-m", "asyncreport", *arguments]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command,
            check=False,
            cwd=tmp_path,
            env=environ(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
        )
    assert done.returncode == 5
    assert done.stderr.splitlines()[-1] == (
        "error: cannot write to standard output: No space left on device; "
        "free some space or redirect the output to another place"
    )


def test_another_failure_is_not_reported_as_one_of_standard_output(
    emulator: Handle, tmp_path: Path
) -> None:
    """The current directory was removed, and a path is relative to it."""
    path = job(tmp_path, emulator, output={"path": "out.jsonl"})
    (tmp_path / "gone").mkdir()
    there = f'cd gone && rmdir ../gone && exec "{sys.executable}" -m asyncreport run "{path}"'
    command = ["/bin/sh", "-c", there]
    done = subprocess.run(
        command,
        check=False,
        cwd=tmp_path,
        env=environ(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 5
    assert done.stderr == (
        "error: operating system: No such file or directory; "
        "run again with -v to see the traceback\n"
    )


@pytest.mark.parametrize("closed", ["out", "out/.asyncreport", "out/.asyncreport/job"])
def test_a_folder_without_permissions_is_reported_before_any_query(
    emulator: Handle, tmp_path: Path, closed: str
) -> None:
    path = job(tmp_path, emulator, output={"path": str(tmp_path / "out" / "out.jsonl")})
    (tmp_path / closed).mkdir(parents=True)
    (tmp_path / closed).chmod(0o500)
    seen = len(emulator.log())
    # root would ignore the modes of files
    ended = cut_to_end(path, unprivileged=True)
    (tmp_path / closed).chmod(0o700)
    assert ended.code == 5
    (line,) = ended.err.splitlines()
    assert line.startswith(f"error: {tmp_path}/out")
    assert (
        "and the permissions of this user there, then run again" in line
        or "this user may not write to " in line
    )
    assert len(emulator.log()) == seen


def test_a_copy_that_cannot_be_written_is_verified(emulator: Handle, tmp_path: Path) -> None:
    path = job(tmp_path, emulator)
    assert run_here(path).complete
    folder = tmp_path / ".asyncreport" / "job"
    folder.chmod(0o500)
    ended = cut_to_end(path, command="verify", unprivileged=True)
    folder.chmod(0o700)
    assert (ended.code, ended.err) == (0, "")
    assert {line[:4] for line in ended.out.splitlines()} == {"OK  "}


@pytest.mark.parametrize("command", ["run", "plan", "status", "verify"])
def test_a_folder_of_another_user_has_one_clear_message(
    emulator: Handle, tmp_path: Path, command: str
) -> None:
    path = job(tmp_path, emulator)
    assert run_here(path).complete
    folder = tmp_path / ".asyncreport" / "job"
    folder.chmod(0o000)
    ended = cut_to_end(path, command=command, unprivileged=True)
    folder.chmod(0o700)
    assert (ended.code, ended.out) == (5, "")
    (line,) = ended.err.splitlines()
    assert line.startswith(f"error: {folder}")
    assert "Permission denied" in line
    assert f"check {folder}" in line
    assert "the permissions of this user there, then run again" in line


@pytest.mark.parametrize(
    "taken",
    [
        "out",
        "out/.asyncreport",
        "out/.asyncreport/job",
        "out/.asyncreport/job/default",
        "out/.asyncreport/job/merge.lock",
        "out/.asyncreport/job/default/lock",
    ],
)
def test_a_file_in_place_of_a_folder_or_the_reverse_is_reported(
    emulator: Handle, tmp_path: Path, taken: str
) -> None:
    path = job(tmp_path, emulator, output={"path": str(tmp_path / "out" / "out.jsonl")})
    if taken.endswith("lock"):
        (tmp_path / taken).mkdir(parents=True)
    else:
        (tmp_path / taken).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / taken).write_text("in the way")
    seen = len(emulator.log())
    result = call("run", str(path), cwd=tmp_path)
    assert result.code == 5
    (line,) = result.err.splitlines()
    assert str(tmp_path / taken) in line
    assert len(emulator.log()) == seen


def test_a_damaged_line_in_the_manifest_is_reported_with_its_number(
    emulator: Handle, calm: bytes, tmp_path: Path
) -> None:
    path = job(tmp_path, emulator)
    run_here(path)
    state = tmp_path / ".asyncreport" / "job" / "default"
    manifest = state / "manifest.jsonl"
    lines = manifest.read_bytes().splitlines(keepends=True)
    manifest.write_bytes(b"".join([*lines[:2], b"\x00\xff garbage\n", *lines[3:]]))
    result = call("run", str(path), cwd=tmp_path)
    assert result.code == 5
    assert f"{manifest}, line 3: cannot be read (" in result.err
    assert f"delete the folder {state} and run again: everything is fetched again" in result.err
    manifest.write_bytes(b"".join(lines))
    assert run_here(path).chunks_fetched == 0
    assert (tmp_path / "out.jsonl").read_bytes() == calm


@pytest.mark.parametrize("left", [b"", b"{", b'{"part":4,"finger', b"\x00" * 40])
def test_a_torn_last_line_loses_only_its_own_part(
    emulator: Handle, calm: bytes, tmp_path: Path, left: bytes
) -> None:
    path = job(tmp_path, emulator)
    run_here(path)
    manifest = tmp_path / ".asyncreport" / "job" / "default" / "manifest.jsonl"
    manifest.write_bytes(b"".join(manifest.read_bytes().splitlines(keepends=True)[:-1]) + left)
    seen = len(emulator.log())
    assert run_here(path).chunks_fetched == 1
    assert queries(emulator, seen) == 1
    assert (tmp_path / "out.jsonl").read_bytes() == calm


def test_a_stale_lock_is_ignored(emulator: Handle, tmp_path: Path) -> None:
    """So is `merge.lock.json`, whatever it says."""
    path = job(tmp_path, emulator)
    state = tmp_path / ".asyncreport" / "job"
    state.mkdir(parents=True)
    (state / "merge.lock").write_text("")
    (state / "merge.lock.json").write_text('{"pid": 1, "host": "another"}')
    assert call("run", str(path), cwd=tmp_path).code == 0
    (state / "merge.lock.json").write_text("garbage")
    assert call("run", str(path), cwd=tmp_path).code == 0


def test_parts_with_a_fetch_time_in_the_future_are_fetched_again(
    emulator: Handle, calm: bytes, tmp_path: Path
) -> None:
    """It may have fetched a time that had not come yet, without records.

    A clock that was slow does no harm either.
    """
    path = job(tmp_path, emulator)
    run_here(path, now=parse_iso("2099-01-01T00:00Z"))
    looked, planned = (call(command, str(path), cwd=tmp_path) for command in ("status", "plan"))
    assert "; the next run fetches 4 of them again" in looked.out
    assert "fetched in the future: a clock was wrong" in planned.out
    back = call("run", str(path), cwd=tmp_path)
    assert back.code == 0
    warnings = [line for line in back.err.splitlines() if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert warnings[0].startswith("warning: 4 parts have a fetch time in the future: now is 20")
    assert warnings[0].endswith("Z, so the clock was or is wrong; these parts are fetched again")
    assert "job: 4 chunks fetched, 0 parts reused" in back.err
    assert call("run", str(path), cwd=tmp_path).err.startswith("job: nothing to do, 4 parts reused")
    assert (tmp_path / "out.jsonl").read_bytes() == calm
    slow = tmp_path / "slow"
    slow.mkdir()
    path = job(slow, emulator)
    run_here(path, now=parse_iso("2023-12-01T00:00Z"))
    assert run_here(path, now=NOW).chunks_fetched == CHUNKS
    assert (slow / "out.jsonl").read_bytes() == calm


@pytest.mark.parametrize(("umask", "output"), [(0, 0o666), (0o077, 0o600), (0o022, 0o644)])
def test_state_is_private_and_the_output_has_the_mode_that_the_umask_gives(
    emulator: Handle, tmp_path: Path, umask: int, output: int
) -> None:
    path = job(tmp_path, emulator)
    command = [sys.executable, "-m", "asyncreport", "run", str(path)]
    done = subprocess.run(
        command,
        check=False,
        cwd=tmp_path,
        env=environ(),
        umask=umask,
        capture_output=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0
    state = tmp_path / ".asyncreport" / "job"
    modes = {
        each.relative_to(tmp_path): stat.S_IMODE(each.stat().st_mode)
        for each in (state, *state.rglob("*"))
    }
    for folder in (state, state / "default"):
        assert modes.pop(folder.relative_to(tmp_path)) == 0o700
    assert len(modes) > CHUNKS
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / "out.jsonl").stat().st_mode) == output


def test_parts_of_other_time_zone_rules_are_fetched_again_and_a_line_says_so(
    emulator: Handle, calm: bytes, tmp_path: Path
) -> None:
    path = job(tmp_path, emulator)
    run_here(path)
    manifest = tmp_path / ".asyncreport" / "job" / "default" / "manifest.jsonl"
    edit_lines(manifest, lambda line: {**line, "edges": "0" * 16} if "part" in line else line)
    fact = (
        f"warning: default: {CHUNKS} parts were saved under other rules for UTC, with other bucket "
        "edges; their time is fetched again"
    )
    assert fact in call("plan", str(path), cwd=tmp_path).out.splitlines()
    result = call("run", str(path), cwd=tmp_path)
    assert result.code == 0
    assert fact in result.err.splitlines()
    assert f"job: {CHUNKS} chunks fetched, 0 parts reused" in result.err
    assert (tmp_path / "out.jsonl").read_bytes() == calm
    assert len(list(manifest.parent.glob("part-*"))) == CHUNKS
    again = call("run", str(path), cwd=tmp_path)
    assert again.err.startswith(f"job: nothing to do, {CHUNKS} parts reused")


@pytest.mark.parametrize("command", ["run", "verify", "status", "plan"])
def test_a_changed_digit_in_the_manifest_ends_every_command(
    emulator: Handle, tmp_path: Path, command: str
) -> None:
    """The end of an interval: without a checksum, its time would be fetched and counted twice."""
    path = job(tmp_path, emulator)
    run_here(path)
    manifest = tmp_path / ".asyncreport" / "job" / "default" / "manifest.jsonl"
    content = manifest.read_bytes()
    at = content.index(b"/2024-01-") + len(b"/2024-01-0")
    manifest.write_bytes(content[:at] + b"9" + content[at + 1 :])
    result = call(command, str(path), cwd=tmp_path)
    assert result.code == 5
    assert "line 3: cannot be read (its checksum is wrong)" in result.err
