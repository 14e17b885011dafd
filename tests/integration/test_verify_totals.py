"""`verify` in this process: which differences it finds, and what it requests for that."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from asyncreport.config import load_job
from asyncreport.core.columns import average
from asyncreport.core.errors import RejectedError, StoreError
from asyncreport.core.finding import Finding
from asyncreport.core.job import Job, Part
from asyncreport.core.records import Block
from asyncreport.core.timeline import DAY, parse_iso
from asyncreport.emulator import World
from asyncreport.export.summary import Summary
from asyncreport.export.verify import verify_job
from asyncreport.store.job_parts import JobParts
from asyncreport.store.manifest import Manifest
from asyncreport.store.manifest_lines import Added
from asyncreport.store.parts import PartReader, write_part
from asyncreport.store.remote import NOWHERE
from tests.emulator_process import Handle, emulator_process
from tests.exporting import NOW, run_here, write_job

AGENTS = 104
WORLD = World(agents=AGENTS, seed=5)
USERS = sorted(person.id for person in WORLD.people)
ONE_DAY = {"start": "2024-01-22", "end": "2024-01-23", "granularity": "PT1H"}
END = parse_iso("2024-01-23T00:00Z")


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=AGENTS, seed=5, requests_per_minute=0, job_polls=0) as handle:
        yield handle


@pytest.fixture(autouse=True)
def _no_faults(emulator: Handle) -> Iterator[None]:
    """Remove the faults of a test."""
    yield
    emulator.faults([])


def exported(
    folder: Path,
    emulator: Handle,
    *,
    users: list[str] | None = None,
    **sections: Any,
) -> Path:
    """Export one day of some users, by default of eight."""
    sections = {
        "range": ONE_DAY,
        "teams": [{"name": "some", "users": users or USERS[:8]}],
        **sections,
    }
    path = write_job(folder, emulator, **sections)
    assert run_here(path).complete
    return path


def loaded(path: Path, now: int = NOW) -> Job:
    return load_job(path, environ={}, now=now)


def findings(path: Path, now: int = NOW) -> list[Finding]:
    """Verify an export in this process."""
    found: list[Finding] = []
    asyncio.run(verify_job(loaded(path, now), now=now, report=found.append))
    return found


def failures(path: Path, now: int = NOW) -> str:
    """Give all findings that are not OK, as text."""
    return "\n".join(str(finding) for finding in findings(path, now) if finding.level != "OK")


def paths(emulator: Handle, after: int) -> list[str]:
    """List the paths of the requests after the first ones."""
    return [entry["path"] for entry in emulator.log()[after:] if entry["path"].startswith("/api/")]


def blocks(folder: Path, part: Part) -> list[Block]:
    """Read a part, user by user."""
    with PartReader(folder, NOWHERE) as reader:
        return [
            Block(entry.user, reader.block(part, entry), entry.count, frozenset())
            for entry in reader.index(part)
        ]


def parts(path: Path) -> list[Part]:
    """List the current parts of a job."""
    job = loaded(path)
    return JobParts.read(job).current(job.connections[0])


def commit(path: Path, part: Part, found: list[Block], replaces: tuple[int, ...] = ()) -> None:
    """Save a part with these blocks; the manifest matches the file."""
    folder = loaded(path).state_folder / part.connection
    stats = write_part(folder, part.number, found)
    part = msgspec.structs.replace(
        part,
        count=stats.count,
        size=stats.size,
        index_at=stats.index_at,
        sha256=stats.sha256,
    )
    manifest = Manifest.read(folder)
    manifest.start_writing()
    manifest.add([Added(part, replaces)])


def forge(
    path: Path,
    change: Callable[[list[Block]], list[Block]],
    *,
    at: int = 0,
    **fields: Any,
) -> None:
    """Replace a part, by default the first, by one with other blocks or fields."""
    old = parts(path)[at]
    found = change(blocks(loaded(path).state_folder, old))
    new = msgspec.structs.replace(old, number=7, **fields)
    commit(path, new, found, (old.number,))


def one_more(block: Block) -> Block:
    """Add one interaction to the first record of a user; the average matches."""
    first, *rest = block.lines.splitlines(keepends=True)
    row = orjson.loads(first)
    row["handled_count"] += 1
    handle_time = round(row["total_handle_time_sec"] * 1000)
    row["avg_handle_time_sec"] = average(handle_time, row["handled_count"])
    lines = b"".join((orjson.dumps(row) + b"\n", *rest))
    return Block(block.user, lines, block.count, block.queues)


def last_forged(found: list[Block]) -> list[Block]:
    return [*found[:-1], one_more(found[-1])]


def test_every_user_of_a_large_team_is_compared(emulator: Handle, tmp_path: Path) -> None:
    """One query has room for 100 users; the one who differs is in the second query."""
    path = exported(tmp_path, emulator, users=USERS)
    second = parts(path)[1]
    last = blocks(loaded(path).state_folder, second)[-1].user
    forge(path, last_forged, at=1)
    text = failures(path)
    assert "FAIL  the totals of 1 user differ from those of the server" in text
    assert f"({last})" in text


@pytest.mark.parametrize("settle", ["PT0S", "P1D", "P4D"])
def test_a_difference_says_which_parts_were_not_settled(
    emulator: Handle, tmp_path: Path, settle: str
) -> None:
    """Whatever the job's own `settle`, the vendor processes two days again."""
    path = exported(
        tmp_path, emulator, output={"path": str(tmp_path / "out.jsonl"), "settle": settle}
    )
    fetched_at = END + DAY
    forge(path, last_forged, fetched_at=fetched_at)
    span = parts(path)[0].interval
    line = f"numbers could still change: {span}, fetched 2024-01-24T00:00:00.000Z"
    soon, later = failures(path, fetched_at), failures(path, END + 4 * DAY)
    assert f"{line}, and may change again\n" in soon
    assert f"{line}\n" in later


