"""`clean --user` erases one person from everything that a job has stored, and nobody else."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncreport.config import load_job
from asyncreport.core.person import Person
from asyncreport.core.timeline import HOUR
from asyncreport.emulator import World
from asyncreport.export.erase import Erased, erase_user
from asyncreport.export.run import clock
from asyncreport.export.verify import verify_job
from asyncreport.store.lock import merge_lock, take_lock
from asyncreport.store.lookups import Names
from asyncreport.store.replacement import temporary_path
from asyncreport.store.search import holds
from tests.cut import kills
from tests.emulator_process import Handle, emulator_process
from tests.exporting import Call, call, connection, restate, rows, run_here, write_job

WORLD = World(agents=6, seed=3)
QUEUE = WORLD.queues[0].id
#: who is erased, and all others
GONE, *OTHERS = WORLD.people
OTHER_IDS = [person.id for person in OTHERS]
PERSON = Person(GONE.id, (GONE.email,), (GONE.name,))

NOT_SEARCHED = (
    "not searched: pages that `asyncreport report -o` wrote, and copies of files in other places\n"
)

#: the first change after the locks are taken
FIRST_WRITE = "write part-00000004.jsonl"

RANGE = {"start": "2024-01-30", "end": "2024-02-03", "granularity": "PT1H", "chunk": "P1D"}
LIGHT = ("jsonl", "jsonl.gz", "csv", "csv.gz")
ALL = (*LIGHT, "jsonl.zst", "csv.zst", "parquet", "xlsx")


@pytest.fixture
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=6, seed=3, requests_per_minute=0, tokens_per_minute=0) as handle:
        yield handle


def command(path: Path, *arguments: str) -> Call:
    return call(*arguments, str(path), cwd=path.parent)


def erase(path: Path, *arguments: str, user: str = GONE.id) -> Call:
    return command(path, "clean", "--user", user, *arguments)


def erase_here(path: Path) -> Erased:
    """Erase in this process."""
    now = clock() + HOUR
    return asyncio.run(erase_user(load_job(path, environ={}, now=now), GONE.id, now=now))


def job(folder: Path, emulator: Handle, *formats: str, gone: bool, **sections: Any) -> Path:
    """Write a job whose teams have the person in each way, or whose teams do not have it."""
    out = folder / "out"
    emulator.members("queue", QUEUE, [GONE.id, OTHER_IDS[0]] if gone else OTHER_IDS[:1])
    teams = [
        {"name": "queue", "queue": QUEUE},
        {"name": "listed", "users": [*OTHER_IDS[1:4], *([GONE.email] if gone else [])]},
    ]
    return write_job(
        folder,
        emulator,
        **{
            "range": RANGE,
            "split_by": ["queue_id"],
            "teams": teams,
            "limits": {"concurrency": 1},
            "output": {
                "path": [str(out / f"all.{each}") for each in formats or LIGHT],
                "per_team": str(out / "{team}-{month}.csv.gz"),
                "rollups": [
                    {"by": ["user"], "every": "P1D", "path": str(out / "days.csv")},
                    {"by": ["team", "queue_id"], "every": "P1W", "path": str(out / "weeks.csv")},
                ],
            },
            **sections,
        },
    )


def state(folder: Path) -> Path:
    """Give the folder of the job."""
    return next(folder.rglob("outputs.json")).parent


def files(folder: Path) -> dict[str, bytes]:
    """Read all files below a folder, except the locks."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "lock" not in path.name
    }


def outputs(folder: Path) -> dict[str, bytes]:
    return {name: data for name, data in files(folder).items() if ".asyncreport" not in name}


