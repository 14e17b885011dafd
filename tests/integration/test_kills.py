"""Runs are killed in every phase; the next run fetches only what is missing, to the same bytes.

The moments are exact, see `tests.cut`. ASYNCREPORT_KILLS=10 kills ten times in each phase of each
kind of job, instead of once.
"""

from __future__ import annotations

import json
import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncreport.api import query_jobs
from asyncreport.core.timeline import HOUR, parse_iso
from asyncreport.emulator import World
from asyncreport.export.run import clock
from asyncreport.store.manifest import Manifest
from tests.emulator_process import Handle, emulator_process
from tests.exporting import call, restate, run_here, write_job

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("ASYNCREPORT_KILLS", "1"))

#: whose members the team of the settling shape has
QUEUE = World(agents=4, seed=3).queues[0].id
#: four chunks of everyone, in two months
RANGE = {"start": "2024-01-30", "end": "2024-02-03", "granularity": "PT1H", "chunk": "P1D"}
#: the parts of a run at this time are stale for the next one
EARLY = parse_iso("2024-02-03T06:00Z")

SHAPES: dict[str, dict[str, Any]] = {
    "aggregates": {"split_by": ["queue_id"]},
    "occupancy": {"occupancy": True},
    "query-jobs": {"contract": "query-jobs"},
    "settling": {},
}

#: phases by the beginnings of call and file; the first that fits counts
PHASES = {
    "look up": (
        ("open", "merge"),
        ("replace", "merge"),
        ("open", "lock"),
        ("write", "lock"),
        ("fsync", "lock"),
        ("replace", "lock"),
        ("send", "/api/v2/users"),
        ("send", "/oauth"),
    ),
    "ask": (("send", "/api/v2/analytics"),),
    "answered": (("answer", "/api/v2/analytics"),),
    "part": (("open", "part"), ("write", "part"), ("fsync", "part"), ("replace", "part")),
    "commit": (
        ("open", "manifest"),
        ("ftruncate", "manifest"),
        ("write", "manifest"),
        ("fsync", "manifest"),
    ),
    "names": (
        ("answer", "/api/v2/"),
        ("open", "names"),
        ("write", "names"),
        ("replace", "names"),
        ("write", "queues"),
    ),
    "merge": (("open", "out"), ("write", "out"), ("fsync", "out"), ("replace", "out")),
    "tidy": (("unlink", "part"),),
    "compact": (("replace", "manifest"),),
    "members": (
        ("open", "members"),
        ("write", "members"),
        ("fsync", "members"),
        ("replace", "members"),
    ),
    "changes": (
        ("open", "changes"),
        ("write", "changes"),
        ("fsync", "changes"),
    ),
    "summary": (
        ("open", "summary"),
        ("write", "summary"),
        ("fsync", "summary"),
        ("replace", "summary"),
    ),
}
CASES = [
    (shape, phase)
    for shape in SHAPES
    for phase in PHASES
    if phase not in ("tidy", "compact", "members", "changes") or shape == "settling"
]