def test_a_difference_in_settled_data_is_not_explained(emulator: Handle, tmp_path: Path) -> None:
    path = exported(tmp_path, emulator)
    forge(path, last_forged, fetched_at=END + 4 * DAY)
    text = failures(path)
    assert "differ from those of the server" in text
    assert "could still change" not in text


def test_the_server_is_not_asked_if_a_part_is_damaged(emulator: Handle, tmp_path: Path) -> None:
    """The totals would differ, with advice that does not fix the part."""
    path = exported(tmp_path, emulator)
    forge(path, last_forged)
    file = next(loaded(path).state_folder.rglob("part-00000007.jsonl"))
    file.write_bytes(file.read_bytes().replace(b'"handled_count":', b'"handled_cOunt":', 1))
    before = len(emulator.log())
    text = failures(path)
    assert "is damaged: its SHA-256 is wrong" in text
    assert "WARN  not compared with the server: fix the parts first" in text
    assert text.count("run --refresh") == 1
    assert emulator.log()[before:] == []


def test_users_in_the_wrong_order_are_found_even_if_the_hash_matches(
    emulator: Handle, tmp_path: Path
) -> None:
    path = exported(tmp_path, emulator)
    users = [block.user for block in blocks(loaded(path).state_folder, parts(path)[0])]
    assert len(users) > 2
    # The order of the last two is wrong, and both come after an empty id.
    forge(path, lambda found: [found[0], found[2], found[1], *found[3:]])
    assert f"user {users[1]}: not in the order of ids" in failures(path)


def test_a_user_who_is_twice_in_a_part_is_found(emulator: Handle, tmp_path: Path) -> None:
    path = exported(tmp_path, emulator)
    forge(path, lambda found: [found[0], *found])
    assert "not in the order of ids" in failures(path)


@pytest.mark.parametrize("users", [None, (USERS[0],)])
def test_a_part_of_everyone_and_one_of_listed_users_overlap(
    emulator: Handle, tmp_path: Path, users: tuple[str, ...] | None
) -> None:
    path = exported(tmp_path, emulator, teams=[{"name": "all", "everyone": True}])
    (old,) = parts(path)
    found = blocks(loaded(path).state_folder, old)
    if users is not None:
        found = [block for block in found if block.user in users]
    commit(path, msgspec.structs.replace(old, number=9, users=users), found)
    text = failures(path)
    assert "FAIL  parts overlap: they contain the same time for the same user" in text
    assert "part-00000001.jsonl and part-00000009.jsonl at 2024-01-22T00:00:00.000Z" in text