def with_the_person(folder: Path, person: Person = PERSON) -> list[str]:
    """List the files that have the person's id, address or name."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and holds(path, person)]
    return [str(path.relative_to(folder)) for path in found]


def leave_behind(folder: Path) -> None:
    """Leave what killed runs and careful people leave: temporary files, old parts, backups."""
    of_job = state(folder)
    of_connection = of_job / "default"
    part = next(of_connection.glob("part-*"))
    shutil.copytree(of_connection, of_job / "renamed")
    shutil.copy(part, of_connection / "part-00000099.jsonl")
    shutil.copy(part, of_connection / "part-00000001.jsonl.damaged")
    shutil.copy(of_connection / "manifest.jsonl", of_connection / "manifest.jsonl~")
    shutil.copy(of_job / "names.json", of_job / "names.json.bak")
    shutil.copy(part, of_job / ".asyncreport-0123456789abcdef.tmp")
    shutil.copy(part, temporary_path(folder / "out" / "all.jsonl", of_job))
    (of_job / ".asyncreport-convert-1").mkdir()
    shutil.copy(part, of_job / ".asyncreport-convert-1" / "rows")
    (of_job / "old").mkdir()
    for output in (folder / "out").glob("all.*"):
        shutil.copy(output, of_job / "old" / output.name)
    (of_job / "emails.json.gz").write_bytes(gzip.compress((of_job / "emails.json").read_bytes()))


@pytest.mark.parametrize("formats", [LIGHT, pytest.param(ALL, marks=pytest.mark.extra)])
def test_nothing_of_the_person_is_left_and_everything_of_the_others(
    emulator: Handle, tmp_path: Path, formats: tuple[str, ...]
) -> None:
    """All files are as if the person had never been in the job, whatever their format."""
    folder, fresh = tmp_path / "job", tmp_path / "fresh"
    folder.mkdir()
    fresh.mkdir()
    run_here(job(folder, emulator, *formats, gone=True, split_by=["queue_id", "media_type"]))
    job(folder, emulator, *formats, gone=True)
    emulator.members("queue", QUEUE, OTHER_IDS[:1])
    run_here(folder / "job.yaml")
    # The person joins the queue, and values of the person and of others change.
    path = job(folder, emulator, *formats, gone=True)
    restate(state(folder) / "default", "2024-01-31T00:00:00.000Z", count=0)
    assert command(path, "run", "--refresh", "2024-01-31/2024-02-01").code == 0
    leave_behind(folder)
    before = with_the_person(folder)
    assert {"job.yaml", "out/.asyncreport/job/summary.json"} < {*before}
    assert {f"out/all.{each}" for each in formats} < {*before}
    changes = (state(folder) / "default" / "changes.jsonl").read_bytes().splitlines()
    assert {json.loads(line)["user_id"] == GONE.id for line in changes} == {True, False}

    tried = erase(path, "--dry-run")
    assert tried.code == 0, tried.err
    assert with_the_person(folder) == before
    erased = erase(path)
    assert erased.code == 0, erased.err
    assert with_the_person(folder) == ["job.yaml"]
    left = (state(folder) / "default" / "changes.jsonl").read_bytes().splitlines()
    assert left == [line for line in changes if json.loads(line)["user_id"] != GONE.id]

    without = job(folder, emulator, *formats, gone=False)
    run_here(job(fresh, emulator, *formats, gone=False))
    assert outputs(folder / "out") == outputs(fresh / "out")
    assert command(without, "verify").code == 0
    seen = len(emulator.log())
    summary = run_here(without, now=clock() + HOUR)
    assert (summary.chunks_fetched, summary.outputs_written) == (0, 0)
    assert not [each for each in emulator.log()[seen:] if "analytics" in each["path"]]
    assert with_the_person(folder) == []


def small_job(folder: Path, emulator: Handle, *, gone: bool = True, **sections: Any) -> Path:
    """Write a job of two days and few users."""
    users = [*OTHER_IDS[:2], *([GONE.id] if gone else [])]
    return write_job(
        folder,
        emulator,
        **{
            "range": {**RANGE, "start": "2024-01-31", "end": "2024-02-02"},
            "teams": [{"name": "team", "users": users}],
            "limits": {"concurrency": 1},
            "output": {"path": [str(folder / "out.jsonl"), str(folder / "out.csv")]},
            **sections,
        },
    )


def test_an_erasure_that_is_killed_at_any_moment_is_finished_by_the_next(
    emulator: Handle, tmp_path: Path
) -> None:
    """After each kill a run and `verify` accept the folder, and the same command finishes."""
    folder = tmp_path / "job"
    folder.mkdir()
    path = small_job(folder, emulator)
    run_here(path)
    restate(state(folder) / "default", "2024-01-31T00:00:00.000Z", count=0)
    assert command(path, "run", "--refresh", "2024-01-31/2024-02-01").code == 0
    small_job(folder, emulator, gone=False)
    copied = tmp_path / "copy"
    shutil.copytree(folder, copied)
    trace = tmp_path / "trace"
    assert cut(path, trace=str(trace)).code == 0
    wanted = lasting(folder)
    moments = kills(trace)
    calls = [call for _, _, call in moments]
    assert {"replace changes.jsonl", "replace manifest.jsonl"} < {*calls}
    for number, (at, action, moment) in enumerate(moments[calls.index(FIRST_WRITE) :]):
        shutil.rmtree(folder)
        shutil.copytree(copied, folder)
        ended = cut(path, at=at, action=action)
        assert ended.code == -signal.SIGKILL, (moment, ended.err)
        if number % 2:
            summary = run_here(path, now=clock() + HOUR)
            assert (summary.chunks_fetched, summary.complete) == (0, True), moment
            assert verified(path) == {"OK"}, moment
        erase_here(path)
        assert lasting(folder) == wanted, moment
        assert with_the_person(folder) == [], moment
        assert described(folder) == {"team": len(rows(folder / "out.jsonl"))}, moment
        if number % 2 == 0:
            assert run_here(path, now=clock() + HOUR).chunks_fetched == 0


def cut(path: Path, **spec: Any) -> Call:
    """Erase in a process in which something happens at one moment."""
    arguments = (json.dumps(spec), "clean", str(path), "--user", GONE.id)
    return call(*arguments, module="tests.cut", cwd=path.parent)


def verified(path: Path) -> set[str]:
    """Verify in this process; give the kinds of what was found."""
    now = clock() + HOUR
    job = load_job(path, environ={}, now=now)
    return {finding.level for finding in asyncio.run(verify_job(job, now=now)).findings}


def lasting(folder: Path) -> dict[str, bytes]:
    """Read the files that say neither when something was done nor how long it took."""
    timed = ("summary.json", "outputs.json", "manifest.jsonl", "answers.json")
    return {name: data for name, data in files(folder).items() if not name.endswith(timed)}


def test_unknown_and_mistyped_ids_change_nothing(emulator: Handle, tmp_path: Path) -> None:
    path = small_job(tmp_path, emulator)
    told = f"job: nothing is stored about user {GONE.id}\n{NOT_SEARCHED}"
    never_ran = erase(path)
    assert (never_ran.code, never_ran.out) == (0, told), never_ran.err
    assert [name.name for name in tmp_path.iterdir()] == ["job.yaml"]
    run_here(small_job(tmp_path, emulator, gone=False))
    before = {name: tmp_path.joinpath(name).stat().st_mtime_ns for name in files(tmp_path)}
    for arguments in ((), ("--dry-run",)):
        unknown = erase(path, *arguments)
        assert (unknown.code, unknown.out) == (0, told), unknown.err
    refused = erase(path, user=GONE.email)
    assert (refused.code, refused.out) == (2, "")
    assert (
        f"--user: the state folder of the job knows nobody called {GONE.email!r}; give the id: "
    ) in refused.err
    after = {name: tmp_path.joinpath(name).stat().st_mtime_ns for name in files(tmp_path)}
    assert after == before


def test_erasing_waits_for_nobody(emulator: Handle, tmp_path: Path) -> None:
    """While a run holds the lock it ends with exit code 5, and nothing is erased."""
    path = small_job(tmp_path, emulator)
    run_here(path)
    before = lasting(tmp_path)
    lock = take_lock(merge_lock(state(tmp_path)))
    try:
        refused = erase(path)
    finally:
        lock.release()
    assert (refused.code, refused.out) == (5, "")
    assert f"process {os.getpid()}" in refused.err
    assert lasting(tmp_path) == before


def test_it_says_what_it_does_and_which_teams_bring_the_person_back(
    emulator: Handle, tmp_path: Path
) -> None:
    """An id in upper case, as some databases print it, is the same id."""
    path = job(tmp_path, emulator, gone=True, output={"path": str(tmp_path / "out.jsonl")})
    run_here(path)
    written = [row for row in rows(tmp_path / "out.jsonl") if row["user_id"] == GONE.id]
    # Fetched once, and written for both teams.
    records = len(written) // 2
    told = (
        "default: {erase} {records} records in 3 parts\n"
        "default: {erase} the id from the user lists of 4 parts\n"
        "job: {erase} the user from names.json, members.json, emails.json\n"
        f"job: {{write}} {tmp_path / 'out.jsonl'} again without the user\n"
        f"job: {{erase}} user {GONE.id}: {records} records, 1 output file\n"
        f"{NOT_SEARCHED}"
    )
    returning = (
        "warning: team 'queue' (queue {QUEUE}) had this user as a member when it was last looked "
        "up: remove the user from it in Genesys Cloud, or the next run brings the user back\n"
        "warning: team 'listed' lists this user: remove the user from the job file, or the next "
        "run brings the user back\n"
    )
    tried = erase(path, "--dry-run")
    assert tried.out == told.format(erase="would erase", write="would write", records=records)
    assert tried.err == returning.format(QUEUE=QUEUE)
    erased = erase(path, user=GONE.id.upper())
    assert erased.out == told.format(erase="erased", write="wrote", records=records)
    assert erased.err == returning.format(QUEUE=QUEUE)
    assert run_here(path, now=clock() + HOUR).chunks_fetched
    assert with_the_person(tmp_path / ".asyncreport")


def test_a_team_of_everyone_brings_the_person_back_with_what_is_fetched_again(
    emulator: Handle, tmp_path: Path
) -> None:
    path = small_job(tmp_path, emulator, teams=[{"name": "all", "everyone": True}])
    run_here(path)
    erased = erase(path)
    assert erased.code == 0
    assert "warning: team 'all' is everyone: while Genesys Cloud has records of this" in erased.err
    assert run_here(path).chunks_fetched == 0
    assert with_the_person(tmp_path) == []
    verified_ = command(path, "verify")
    assert verified_.code == 1
    assert "the totals of 1 user differ from those of the server" in verified_.out
    assert command(path, "run", "--refresh", "2024-01-31/2024-02-02").code == 0
    assert "out.jsonl" in with_the_person(tmp_path)


def test_a_file_that_the_job_does_not_write_now_is_named(emulator: Handle, tmp_path: Path) -> None:
    """With the range of that file it is written again, from the parts."""
    path = small_job(tmp_path, emulator, output={"path": str(tmp_path / "{month}.jsonl")})
    run_here(path)
    small_job(tmp_path, emulator, gone=False, output={"path": str(tmp_path / "{month}.jsonl")})
    run_here(path, "range.start=2024-02-01")
    later = erase(path, "--set", "range.start=2024-02-01")
    assert later.code == 1
    assert later.err == (
        f"warning: {tmp_path / '2024-01.jsonl'} names this user, or cannot be searched, and this "
        "job does not write it now: delete it; or run this command with the range that it was "
        "written for (--set range.start=...); or, if the job changed since, run the job first\n"
    )
    assert with_the_person(tmp_path) == ["2024-01.jsonl"]
    others = [row for row in rows(tmp_path / "2024-01.jsonl") if row["user_id"] != GONE.id]
    earlier = erase(path)
    assert (earlier.code, earlier.err) == (0, "")
    assert with_the_person(tmp_path) == []
    assert rows(tmp_path / "2024-01.jsonl") == others


def test_files_of_an_export_with_gaps_are_marked(emulator: Handle, tmp_path: Path) -> None:
    """A file without the person is left as it was; the next run fetches what is missing."""
    sections: dict[str, Any] = {
        "output": {
            "path": str(tmp_path / "out.jsonl"),
            "per_team": str(tmp_path / "{team}.jsonl"),
        }
    }
    other = {"name": "other", "users": OTHER_IDS[2:4]}
    users = [*OTHER_IDS[:2], GONE.id]
    run_here(
        small_job(tmp_path, emulator, teams=[{"name": "team", "users": users}, other], **sections)
    )
    teams = [{"name": "team", "users": OTHER_IDS[:2]}, other]
    path = small_job(tmp_path, emulator, teams=teams, **sections)
    before = outputs(tmp_path)
    (state(tmp_path) / "default" / "part-00000001.jsonl").unlink()
    erased = erase(path)
    assert erased.code == 0, erased.err
    assert (
        "out.jsonl again without the user (partial: the job has gaps; run it again)" in erased.out
    )
    assert outputs(tmp_path)["other.jsonl"] == before["other.jsonl"]
    assert with_the_person(tmp_path) == []
    assert json.loads(command(path, "status", "--json").out)["files"][0]["partial"]
    assert run_here(path, now=clock() + HOUR).chunks_fetched == 1
    expected = [row for row in before["out.jsonl"].splitlines() if GONE.id.encode() not in row]
    assert outputs(tmp_path)["out.jsonl"].splitlines() == expected
    assert verified(path) == {"OK"}


def test_a_damaged_part_is_reported_before_anything_is_erased(
    emulator: Handle, tmp_path: Path
) -> None:
    path = small_job(tmp_path, emulator)
    run_here(path)
    part = state(tmp_path) / "default" / "part-00000001.jsonl"
    part.write_bytes(part.read_bytes().replace(b'"handled_count":', b'"handled_counT":', 1))
    before = lasting(tmp_path)
    refused = erase(path)
    assert refused.code == 5
    assert "is damaged: its SHA-256 is wrong; delete this file and run again" in refused.err
    assert lasting(tmp_path) == before


def test_the_summary_describes_the_files_as_they_are_now(emulator: Handle, tmp_path: Path) -> None:
    """A program that loads the months that a run wrote loads those that changed, too."""
    path = small_job(tmp_path, emulator)
    run_here(path)
    run_here(path)
    erase_here(path)
    count = len(rows(tmp_path / "out.jsonl"))
    assert described(tmp_path) == {"team": count}
    summary = json.loads((state(tmp_path) / "summary.json").read_text())
    assert [file["months_written"] for file in summary["outputs"]] == [["2024-01"]] * 2


def described(folder: Path) -> dict[str, int]:
    """Check that the summary describes the files as they are; give the records by team."""
    summary = json.loads((state(folder) / "summary.json").read_text())
    for file in summary["outputs"]:
        content = Path(file["path"]).read_bytes()
        assert file["sha256"] == hashlib.sha256(content).hexdigest()
        assert file["records"] == sum(summary["records"].values())
    records: dict[str, int] = summary["records"]
    return records


def test_no_file_is_made_and_a_team_that_nobody_looked_up_is_a_gap(
    emulator: Handle, tmp_path: Path
) -> None:
    """A file that somebody deleted stays deleted, and one without an owner is the job's own."""
    path = small_job(tmp_path, emulator)
    run_here(path)
    (tmp_path / "out.csv").unlink()
    (tmp_path / ".asyncreport" / "owners.json").unlink()
    (state(tmp_path) / "summary.json").unlink()
    teams = [{"name": "team", "users": OTHER_IDS[:2]}, {"name": "new", "queue": QUEUE}]
    small_job(tmp_path, emulator, teams=teams)
    erased = erase_here(path)
    assert [*erased.outputs] == [*erased.partial] == [tmp_path / "out.jsonl"]
    assert not (tmp_path / "out.csv").exists()
    assert with_the_person(tmp_path) == []


