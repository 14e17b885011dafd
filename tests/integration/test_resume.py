"""Runs that are killed or stopped: the next one fetches only the missing chunks."""

from __future__ import annotations

import asyncio
import json
import random
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from asyncreport.core.errors import Interrupted, StoreError
from asyncreport.core.job import Part
from asyncreport.core.timeline import DAY, iso, parse_iso
from asyncreport.store.atomic import atomic_write
from asyncreport.store.manifest import Manifest
from asyncreport.store.state import State
from tests.emulator_process import Handle, emulator_process
from tests.exporting import NOW, call, connection, restate, rows, run_here, start, write_job
from tests.unit.store.facts import FILTER

#: 16 chunks, two requests at a time
RANGE = {"start": "2024-01-01", "end": "2024-01-17", "granularity": "PT30M", "chunk": "P1D"}
CHUNKS = 16
QUERY = "aggregates/query"


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=12, seed=3, requests_per_minute=0) as handle:
        yield handle


@pytest.fixture(scope="module")
def calm(emulator: Handle, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Give the output of a run that nothing disturbs."""
    folder = tmp_path_factory.mktemp("calm")
    run_here(job(folder, emulator))
    return (folder / "out.jsonl").read_bytes()


def job(folder: Path, emulator: Handle, **sections: Any) -> Path:
    return write_job(folder, emulator, **{"range": RANGE, "limits": {"concurrency": 2}, **sections})


def committed(state: Path, *, since: int = 0) -> set[str]:
    """Give the intervals of the parts after a number; a torn last line is ignored."""
    path = state / "manifest.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return {
        json.loads(line)["interval"]
        for line in lines
        if "interval" in line and json.loads(line)["part"] > since
    }


def seen_by(emulator: Handle) -> int:
    """Count the requests to the API so far, without tokens, as `wait` counts them."""
    return sum(entry["path"].startswith("/api/") for entry in emulator.log())


def asked(emulator: Handle, since: int) -> list[str]:
    """Give the intervals of the queries that came after so many log entries."""
    return [
        seen["interval"]
        for seen in emulator.log()[since:]
        if QUERY in seen["path"] and seen["interval"]
    ]


@pytest.mark.parametrize("seed", range(8))
def test_a_run_killed_at_any_moment_is_finished_by_the_next_one_one(
    emulator: Handle, calm: bytes, tmp_path: Path, seed: int
) -> None:
    """No finished chunk is fetched again, and the bytes are those of an undisturbed run."""
    rng = random.Random(seed)
    path = job(tmp_path, emulator)
    before = seen_by(emulator)
    with start("run", str(path), cwd=tmp_path) as process:
        emulator.wait(requests=before + rng.randrange(1, CHUNKS + 3))
        process.kill()
        process.communicate()
    done, seen = committed(tmp_path / ".asyncreport" / "job" / "default"), len(emulator.log())
    result = call("run", str(path), cwd=tmp_path)
    assert (result.code, result.out) == (0, "")
    assert (tmp_path / "out.jsonl").read_bytes() == calm
    again = asked(emulator, seen)
    assert len(again) == len(set(again)) == CHUNKS - len(done)
    assert not done & set(again)


@pytest.mark.parametrize(
    ("number", "name", "code"), [(signal.SIGINT, "SIGINT", 130), (signal.SIGTERM, "SIGTERM", 143)]
)
def test_a_signal_ends_a_run_cleanly_and_keeps_what_is_finished(
    emulator: Handle, calm: bytes, tmp_path: Path, number: int, name: str, code: int
) -> None:
    path = job(tmp_path, emulator)
    emulator.faults([{"match": {"path": QUERY, "after": 5}, "do": {"hang": True}}])
    before = seen_by(emulator)
    try:
        with start("run", str(path), cwd=tmp_path) as process:
            emulator.wait(
                requests=before + 2 + 7
            )  # how many users, the organisation, and five queries answered; two hang
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
    finally:
        emulator.faults([])
    assert (process.returncode, out) == (code, "")
    assert err.splitlines()[-2:] == [
        "finished chunks are kept; run again to continue",
        f"stopped by {name}",
    ]
    assert len(committed(tmp_path / ".asyncreport" / "job" / "default")) == 5
    assert not list(tmp_path.rglob("*.tmp"))
    assert not (tmp_path / "out.jsonl").exists()
    assert call("run", str(path), cwd=tmp_path).code == 0
    assert (tmp_path / "out.jsonl").read_bytes() == calm


def test_a_second_run_of_a_job_reports_which_process_holds_it(
    emulator: Handle, tmp_path: Path
) -> None:
    path = job(tmp_path, emulator)
    before = seen_by(emulator)
    emulator.faults([{"match": {"path": QUERY}, "do": {"hang": True}}])
    try:
        with start("run", str(path), cwd=tmp_path) as first:
            emulator.wait(requests=before + 2)
            second = call("run", str(path), cwd=tmp_path)
    finally:
        emulator.faults([])
    assert second.code == 5
    assert (
        call("run", str(path), cwd=tmp_path).code == 0
    )  # the lock of a dead process does not block
    assert f"is in use by process {first.pid} on " in second.err


def test_a_finished_job_run_again_sends_no_request_and_touches_no_file(
    emulator: Handle, tmp_path: Path
) -> None:
    path = job(tmp_path, emulator)
    assert call("run", str(path), cwd=tmp_path).code == 0
    before, stamp = len(emulator.log()), (tmp_path / "out.jsonl").stat()
    result = call("run", str(path), cwd=tmp_path)
    assert result.err.splitlines()[0] == "job: nothing to do, 16 parts reused"
    assert len(emulator.log()) == before
    assert (tmp_path / "out.jsonl").stat() == stamp


def test_damaged_parts_are_reported_and_fetched_again(
    emulator: Handle, calm: bytes, tmp_path: Path
) -> None:
    """One with other rows, one with another index, one cut short; only these are fetched."""
    path = job(tmp_path, emulator)
    run_here(path)
    state = tmp_path / ".asyncreport" / "job" / "default"
    for number, old, new in (
        (3, b'"handled_count":1', b'"handled_count":2'),
        (5, b'{"users":', b'{"losers"'),
    ):
        part = state / f"part-0000000{number}.jsonl"
        part.write_bytes(part.read_bytes().replace(old, new, 1))
    cut = state / "part-00000007.jsonl"
    cut.write_bytes(cut.read_bytes()[:-10])
    (tmp_path / "out.jsonl").unlink()
    seen = len(emulator.log())
    mended = call("run", str(path), cwd=tmp_path)
    assert mended.code == 0
    warnings = [line for line in mended.err.splitlines() if line.startswith("warning: ")]
    # The one that was cut first: the others are found by the merge, in the order of its reading.
    assert warnings[0].partition(".jsonl")[0].endswith("part-00000007")
    assert {line.partition(".jsonl")[0][-1] for line in warnings[1:]} == {"3", "5"}
    assert all(line.endswith("; it is fetched again") for line in warnings)
    assert "job: 3 chunks fetched, 13 parts reused" in mended.err
    assert len(asked(emulator, seen)) == 3
    assert (tmp_path / "out.jsonl").read_bytes() == calm


def test_a_part_that_disappeared_or_grew_is_named_before_it_is_fetched_again(
    emulator: Handle, calm: bytes, tmp_path: Path
) -> None:
    path = job(tmp_path, emulator)
    run_here(path)
    state = tmp_path / ".asyncreport" / "job" / "default"
    gone, longer = state / "part-00000003.jsonl", state / "part-00000005.jsonl"
    size = longer.stat().st_size
    gone.unlink()
    with longer.open("ab") as file:
        file.write(b"?")
    warnings = [
        # Which day a part has depends on which response came first.
        re.sub(r" \(\S+\)", "", line.replace(f"{state}/", ""))
        for line in call("run", str(path), cwd=tmp_path).err.splitlines()
        if line.startswith("warning: ")
    ]
    assert warnings == [
        "warning: part-00000003.jsonl has disappeared; it is fetched again",
        "warning: part-00000005.jsonl is damaged: "
        f"it has {size + 1:,} bytes instead of {size:,}; it is fetched again",
    ]
    assert not longer.exists()
    assert (tmp_path / "out.jsonl").read_bytes() == calm
    # Not again: neither without work, nor if the interval is fetched again for another reason.
    assert "warning" not in call("run", str(path), cwd=tmp_path).err
    refresh = call("run", "--refresh", "2024-01-03/2024-01-06", str(path), cwd=tmp_path)
    assert "warning" not in refresh.err


def test_what_a_killed_merge_left_beside_an_old_output_is_removed(
    emulator: Handle, tmp_path: Path
) -> None:
    run_here(job(tmp_path, emulator))
    output = tmp_path / "out.jsonl"
    with atomic_write(output, owner=tmp_path / ".asyncreport" / "job") as sink:
        sink.write(output.read_bytes())
        (left,) = tmp_path.glob(".asyncreport-*")
    # As if the process had been killed before the rename.
    left.write_bytes(b"half of a file")
    run_here(job(tmp_path, emulator, output={"path": str(tmp_path / "other.jsonl")}))
    files = sorted(each.name for each in tmp_path.iterdir() if each.is_file())
    assert files == ["job.yaml", "other.jsonl", "out.jsonl"]


def test_a_disk_that_damages_a_new_part_ends_the_run(
    emulator: Handle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, save = job(tmp_path, emulator), State.save

    async def spoil(state: State, *given: Any, **named: Any) -> Part:
        part = await save(state, *given, **named)
        file = state.folder / "default" / f"part-{part.number:08}.jsonl"
        file.write_bytes(file.read_bytes().replace(b"0", b"1"))
        return part

    monkeypatch.setattr(State, "save", spoil)
    with pytest.raises(StoreError, match=r"is damaged: .* this happened twice, so check the disk"):
        run_here(path)


def test_a_refresh_fetches_an_interval_again_and_lists_the_changes(
    emulator: Handle, calm: bytes, tmp_path: Path
) -> None:
    path, state = job(tmp_path, emulator), tmp_path / ".asyncreport" / "job" / "default"
    early = NOW - DAY
    run_here(path, now=early)
    restate(state, "2024-01-05T00:00:00.000Z")
    seen = len(emulator.log())
    result = call("run", str(path), "--refresh", "2024-01-04T12:00/2024-01-07", cwd=tmp_path)
    assert result.code == 0
    assert asked(emulator, seen) == [
        f"2024-01-0{day}T00:00:00.000Z/2024-01-0{day + 1}T00:00:00.000Z" for day in (4, 5, 6)
    ]
    assert "job: 3 chunks fetched, 13 parts reused" in result.err
    assert (
        f"1 value in 1 part changed since the last fetch: {state / 'changes.jsonl'}" in result.err
    )
    change = json.loads((state / "changes.jsonl").read_text())
    assert (change["field"], change["before"], change["interval_start"][:10]) == (
        "handled_count",
        0,
        "2024-01-05",
    )
    assert change["after"] > 0
    assert (state / "changes.jsonl").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "out.jsonl").read_bytes() == calm
    assert call("run", str(path), cwd=tmp_path).err.startswith("job: nothing to do")


@pytest.mark.parametrize("kill_at", [1, 2, 3])
def test_a_refresh_that_is_killed_half_way_leaves_parts_that_do_not_overlap(
    emulator: Handle, calm: bytes, tmp_path: Path, kill_at: int
) -> None:
    """The next run fetches the other parts again, because they are marked for a refresh."""
    path, state = job(tmp_path, emulator), tmp_path / ".asyncreport" / "job" / "default"
    early = NOW - DAY
    run_here(path, now=early)
    for day in range(3, 9):
        restate(state, f"2024-01-0{day}T00:00:00.000Z")
    before = seen_by(emulator)
    with start("run", str(path), "--refresh", "2024-01-03/2024-01-09", cwd=tmp_path) as process:
        emulator.wait(requests=before + 1 + kill_at)
        process.kill()
        process.communicate()
    seen, done = len(emulator.log()), len(committed(state, since=CHUNKS))
    assert call("run", str(path), cwd=tmp_path).code == 0
    assert len(asked(emulator, seen)) == 6 - done
    assert (tmp_path / "out.jsonl").read_bytes() == calm
    seen = len(emulator.log())
    assert call("run", str(path), cwd=tmp_path).code == 0
    assert not asked(emulator, seen)
    assert len(list((tmp_path / ".asyncreport" / "job" / "default").glob("part-*"))) == CHUNKS


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "--refresh: must be START/END; accepted: 2024-01-01/2024-01-08, yesterday/today"),
        (
            "2024-01-03",
            "--refresh: must be START/END, but is '2024-01-03'; accepted: 2024-01-01/2024-01-08, ",
        ),
        (
            "2024-01-03/soon",
            "--refresh: end: must be a date or a date-time, but is 'soon'; accepted: 2023-01-01,",
        ),
        ("2024-01-03/2024-01-03", "--refresh: end: must be after start, but is '2024-01-03';"),
        (
            "2023-01-03/2023-01-05",
            "--refresh: must overlap the range of the job, but is '2023-01-03/2023-01-05'; "
            "the range is ",
        ),
    ],
)
def test_a_refresh_without_a_valid_interval_is_refused(
    emulator: Handle, tmp_path: Path, given: str, said: str
) -> None:
    result = call("run", str(job(tmp_path, emulator)), "--refresh", given, cwd=tmp_path)
    assert result.code == 2
    assert said in result.err


def test_a_refresh_with_a_failed_chunk_keeps_old_values_and_the_next_run_fetches_it(
    emulator: Handle, calm: bytes, tmp_path: Path
) -> None:
    path, state = (
        job(tmp_path, emulator, limits={"concurrency": 2, "max_attempts": 1}),
        tmp_path / ".asyncreport" / "job" / "default",
    )
    early = NOW - DAY
    run_here(path, now=early)
    restate(state, "2024-01-05T00:00:00.000Z")
    run_here(path, now=early)
    old = (tmp_path / "out.jsonl").read_bytes()
    emulator.faults(
        [{"match": {"path": QUERY, "body": "2024-01-05T00:00:00.000Z/"}, "do": {"status": 504}}]
    )
    try:
        failed = call("run", str(path), "--refresh", "2024-01-04/2024-01-07", cwd=tmp_path)
        partial = call("run", str(path), "--allow-partial", cwd=tmp_path)
    finally:
        emulator.faults([])
    assert (failed.code, partial.code) == (1, 1)
    assert (
        "not fetched again: default 2024-01-05T00:00Z/2024-01-06T00:00Z, everyone: " in failed.err
    )
    assert failed.err.splitlines()[-1].startswith(
        "1 chunk was not fetched again; the output files were not changed; run again"
    )
    assert partial.err.splitlines()[-1].startswith(
        "1 chunk was not fetched again; the output files contain the previous values; run again"
    )
    assert "(partial)" not in partial.err
    assert (tmp_path / "out.jsonl").read_bytes() == old != calm
    looked, verified = (
        call(command, str(path), cwd=tmp_path).out for command in ("status", "verify")
    )
    assert "  1 chunk not fetched again; run again to fetch the rest\n" in looked
    assert (
        "WARN  1 part was marked to be fetched again (run --refresh); "
        "the next run fetches the data again" in verified
    )
    seen = len(emulator.log())
    assert call("run", str(path), cwd=tmp_path).code == 0
    assert asked(emulator, seen) == ["2024-01-05T00:00:00.000Z/2024-01-06T00:00:00.000Z"]
    assert (tmp_path / "out.jsonl").read_bytes() == calm


def test_a_failed_chunk_leaves_a_gap_that_is_listed_and_no_output(
    emulator: Handle, calm: bytes, tmp_path: Path
) -> None:
    """Unless partial output is allowed. The next run fetches only the gap."""
    path = job(tmp_path, emulator, limits={"concurrency": 2, "max_attempts": 2})
    emulator.faults(
        [{"match": {"path": QUERY, "body": "2024-01-05T00:00:00.000Z/"}, "do": {"status": 504}}]
    )
    try:
        failed = call("run", str(path), cwd=tmp_path)
        assert failed.code == 1
        assert not (tmp_path / "out.jsonl").exists()
        lines = failed.err.splitlines()
        assert lines[0] == "job: 15 chunks fetched, 0 parts reused"
        assert lines[-2].startswith(
            "missing: default 2024-01-05T00:00Z/2024-01-06T00:00Z, everyone: POST"
        )
        assert (
            "POST /api/v2/analytics/conversations/aggregates/query: 504 request.timeout"
            in lines[-2]
        )
        assert "gave up after 2 attempts" in lines[-2]
        assert lines[-1] == (
            "1 chunk is missing; the output files were not changed; "
            "run again to fetch only these chunks"
        )
        partial = call("run", str(path), "--allow-partial", cwd=tmp_path)
        assert partial.code == 1
        assert partial.err.splitlines()[-1] == (
            "1 chunk is missing; the output files contain the rest; "
            "run again to fetch only these chunks"
        )
        summary = json.loads((tmp_path / ".asyncreport" / "job" / "summary.json").read_text())
        assert (summary["complete"], summary["partial"]) == (False, True)
        assert f"  {tmp_path / 'out.jsonl'} (partial)" in partial.err.splitlines()
        gap = summary["gaps"][0]
        assert (gap["interval"], gap["users"]) == (
            "2024-01-05T00:00:00.000Z/2024-01-06T00:00:00.000Z",
            None,
        )
        assert gap["error"].startswith(
            "POST /api/v2/analytics/conversations/aggregates/query: 504 "
        )
        assert 0 < len((tmp_path / "out.jsonl").read_bytes()) < len(calm)
        again = call("run", str(path), cwd=tmp_path)
        assert (
            f"  {tmp_path / 'out.jsonl'} (partial, written by an earlier run)"
            in again.err.splitlines()
        )
        assert re.search(
            r"out\.jsonl: .* written \S+ \(partial\)\n", call("status", str(path), cwd=tmp_path).out
        )
    finally:
        emulator.faults([])
    seen = len(emulator.log())
    assert call("run", str(path), cwd=tmp_path).code == 0
    assert len(asked(emulator, seen)) == 1
    assert (tmp_path / "out.jsonl").read_bytes() == calm
    assert "(partial)" not in call("status", str(path), cwd=tmp_path).out


def test_a_gap_is_reported_once_and_not_at_all_if_the_second_round_fills_it(
    emulator: Handle, calm: bytes, tmp_path: Path
) -> None:
    """The merge finds the damage; the gap is fetched again together with the part."""
    path, state = (
        job(tmp_path, emulator, limits={"concurrency": 2, "max_attempts": 1}),
        tmp_path / ".asyncreport" / "job" / "default",
    )
    lost = {"path": QUERY, "body": "2024-01-05T00:00:00.000Z/"}
    run_here(path)
    for times, gaps in ((2, 1), (1, 0)):
        for part in state.glob("part-*"):
            if b'"interval_start":"2024-01-05' in part.read_bytes():
                part.unlink()
        (tmp_path / "out.jsonl").unlink()
        damaged = min(state.glob("part-*"))
        damaged.write_bytes(
            damaged.read_bytes().replace(b'"handled_count":1', b'"handled_count":2', 1)
        )
        emulator.faults([{"match": {**lost, "times": times}, "do": {"status": 400}}])
        try:
            summary = run_here(path, now=NOW + times, allow_partial=True)
        finally:
            emulator.faults([])
        assert (len(summary.gaps), summary.complete) == (gaps, not gaps)
    assert (tmp_path / "out.jsonl").read_bytes() == calm


def test_replaced_parts_do_not_pile_up_while_a_gap_lasts(emulator: Handle, tmp_path: Path) -> None:
    """They are deleted once the new parts are committed, though no output is written."""
    path, state = (
        job(tmp_path, emulator, limits={"concurrency": 2, "max_attempts": 1}),
        tmp_path / ".asyncreport" / "job" / "default",
    )
    emulator.faults(
        [{"match": {"path": QUERY, "body": "2024-01-05T00:00:00.000Z/"}, "do": {"status": 504}}]
    )
    try:
        run_here(path, now=NOW - 3 * DAY)
        restate(state, "2024-01-08T00:00:00.000Z")
        for day in (2, 1):
            assert (
                call("run", str(path), "--refresh", "2024-01-06/2024-01-17", cwd=tmp_path).code == 1
            ), day
            assert len(list(state.glob("part-*"))) == CHUNKS - 1
    finally:
        emulator.faults([])
    assert (state / "changes.jsonl").read_bytes().count(b"\n") == 1
    assert not (tmp_path / "out.jsonl").exists()


def test_a_partial_output_without_data_leaves_the_good_one_alone(
    emulator: Handle, tmp_path: Path
) -> None:
    """No chunk of another query can be fetched: an empty file would look like zero activity."""
    few = {**RANGE, "end": "2024-01-03"}
    output = {"path": str(tmp_path / "out.jsonl"), "per_team": str(tmp_path / "{team}.jsonl")}
    path = job(tmp_path, emulator, range=few, output=output, limits={"max_attempts": 1})
    assert run_here(path).complete
    good = (tmp_path / "out.jsonl").read_bytes()
    emulator.faults([{"match": {"path": QUERY}, "do": {"status": 503}}])
    try:
        result = call(
            "run", str(path), "--allow-partial", "--set", "range.granularity=PT1H", cwd=tmp_path
        )
    finally:
        emulator.faults([])
    assert result.code == 1
    files = [tmp_path / "out.jsonl", tmp_path / "all.jsonl"]
    assert (
        f"warning: not written because no data was fetched for them: {files[0]}, {files[1]}\n"
        in result.err
    )
    assert "2 chunks are missing; the output files were not changed" in result.err
    assert [file.read_bytes() for file in files] == [good, good]


def test_a_faulty_network_gives_the_same_bytes(
    emulator: Handle, calm: bytes, tmp_path: Path
) -> None:
    """Errors, resets, cut and unexpected bodies, rate limits and revoked tokens."""
    storm: list[dict[str, Any]] = [
        {"status": 503},
        {"reset": "body"},
        {"truncate": "json"},
        {"html": True},
        {"status": 429, "retry_after": 0},
        {"revoke_tokens": True},
        {"reset": "before"},
        {"truncate": "length"},
        {"garble": True},
        {"status": 502, "body": ""},
        {"expire_tokens": True},
    ]
    emulator.faults([{"match": {"path": "/api/", "every": 3}, "do": storm}])
    try:
        summary = run_here(job(tmp_path, emulator))
    finally:
        emulator.faults([])
    assert summary.complete
    assert summary.retries >= 5
    assert (tmp_path / "out.jsonl").read_bytes() == calm


def test_recent_parts_are_fetched_again_until_they_settle(emulator: Handle, tmp_path: Path) -> None:
    """Parts fetched before `settle` had passed since their end; the old ones are deleted."""
    path = job(tmp_path, emulator, output={"path": str(tmp_path / "out.jsonl"), "settle": "P2D"})
    run_here(path, now=parse_iso("2024-01-17T06:00Z"))
    seen, first = len(emulator.log()), (tmp_path / "out.jsonl").read_bytes()
    stale = call("plan", str(path), cwd=tmp_path).out.splitlines()
    assert stale[1] == "14 parts reused, 2 replaced, 2 chunks to fetch"
    summary = run_here(path, now=parse_iso("2024-01-20T06:00Z"))
    assert (summary.chunks_fetched, summary.parts_reused) == (2, 14)
    assert asked(emulator, seen) == [
        "2024-01-15T00:00:00.000Z/2024-01-16T00:00:00.000Z",
        "2024-01-16T00:00:00.000Z/2024-01-17T00:00:00.000Z",
    ]
    assert run_here(path, now=parse_iso("2024-01-20T07:00Z")).chunks_fetched == 0
    assert (tmp_path / "out.jsonl").read_bytes() == first
    assert len(list((tmp_path / ".asyncreport" / "job" / "default").glob("part-*"))) == CHUNKS


def test_names_are_looked_up_once_a_month_or_on_request(tmp_path: Path) -> None:
    """With an emulator of its own: the log of a shared one may get requests of a killed process."""
    with emulator_process(agents=12, seed=3, requests_per_minute=0) as emulator:
        path = job(tmp_path, emulator)

        def lookups(**options: Any) -> int:
            seen = len(emulator.log())
            run_here(path, **options)
            asked = [entry for entry in emulator.log()[seen:] if "id=" in entry["query"]]
            # A busy machine may break a connection: what is sent again is the same look-up.
            return len({entry["query"] for entry in asked})

        assert [
            lookups(),
            lookups(),
            lookups(refresh_names=True),
            lookups(now=NOW + 31 * DAY),
            lookups(now=NOW + 32 * DAY),
        ] == [1, 0, 1, 1, 0]


def test_a_directory_that_refuses_costs_the_names_and_not_the_run(tmp_path: Path) -> None:
    with emulator_process(agents=4, seed=3, requests_per_minute=0) as emulator:
        emulator.faults([{"match": {"path": "/api/v2/users", "after": 1}, "do": {"status": 403}}])
        result = call("run", str(job(tmp_path, emulator)), cwd=tmp_path)
    assert result.code == 0
    assert "warning: could not look up 4 names: missing permission: grant " in result.err
    assert '"user_name":null' in (tmp_path / "out.jsonl").read_text()


def test_names_that_were_refused_are_looked_up_again_by_the_next_run(tmp_path: Path) -> None:
    with emulator_process(agents=4, seed=3, requests_per_minute=0) as emulator:
        path = job(tmp_path, emulator, limits={"max_attempts": 1})
        for status in (403, 503):
            emulator.faults(
                [
                    {
                        "match": {"path": "/api/v2/users", "after": 1 if status == 403 else 0},
                        "do": {"status": status},
                    }
                ]
            )
            assert run_here(path).complete
            assert '"user_name":null' in (tmp_path / "out.jsonl").read_text()
        emulator.faults([])
        run_here(path)
        assert '"user_name":null' not in "".join(
            line
            for line in (tmp_path / "out.jsonl").read_text().splitlines()
            if '"user_id":null' not in line
        )


def test_a_chunk_that_is_always_refused_is_a_gap_and_delays_nothing_else(
    emulator: Handle, tmp_path: Path
) -> None:
    """Also in later runs, if nothing else is left to fetch."""
    path = job(tmp_path, emulator, limits={"concurrency": 16})
    emulator.faults(
        [{"match": {"path": QUERY, "body": "2024-01-01T00:00:00.000Z/"}, "do": {"status": 400}}]
    )
    try:
        first, second = run_here(path), run_here(path)
    finally:
        emulator.faults([])
    assert (first.chunks_fetched, len(first.gaps)) == (CHUNKS - 1, 1)
    assert (second.chunks_fetched, len(second.gaps)) == (0, 1)


def test_a_link_stays_a_link(emulator: Handle, calm: bytes, tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").symlink_to(tmp_path / "real.jsonl")
    run_here(job(tmp_path, emulator))
    assert (tmp_path / "out.jsonl").is_symlink()
    assert (tmp_path / "real.jsonl").read_bytes() == calm


def test_a_cancelled_merge_ends_before_the_lock_is_released(tmp_path: Path) -> None:
    began, ended = Event(), []

    def write(stopped: Event) -> None:
        began.set()
        stopped.wait(30)
        ended.append(stopped.is_set())
        raise Interrupted

    async def main() -> None:
        with State.open(tmp_path / "state", FILTER) as state:
            task = asyncio.create_task(state.run_in_writer(write))
            await asyncio.to_thread(began.wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert ended == [True]

    asyncio.run(main())


def test_an_unchanged_month_is_not_touched(emulator: Handle, tmp_path: Path) -> None:
    """With {month} in the path, a longer range adds a file and leaves the others alone."""
    out = {"path": str(tmp_path / "out-{month}.jsonl")}
    grown = {**RANGE, "start": "2024-01-20", "end": "2024-02-05"}
    run_here(job(tmp_path, emulator, output=out, range={**grown, "end": "2024-02-01"}))
    january = (tmp_path / "out-2024-01.jsonl").stat()
    run_here(job(tmp_path, emulator, output=out, range=grown))
    assert (tmp_path / "out-2024-01.jsonl").stat() == january
    assert (tmp_path / "out-2024-02.jsonl").stat().st_size > 0


def test_an_output_path_that_is_a_folder_is_refused_before_any_request(
    emulator: Handle, tmp_path: Path
) -> None:
    (tmp_path / "taken.jsonl").mkdir()
    before = len(emulator.log())
    result = call(
        "run",
        str(job(tmp_path, emulator, output={"path": str(tmp_path / "taken.jsonl")})),
        cwd=tmp_path,
    )
    assert result.code == 5
    assert "taken.jsonl is a folder or a device; give the output the path of a file" in result.err
    assert len(emulator.log()) == before


def test_secrets_are_in_no_file_and_no_line(emulator: Handle, tmp_path: Path) -> None:
    path = job(
        tmp_path, emulator, connections={"default": connection(emulator, client_secret="${SECRET}")}
    )
    result = call("run", "-v", str(path), cwd=tmp_path, SECRET=emulator.client_secret)
    assert result.code == 0
    for text in (
        result.err,
        *(each.read_text() for each in (tmp_path / ".asyncreport").rglob("*") if each.is_file()),
    ):
        assert emulator.client_secret not in text
        assert "Bearer" not in text


def test_a_changed_job_reuses_the_parts_of_the_same_query_only(
    emulator: Handle, calm: bytes, tmp_path: Path
) -> None:
    """Another granularity is another query.

    A team's name, an output path, a chunk length and a longer range are not.
    """
    path = job(tmp_path, emulator)
    run_here(path)

    def fetched(*overrides: str) -> int:
        seen = len(emulator.log())
        run_here(path, *overrides)
        return len(asked(emulator, seen))

    assert fetched("range.granularity=PT1H") == CHUNKS
    assert fetched() == 0
    assert (tmp_path / "out.jsonl").read_bytes() == calm
    assert fetched("teams[0].name=everybody") == 0
    assert fetched(f"output.path={tmp_path / 'other.jsonl'}", "range.chunk=P7D") == 0
    assert (tmp_path / "other.jsonl").read_bytes() == calm
    assert fetched("range.end=2024-01-19") == 2
    assert fetched("split_by=[media_type]") == CHUNKS


def test_a_window_that_moves_fetches_only_the_new_day(emulator: Handle, tmp_path: Path) -> None:
    """Each morning the last ten days; the days that were there before are reused."""
    moving = {"start": "today-P10D", "end": "today", "granularity": "PT30M"}
    path = job(tmp_path, emulator, range=moving, output=_settled(tmp_path))
    morning = parse_iso("2024-01-28T06:00Z")
    # Over the end of a month.
    for number in range(6):
        now = morning + number * DAY
        seen = len(emulator.log())
        run_here(path, now=now)
        days = {each[:10] for each in asked(emulator, seen)}
        if number:
            assert days == {iso(now - DAY)[:10]}
        starts = {row["interval_start"][:10] for row in rows(tmp_path / "out.jsonl")}
        assert min(starts) >= iso(now - 10 * DAY)[:10]
        assert max(starts) == iso(now - DAY)[:10]
    fixed = {"start": "2024-01-23", "end": "2024-02-02", "granularity": "PT30M"}
    other = tmp_path / "other"
    other.mkdir()
    run_here(job(other, emulator, range=fixed))
    assert (tmp_path / "out.jsonl").read_bytes() == (other / "out.jsonl").read_bytes()


def test_a_window_that_moves_leaves_nothing_behind(emulator: Handle, tmp_path: Path) -> None:
    """Two windows stay on disk; `--set` and a fixed start delete nothing."""
    path = job(tmp_path, emulator, range=_LAST_THREE_DAYS, output=_settled(tmp_path))
    first = parse_iso("2024-01-28T06:00Z")
    for number in range(8):
        run_here(path, now=first + number * DAY)
    assert _days_on_disk(tmp_path) == _days("2024-01-29", 6)
    last = (tmp_path / "out.jsonl").read_bytes()
    run_here(path, "range.start=today-P1D", now=first + 7 * DAY)
    assert len(_days_on_disk(tmp_path)) == 6
    # What is still there is not fetched again.
    assert run_here(path, "range.start=today-P6D", now=first + 7 * DAY).chunks_fetched == 0
    run_here(path, now=first + 7 * DAY)
    assert (tmp_path / "out.jsonl").read_bytes() == last
    # Five days later, on 9 February: the days until 2 February are left behind.
    run_here(path, now=first + 12 * DAY)
    before = _days_on_disk(tmp_path)
    assert before == ["2024-02-03", *_days("2024-02-06", 3)]
    fixed = {**_LAST_THREE_DAYS, "start": "2024-02-08", "end": "2024-02-09"}
    run_here(job(tmp_path, emulator, range=fixed, output=_settled(tmp_path)))
    assert _days_on_disk(tmp_path) == before


def test_a_fixed_year_then_a_moving_range_the_older_parts_stay(
    emulator: Handle, tmp_path: Path
) -> None:
    """The window deletes what it leaves behind, not what was fetched long before it."""
    year = {**_LAST_THREE_DAYS, "start": "2024-01-10", "end": "2024-01-26"}
    run_here(job(tmp_path, emulator, range=year, output=_settled(tmp_path)))
    path = job(tmp_path, emulator, range=_LAST_THREE_DAYS, output=_settled(tmp_path))
    # The window is 25 to 27 January; 22 to 24 stay in front of it, and 12 to 21 are left behind.
    run_here(path, now=parse_iso("2024-01-28T06:00Z"))
    expected = _days("2024-01-10", 2) + _days("2024-01-22", 6)
    assert _days_on_disk(tmp_path) == expected
    # The clock of the machine is a year ahead, for one run.
    run_here(path, now=parse_iso("2025-01-28T06:00Z"))
    assert _days_on_disk(tmp_path) == expected + _days("2025-01-25", 3)
    again = run_here(job(tmp_path, emulator, range=year, output=_settled(tmp_path)))
    assert again.chunks_fetched == 10


_LAST_THREE_DAYS = {"start": "today-P3D", "end": "today", "granularity": "PT1H", "chunk": "P1D"}


def _days(first: str, count: int) -> list[str]:
    """List consecutive days."""
    start = parse_iso(f"{first}T00:00Z")
    return [iso(start + number * DAY)[:10] for number in range(count)]


def _days_on_disk(folder: Path) -> list[str]:
    """List the days of the parts that the manifest and the state folder of a job have."""
    state = folder / ".asyncreport" / "job" / "default"
    parts = Manifest.read(state).parts_on_disk()
    assert len(list(state.glob("part-*"))) == len(parts)
    return sorted(iso(part.interval.start)[:10] for part in parts)


def _settled(folder: Path) -> dict[str, str]:
    """Write an output whose numbers do not change any more."""
    return {"path": str(folder / "out.jsonl"), "settle": "PT0S"}