def test_the_teams_with_other_numbers_of_records_are_listed(
    emulator: Handle, tmp_path: Path
) -> None:
    """The parts have lost two records of one team since the file was written."""
    teams = [
        {"name": "one", "users": USERS[:1]},
        {"name": "two", "users": USERS[1:3]},
    ]
    path = exported(tmp_path, emulator, teams=teams)
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    counts = [sum(f'"team":"{name}"' in line for line in lines) for name in ("one", "two")]

    def shorter(found: list[Block]) -> list[Block]:
        *others, last = found
        kept = last.lines.splitlines(keepends=True)[2:]
        return [*others, Block(last.user, b"".join(kept), last.count - 2, frozenset())]

    forge(path, shorter)
    text = failures(path)
    assert f"two: {counts[1]} records in the file, {counts[1] - 2} in the parts" in text
    assert "one: " not in text


def test_a_refusal_of_the_only_worker_is_raised(emulator: Handle, tmp_path: Path) -> None:
    path = exported(tmp_path, emulator, limits={"concurrency": 1})
    emulator.faults([{"match": {"path": "aggregates"}, "do": {"status": 400}}])
    with pytest.raises(RejectedError, match="400"):
        findings(path)


@pytest.mark.parametrize(
    ("occupancy", "everyone", "listed"),
    [(True, True, True), (True, False, False), (False, True, False)],
)
def test_the_users_are_listed_only_if_a_query_needs_their_ids(
    emulator: Handle, tmp_path: Path, occupancy: bool, everyone: bool, listed: bool
) -> None:
    """Listing them needs a permission of its own."""
    team: dict[str, Any] = {"name": "team", "users": USERS[:3]}
    if everyone:
        team = {"name": "team", "everyone": True}
    path = exported(tmp_path, emulator, occupancy=occupancy, teams=[team])
    before = len(emulator.log())
    assert failures(path) == ""
    assert ("/api/v2/users" in paths(emulator, before)) is listed


def during(action: Callable[[], object]) -> Callable[[Finding], None]:
    """Report a finding by doing something in another thread, once."""
    left = [action]

    def report(_: Finding) -> None:
        if left:
            thread = threading.Thread(target=left.pop())
            thread.start()
            thread.join()

    return report


def test_a_run_that_changes_the_export_meanwhile_ends_verify(
    emulator: Handle, tmp_path: Path
) -> None:
    path = exported(tmp_path, emulator)
    report = during(lambda: run_here(path, "range.end=2024-01-24"))
    with pytest.raises(StoreError, match="a run changed this export meanwhile; verify it again"):
        asyncio.run(verify_job(loaded(path), now=NOW, report=report))


def test_a_failure_that_a_run_caused_is_not_reported_as_one(
    emulator: Handle, tmp_path: Path
) -> None:
    path = exported(tmp_path, emulator)

    def report(_: Finding) -> None:
        (tmp_path / ".asyncreport" / "job" / "names.json").write_text("{}")
        raise RejectedError("because of the run")

    with pytest.raises(StoreError, match="a run changed this export meanwhile"):
        asyncio.run(verify_job(loaded(path), now=NOW, report=report))


def test_a_run_without_work_does_not_disturb_verify(emulator: Handle, tmp_path: Path) -> None:
    path = exported(tmp_path, emulator)
    summaries: list[Summary] = []
    found: list[Finding] = []
    disturb = during(lambda: summaries.append(run_here(path)))

    def report(finding: Finding) -> None:
        disturb(finding)
        found.append(finding)

    asyncio.run(verify_job(loaded(path), now=NOW, report=report))

    assert [summary.chunks_fetched for summary in summaries] == [0]
    assert {finding.level for finding in found} == {"OK"}