@pytest.mark.parametrize("names", [("all", "{connection}"), ("{connection}", "all")])
def test_what_the_job_wrote_with_other_paths_is_found_too(
    emulator: Handle, tmp_path: Path, names: tuple[str, str]
) -> None:
    """With `{connection}` each connection has files and a state of its own, beside what was."""
    teams = [{"name": "team", "connection": "one", "users": [*OTHER_IDS[:2], GONE.id]}]
    others = [{**teams[0], "users": OTHER_IDS[:2]}]
    for name, listed in ((names[0], teams), (names[1], teams), (names[1], others)):
        path = small_job(
            tmp_path,
            emulator,
            connections={"one": connection(emulator)},
            teams=listed,
            output={"path": str(tmp_path / f"{name}.jsonl")},
        )
        if listed is teams:
            assert command(path, "run").code == 0
    old = tmp_path / f"{names[0]}.jsonl".replace("{connection}", "one")
    erased = erase(path)
    assert (erased.code, with_the_person(tmp_path)) == (1, [old.name]), erased.out
    assert erased.err.startswith(f"warning: {old} names this user, or cannot be searched, and")


@pytest.mark.parametrize("given", [GONE.name.upper(), GONE.email])
def test_a_person_may_be_named(emulator: Handle, tmp_path: Path, given: str) -> None:
    """By a name or an address that the state folder knows; the id is printed first."""
    path = job(tmp_path, emulator, gone=True, output={"path": str(tmp_path / "out.jsonl")})
    run_here(path)
    erased = erase(path, user=given)
    assert erased.code == 0, erased.err
    assert erased.err.startswith(f"{given} is user {GONE.id}\n")
    assert with_the_person(tmp_path / ".asyncreport") == []