#: a chunk: its interval and user ids
QueryOptions = tuple[str, tuple[str, ...]]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(
        agents=4, seed=3, requests_per_minute=0, tokens_per_minute=0, job_polls=1
    ) as handle:
        yield handle


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll query jobs at once, as `tests.cut` does."""
    monkeypatch.setattr(query_jobs, "_FIRST_PAUSE", 0.01)


def job(folder: Path, emulator: Handle, shape: str) -> Path:
    out = {
        "path": str(folder / "out-{month}.jsonl"),
        "per_team": str(folder / "teams" / "out-{team}-{month}.jsonl"),
    }
    few = {"queue": QUEUE} if shape == "settling" else {"users": ["0" * 8, *workers(emulator)]}
    teams = [{"name": "all", "everyone": True}, {"name": "few", **few}]
    # One worker: the moments of a run come in the same order each time.
    return write_job(
        folder,
        emulator,
        range=RANGE,
        output=out,
        teams=teams,
        limits={"concurrency": 1},
        **SHAPES[shape],
    )


SPAN = (parse_iso("2024-01-30T00:00Z"), parse_iso("2024-02-03T00:00Z"))


def workers(emulator: Handle) -> list[str]:
    """Give two users who have records."""
    return sorted({one["user_id"] for one in emulator.truth(*SPAN)} - {None})[:2]


def begun(folder: Path, emulator: Handle, shape: str) -> Path:
    """Write a job, and what an earlier run left, if this kind of job has one.

    Stale parts, one with another value, all files except one, and a team with a new member.
    """
    path = job(folder, emulator, shape)
    if shape == "settling":
        emulator.members("queue", QUEUE, workers(emulator)[:1])
        for hour in range(2):
            # Each run replaces the parts of the one before, and the third shortens the manifest.
            run_here(path, now=EARLY + hour * HOUR)
        restate(folder / ".asyncreport" / "job" / "default", "2024-01-31T00:00:00.000Z")
        (folder / "out-2024-02.jsonl").unlink()
        emulator.members("queue", QUEUE, workers(emulator))
    return path


def changes(folder: Path) -> list[dict[str, Any]]:
    """Give the listed changes, without the instant and the number of the new part."""
    path = folder / ".asyncreport" / "job" / "default" / "changes.jsonl"
    lines = map(json.loads, path.read_text().splitlines()) if path.exists() else []
    return [
        {key: value for key, value in line.items() if key not in ("at", "part")} for line in lines
    ]


def finished(path: Path, **spec: Any) -> tuple[int, str]:
    """Run a job that is cut at a moment; give its exit code and its messages."""
    ended = call(json.dumps(spec), "run", str(path), module="tests.cut", cwd=path.parent)
    return ended.code, ended.err


def outputs(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("out-*.jsonl")
    }


def committed(folder: Path, since: int) -> list[QueryOptions]:
    """List the chunks of the current parts after a number."""
    parts = Manifest.read(folder / ".asyncreport" / "job" / "default").live_parts()
    return [(str(part.interval), part.users or ()) for part in parts if part.number > since]


def asked(emulator: Handle, seen: int) -> list[QueryOptions]:
    """List the chunks that were requested after so many log entries."""
    entries = [
        entry for entry in emulator.log()[seen:] if "conversations/aggregates" in entry["path"]
    ]
    return [(entry["interval"], tuple(entry["users"])) for entry in entries if entry["interval"]]


Calm = tuple[dict[str, bytes], list[list[str]], list[QueryOptions], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def calm(emulator: Handle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Calm]:
    """Run each kind of job undisturbed: its output files, moments, requested chunks, changes."""
    found = {}
    for shape in SHAPES:
        folder = tmp_path_factory.mktemp("calm")
        path = begun(folder, emulator, shape)
        seen = len(emulator.log())
        code, err = finished(path, trace=str(folder / "trace"))
        assert code == 0, err
        found[shape] = (
            outputs(folder),
            json.loads((folder / "trace").read_text()),
            asked(emulator, seen),
            changes(folder),
        )
    return found


def phase_of(moment: list[str]) -> str | None:
    what, of = moment
    fits = (
        name
        for name, begins in PHASES.items()
        if any(what == each and of.startswith(start) for each, start in begins)
    )
    return next(fits, None)


def test_an_undisturbed_run_has_moments_in_every_phase(calm: dict[str, Calm]) -> None:
    """Every phase below has moments, and each kind of job writes what it should."""
    for shape, (files, trace, chunks, changed) in calm.items():
        phases = Counter(map(phase_of, trace))
        assert all(phases[phase] for named, phase in CASES if named == shape), (shape, phases)
        assert sorted(files) == [
            *(f"out-2024-0{month}.jsonl" for month in (1, 2)),
            *(
                f"teams/out-{team}-2024-0{month}.jsonl"
                for team in ("all", "few")
                for month in (1, 2)
            ),
        ]
        assert len(chunks) == 4
        assert len(changed) == (shape == "settling")


@pytest.mark.parametrize("seed", range(KILLS))
@pytest.mark.parametrize(("shape", "phase"), CASES)
def test_a_run_killed_in_any_phase_is_finished_by_the_next(
    emulator: Handle, calm: dict[str, Calm], tmp_path: Path, shape: str, phase: str, seed: int
) -> None:
    """No finished chunk is fetched again, and no temporary file is left.

    The bytes are those of an undisturbed run.
    """
    files, trace, chunks, changed = calm[shape]
    rng = random.Random(f"{shape} {phase} {seed}")
    at = rng.choice([number for number, moment in enumerate(trace, 1) if phase_of(moment) == phase])
    action = rng.choice(["half", "kill"]) if trace[at - 1][0] == "write" else "kill"
    path = begun(tmp_path, emulator, shape)
    earlier = 8 if shape == "settling" else 0
    code, err = finished(path, at=at, action=action)
    assert code == -signal.SIGKILL, (trace[at - 1], err)
    done, seen = committed(tmp_path, earlier), len(emulator.log())
    summary = run_here(path, now=clock())
    assert summary.complete
    assert Counter(asked(emulator, seen)) + Counter(done) == Counter(chunks)
    assert outputs(tmp_path) == files
    assert changes(tmp_path) == changed
    assert not [*tmp_path.rglob("*.tmp"), *tmp_path.rglob(".asyncreport-*")]
    kept = {path.name for path in (tmp_path / ".asyncreport" / "job" / "default").glob("part-*")}
    assert kept == Manifest.read(tmp_path / ".asyncreport" / "job" / "default").files()
    seen = len(emulator.log())
    assert run_here(path, now=clock()).chunks_fetched == 0
    assert all(
        shape == "settling" and entry["path"].startswith(("/oauth", "/api/v2/routing/queues"))
        for entry in emulator.log()[seen:]
    )