def test_a_name_of_several_people_lists_their_ids(emulator: Handle, tmp_path: Path) -> None:
    path = job(tmp_path, emulator, gone=True, output={"path": str(tmp_path / "out.jsonl")})
    run_here(path)
    names = Names(state(tmp_path) / "names.json")
    (identity,) = json.loads((state(tmp_path) / "names.json").read_text())
    names.save(identity, {OTHER_IDS[0]: GONE.name}, now=clock())
    before = lasting(tmp_path)
    refused = erase(path, user=GONE.name)
    assert (refused.code, refused.out) == (2, "")
    assert f"--user: 2 people have {GONE.name!r}; give the id of one: " in refused.err
    assert f"{GONE.id} ({GONE.name})" in refused.err
    part = erase(path, user=GONE.name.split()[-1])
    assert part.code == 2
    assert f"{GONE.id} ({GONE.name})" in part.err
    assert lasting(tmp_path) == before


def test_a_person_is_erased_from_connections_of_which_the_job_has_none_any_more(
    emulator: Handle, tmp_path: Path
) -> None:
    """The only connection has another name now, and no run fetched from it yet."""
    run_here(write_job(tmp_path, emulator, range=RANGE))
    path = write_job(tmp_path, emulator, range=RANGE, connections={"new": connection(emulator)})
    assert "would erase user" in erase(path, "--dry-run").out
    result = erase(path)
    assert result.code == 1
    assert f"warning: {tmp_path / 'out.jsonl'} names this user" in result.err
    assert with_the_person(tmp_path) == ["out.jsonl"]
    # A manifest of the new connection would look like a run that was broken off.
    assert "did not finish" not in call("status", str(path), cwd=tmp_path).out
    assert len(run_here(path).outputs) == 1
