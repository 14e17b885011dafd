"""`verify` and `status` against the emulator: correct exports pass, each damage is found."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from asyncreport.core.columns import average
from asyncreport.emulator import World
from tests.emulator_process import Handle, emulator_process
from tests.exporting import Call, call, run_here, start, write_job
from tests.manifests import Line, edit_lines, read_lines, write_lines
from tests.masking import masked

RANGE = {"start": "2024-01-20", "end": "2024-02-10", "granularity": "PT1H"}
WORLD = World(agents=6, seed=5)
USERS = [person.id for person in WORLD.people]
TEAMS = [{"name": "sales", "users": USERS}]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=6, seed=5, requests_per_minute=0, job_polls=0) as handle:
        yield handle


def job(folder: Path, emulator: Handle, **sections: Any) -> Path:
    return write_job(folder, emulator, **{"range": RANGE, "teams": TEAMS, **sections})


def exported(folder: Path, emulator: Handle, **sections: Any) -> Path:
    path = job(folder, emulator, **sections)
    assert run_here(path).complete
    return path


def verify(path: Path) -> Call:
    return call("verify", str(path), cwd=path.parent)


def state(folder: Path) -> Path:
    return folder / ".asyncreport" / "job"


def content(folder: Path) -> dict[str, bytes]:
    """Read all files."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def levels(result: Call) -> list[str]:
    return [line[:4] for line in result.out.splitlines() if not line.startswith(" ")]


DUBLIN = {"start": "2023-10-20", "end": "2023-11-06", "time_zone": "Europe/Dublin"}


@pytest.mark.parametrize(
    "sections",
    [
        {"range": {**DUBLIN, "granularity": "PT15M", "chunk": "P2D"}},
        {"range": {**DUBLIN, "granularity": "P1D"}, "teams": [{"name": "all", "everyone": True}]},
        {
            "range": {"start": "2024-01-01", "end": "2024-02-05", "granularity": "P1W"},
            "split_by": ["media_type", "queue_id"],
        },
        {
            "range": {**DUBLIN, "granularity": "none"},
            "split_by": ["division_id"],
            "teams": [{"name": "all", "everyone": True}],
        },
        {
            "filter": {"media_types": ["voice"], "queues": [WORLD.queues[0].id]},
            "teams": [{"name": "all", "everyone": True}, *TEAMS],
        },
        {"occupancy": True, "teams": [{"name": "all", "everyone": True}]},
        {"metrics": ["tAnswered", "tDialing", "nTransferred"]},
        {"contract": "query-jobs", "split_by": ["media_type"]},
        {"contract": "entities", "teams": [{"name": "all", "everyone": True}]},
    ],
)
def test_a_correct_export_passes_and_nothing_is_changed(
    emulator: Handle, tmp_path: Path, sections: dict[str, Any]
) -> None:
    output = {
        "path": str(tmp_path / "{month}" / "out.jsonl"),
        "per_team": str(tmp_path / "{team}.jsonl"),
    }
    path = exported(tmp_path, emulator, output=output, **sections)
    before = content(tmp_path)
    result = verify(path)
    assert (result.code, result.err) == (0, "")
    assert set(levels(result)) == {"OK  "}
    assert content(tmp_path) == before


def test_a_verification_without_findings_has_a_line_for_each_test(
    emulator: Handle, tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    path = exported(tmp_path, emulator)
    assert masked(verify(path).out, folder=tmp_path) == snapshot


def test_parts_that_exceed_a_narrower_range_are_cut_by_line(
    emulator: Handle, tmp_path: Path
) -> None:
    path = exported(tmp_path, emulator)
    narrow = ("--set", "range.start=2024-01-25T06:00", "--set", "range.end=2024-02-03")
    assert run_here(path, narrow[1], narrow[3]).complete
    result = call("verify", str(path), *narrow, cwd=tmp_path)
    assert (result.code, set(levels(result))) == (0, {"OK  "})


def entities(buckets: list[tuple[str, float, float]]) -> dict[str, Any]:
    """Respond as gateways do: handled, talk, wrap-up of the first user, by start of bucket."""
    rows = [
        {
            "user": {"id": USERS[0]},
            "interval": {"startTime": at},
            "metrics": {
                "handledCount": {"count": handled},
                "talkTime": {"sum": talk},
                "wrapUpTime": {"sum": talk},
            },
        }
        for at, handled, talk in buckets
    ]
    return {
        "match": {"path": "query"},
        "do": {"status": 200, "body": json.dumps({"entities": rows})},
    }


@pytest.mark.parametrize(("total", "code"), [(300.9999, 0), (300.994, 1)])
def test_seconds_finer_than_a_ms_are_rounded_by_bucket_and_pass(
    emulator: Handle, tmp_path: Path, total: float, code: int
) -> None:
    sections = {
        "contract": "entities",
        "range": {**RANGE, "end": "2024-01-21"},
        "teams": [{"name": "one", "users": USERS[:1]}],
    }
    try:
        emulator.faults(
            [entities([(f"2024-01-20T{hour:02}:00:00.000Z", 1, 100.3333) for hour in range(3)])]
        )
        path = exported(tmp_path, emulator, **sections)
        emulator.faults([entities([("2024-01-20T00:00:00.000Z", 3, total)])])
        result = verify(path)
    finally:
        emulator.faults([])
    said = "total_talk_time_sec is 300.999 in the parts, 300.994 on the server"
    assert result.code == code, result.out
    assert (said in result.out) == (code == 1)


def first_part(folder: Path) -> Path:
    return state(folder) / "default" / "part-00000001.jsonl"


def edit_a_part(folder: Path) -> None:
    data = first_part(folder).read_bytes()
    first_part(folder).write_bytes(data.replace(b'"handled_count":1,', b'"handled_count":2,', 1))


def cut_a_part(folder: Path) -> None:
    first_part(folder).write_bytes(first_part(folder).read_bytes()[:-5])


def lose_a_part(folder: Path) -> None:
    first_part(folder).unlink()


def edit_the_output(folder: Path) -> None:
    out = folder / "out.jsonl"
    out.write_bytes(out.read_bytes().replace(b'"handled_count":1,', b'"handled_count":2,', 1))


def drop_a_line(folder: Path) -> None:
    out = folder / "out.jsonl"
    out.write_bytes(out.read_bytes().split(b"\n", 1)[1])


def lose_the_output(folder: Path) -> None:
    (folder / "out.jsonl").unlink()


def repeat_a_part(folder: Path) -> None:
    """Commit the first part once more under another number."""
    manifest = state(folder) / "default" / "manifest.jsonl"
    line = next(line for line in read_lines(manifest) if line.get("part") == 1)
    (state(folder) / "default" / "part-00000009.jsonl").write_bytes(first_part(folder).read_bytes())
    write_lines(manifest, [*read_lines(manifest), {**line, "part": 9}])


def forge_the_output(folder: Path) -> None:
    """Edit a line, and the hash that the job remembers."""
    edit_the_output(folder)
    remembered = state(folder) / "outputs.json"
    known = json.loads(remembered.read_text())
    known[str(folder / "out.jsonl")]["sha256"] = hashlib.sha256(
        (folder / "out.jsonl").read_bytes()
    ).hexdigest()
    remembered.write_text(json.dumps(known))


@pytest.mark.parametrize(
    "damage",
    [
        edit_a_part,
        cut_a_part,
        lose_a_part,
        edit_the_output,
        drop_a_line,
        lose_the_output,
        repeat_a_part,
        forge_the_output,
    ],
)
def test_each_kind_of_damage_is_found_and_named(
    emulator: Handle,
    tmp_path: Path,
    damage: Callable[[Path], None],
    snapshot: SnapshotAssertion,
) -> None:
    path = exported(tmp_path, emulator)
    damage(tmp_path)
    result = verify(path)
    assert (result.code, result.err) == (1, "")
    assert masked(result.out, folder=tmp_path) == snapshot


def sign(folder: Path, lines: list[bytes]) -> None:
    """Put these lines into the first part, with its hash in the manifest to match."""
    old, new = first_part(folder).read_bytes(), b"".join(lines)
    first_part(folder).write_bytes(new)
    before, after = hashlib.sha256(old).hexdigest(), hashlib.sha256(new).hexdigest()

    def change(line: Line) -> Line:
        return {**line, "sha256": after} if line.get("sha256") == before else line

    edit_lines(state(folder) / "default" / "manifest.jsonl", change)


def forge_a_part(folder: Path) -> str:
    """Add one interaction to the first part; average, hash and manifest match. Give the user."""
    *lines, index = first_part(folder).read_bytes().splitlines(keepends=True)
    old = next(n for n, line in enumerate(lines) if 0 < json.loads(line)["handled_count"] < 9)
    row = json.loads(lines[old])
    count = row["handled_count"]
    forged = {**row, "handled_count": count + 1}
    forged["avg_handle_time_sec"] = average(round(row["total_handle_time_sec"] * 1000), count + 1)
    owners = [user for user, _, _, number in json.loads(index)["users"] for _ in range(number)]
    # As long as it was, so that the index stays true.
    lines[old] = (
        json.dumps(forged, separators=(",", ":")).encode().ljust(len(lines[old]) - 1) + b"\n"
    )
    sign(folder, [*lines, index])
    return str(owners[old])


def test_records_in_the_wrong_order_are_found_even_if_the_hash_matches(
    emulator: Handle, tmp_path: Path
) -> None:
    path = exported(tmp_path, emulator)
    first, second, *rest = first_part(tmp_path).read_bytes().splitlines(keepends=True)
    index = json.loads(rest[-1])
    assert index["users"][0][3] > 1, "both are of one user"
    sign(tmp_path, [second, first, *rest])
    (tmp_path / "out.jsonl").unlink()
    assert run_here(path).complete
    result = verify(path)
    assert result.code == 1
    user = index["users"][0][0]
    start = json.loads(first)["interval_start"].replace(":00.000Z", "Z")
    said = f"user {user}: the record of {start} is out of order"
    assert f"part-00000001.jsonl (2024-01-20T00:00Z/2024-02-01T00:00Z), {said}\n" in result.out


def test_the_advice_about_a_damaged_part_repairs_it(emulator: Handle, tmp_path: Path) -> None:
    """A run without work does not read the parts, so it does not find the damage."""
    path = exported(tmp_path, emulator)
    good = (tmp_path / "out.jsonl").read_bytes()
    edit_a_part(tmp_path)
    assert run_here(path).chunks_fetched == 0
    result = verify(path)
    assert (
        f"{first_part(tmp_path)} (2024-01-20T00:00Z/2024-02-01T00:00Z) is damaged: " in result.out
    )
    advice = re.search(r"fetch it again: run (--refresh) (\S+)\n", result.out)
    assert advice is not None
    assert call("run", str(path), *advice.groups(), cwd=tmp_path).code == 0
    assert verify(path).code == 0
    assert (tmp_path / "out.jsonl").read_bytes() == good


def test_a_damaged_part_of_another_range_is_deleted(emulator: Handle, tmp_path: Path) -> None:
    path = exported(tmp_path, emulator)
    edit_a_part(tmp_path)
    shorter = ("--set", "range.start=2024-01-25")
    result = call("verify", str(path), *shorter, cwd=tmp_path)
    assert "delete these files; the next run fetches again what the job needs" in result.out
    first_part(tmp_path).unlink()
    assert call("run", str(path), *shorter, cwd=tmp_path).code == 0
    assert call("verify", str(path), *shorter, cwd=tmp_path).code == 0


def test_a_run_says_that_it_replaces_a_file_that_was_edited(
    emulator: Handle, tmp_path: Path
) -> None:
    path = exported(tmp_path, emulator)
    out = tmp_path / "out.jsonl"
    good = out.read_bytes()
    out.write_bytes(good + b"mine\n")
    result = call("run", str(path), cwd=tmp_path)
    assert (
        result.err.count("out.jsonl is not as the last run wrote it: this run replaces it; ") == 1
    )
    assert out.read_bytes() == good
    # Restored from a copy: another time, the same content.
    out.unlink()
    out.write_bytes(good)
    assert "last run wrote" not in call("run", str(path), cwd=tmp_path).err


def test_a_part_that_grew_is_damaged(emulator: Handle, tmp_path: Path) -> None:
    path = exported(tmp_path, emulator)
    size = first_part(tmp_path).stat().st_size
    with first_part(tmp_path).open("a") as file:
        file.write("\n")
    assert f"is damaged: it has {size + 1:,} bytes instead of {size:,}\n" in verify(path).out


def test_a_part_forged_with_its_hash_differs_from_the_server(
    emulator: Handle, tmp_path: Path
) -> None:
    path = exported(tmp_path, emulator)
    user = forge_a_part(tmp_path)
    assert run_here(path).complete  # the output is what the parts make of it
    result = verify(path)
    name = next(person.name for person in WORLD.people if person.id == user)
    month = "2024-01-20T00:00Z/2024-02-01T00:00Z"
    assert result.code == 1
    assert levels(result) == ["OK  ", "OK  ", "OK  ", "FAIL", "OK  "]
    title, difference, step = result.out.splitlines()[3:6]
    assert title == "FAIL  the totals of 1 user differ from those of the server"
    found = re.fullmatch(
        rf"      {re.escape(name)} \({user}\), {month}: "
        r"handled_count is (\d+) in the parts, (\d+) on the server",
        difference,
    )
    assert found is not None
    assert int(found[1]) == int(found[2]) + 1
    assert step == f"      fetch it again: run --refresh {month}"


def test_a_difference_in_unsettled_data_says_so(emulator: Handle, tmp_path: Path) -> None:
    """The first part's line says that it was fetched a day after its end."""
    path = exported(tmp_path, emulator)
    forge_a_part(tmp_path)

    def change(line: Line) -> Line:
        if line.get("part") != 1:
            return line
        assert line["fetched_at"] == "2025-01-01T00:00:00.000Z"
        return {**line, "fetched_at": "2024-02-02T00:00:00.000Z"}

    edit_lines(state(tmp_path) / "default" / "manifest.jsonl", change)
    result = verify(path)
    assert result.code == 1
    assert (
        "WARN  1 part was fetched while numbers could still change (output.settle); "
        "the next run fetches the data again" in result.out
    )
    span = "2024-01-20T00:00Z/2024-02-01T00:00Z"
    assert f"      numbers could still change: {span}, fetched 2024-02-02T00:00Z\n" in result.out


def test_a_moved_folder_is_recognized(
    emulator: Handle, tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    (tmp_path / "old").mkdir()
    exported(tmp_path / "old", emulator)
    (tmp_path / "old").rename(tmp_path / "new")
    result = verify(job(tmp_path / "new", emulator))
    assert result.code == 1
    assert masked(result.out, folder=tmp_path) == snapshot


def test_a_job_that_never_ran_fails_and_no_folder_is_made(
    emulator: Handle, tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    path = job(tmp_path, emulator)
    result = verify(path)
    assert (result.code, result.err) == (1, "")
    assert masked(result.out, folder=tmp_path) == snapshot
    assert not (tmp_path / ".asyncreport").exists()


def test_during_a_run_verify_and_status_report_it(emulator: Handle, tmp_path: Path) -> None:
    path = exported(tmp_path, emulator)
    seen = sum(entry["path"].startswith("/api/") for entry in emulator.log())
    # The run waits for this response; the requests of `verify` are answered.
    emulator.faults([{"match": {"path": "aggregates", "nth": [1]}, "do": {"hang": True}}])
    try:
        with start("run", str(path), "--set", "range.end=2024-02-20", cwd=tmp_path) as running:
            emulator.wait(requests=seen + 1)
            verified, looked = verify(path), call("status", str(path), cwd=tmp_path)
    finally:
        emulator.faults([])
    assert (verified.code, verified.err) == (0, "")
    assert re.match(
        rf"WARN  a run is in progress: {state(tmp_path)} is in use by process {running.pid} on .*\n"
        r"      what it has not saved yet is reported as missing\n",
        verified.out,
    )
    assert looked.code == 0
    assert re.match(
        rf"job: a run is in progress, {state(tmp_path)} is in use by process {running.pid} on ",
        looked.out,
    )
    assert "run again" not in looked.out
    assert call("status", str(path), cwd=tmp_path).out.startswith("job: no run is in progress\n")


def test_refused_credentials_end_with_3_after_the_local_checks(
    emulator: Handle, tmp_path: Path
) -> None:
    path = exported(tmp_path, emulator)
    result = call(
        "verify", str(path), "--set", "connections.default.client_secret=wrong", cwd=tmp_path
    )
    assert result.code == 3
    assert set(levels(result)) == {"OK  "}
    assert "Traceback" not in result.err
    assert "wrong" not in result.err


def test_the_members_of_a_looked_up_team_are_those_of_the_last_run(tmp_path: Path) -> None:
    with emulator_process(agents=6, seed=5, requests_per_minute=0) as emulator:
        queue = WORLD.queues[0]
        emulator.members("queue", queue.id, USERS[:3])
        path = exported(tmp_path, emulator, teams=[{"name": "few", "queue": queue.id}])
        emulator.members("queue", queue.id, USERS)
        result = verify(path)
        assert (result.code, set(levels(result))) == (0, {"OK  "})
        assert "3 users" in result.out
        before = len(emulator.log())
        assert (
            "covers 2024-01-20T00:00Z/2024-02-10T00:00Z, 3 users"
            in call("status", str(path), cwd=tmp_path).out
        )
        assert len(emulator.log()) == before


def test_an_export_that_its_last_run_left_incomplete_fails(tmp_path: Path) -> None:
    """A new user without data, a team with another selector, a team that was not looked up."""
    with emulator_process(agents=6, seed=5, requests_per_minute=0) as emulator:
        queue, other = WORLD.queues[:2]
        emulator.members("queue", queue.id, USERS[:3])
        emulator.members("queue", other.id, USERS[3:])
        limits = {"max_attempts": 1}
        path = exported(
            tmp_path, emulator, teams=[{"name": "few", "queue": queue.id}], limits=limits
        )
        emulator.members("queue", queue.id, USERS[:4])
        emulator.faults([{"match": {"path": "aggregates/query"}, "do": {"status": 503}}])
        assert not run_here(path).complete
        emulator.faults([])
        newcomer = verify(path)
        assert newcomer.code == 1
        assert f"missing: 2024-01-20T00:00Z/2024-02-01T00:00Z, user {USERS[3]}" in newcomer.out
        asked = verify(job(tmp_path, emulator, teams=[{"name": "few", "queue": other.id}]))
        assert asked.code == 1
        assert "FAIL  team 'few': its members are not known: no run has" in asked.out
        path = job(tmp_path, emulator, teams=[{"name": "few", "queue": queue.id}], limits=limits)
        assert run_here(path).complete
        assert verify(path).code == 0
        emulator.faults([{"match": {"path": "/api/v2/routing/queues"}, "do": {"status": 503}}])
        assert not run_here(path).complete
        renamed = job(tmp_path, emulator, teams=[{"name": "new", "queue": other.id}], limits=limits)
        assert not run_here(renamed).complete
        assert (
            "team 'new': its members are not known: no run has looked it up successfully\n"
            in call("status", str(renamed), cwd=tmp_path).out
        )
        path = job(tmp_path, emulator, teams=[{"name": "few", "queue": queue.id}], limits=limits)
        assert not run_here(path).complete
        emulator.faults([])
        unknown = verify(path)
        assert unknown.code == 1
        assert (
            f"FAIL  team 'few' (queue {queue.id}): the last run could not look it up" in unknown.out
        )
        assert (
            f"team 'few' (queue {queue.id}): the last run could not look it up; its members"
            in call("status", str(path), cwd=tmp_path).out
        )
        assert run_here(path).complete
        assert verify(path).code == 0


def status(path: Path, *overrides: str) -> Call:
    options = [option for each in overrides for option in ("--set", each)]
    return call("status", str(path), *options, cwd=path.parent)


def test_the_status_of_a_job_that_never_ran_says_what_to_do(
    emulator: Handle, tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    result = status(job(tmp_path, emulator))
    assert (result.code, result.err) == (0, "")
    assert result.out == snapshot
    assert not (tmp_path / ".asyncreport").exists()


def test_the_status_reports_a_later_run_that_did_not_finish(
    emulator: Handle, tmp_path: Path
) -> None:
    """A refused run is reported; `verify` is not a run."""
    path = exported(tmp_path, emulator)
    assert verify(path).code == 0
    assert status(path).out.splitlines()[-3].startswith("last finished run: ")
    wrong = ("--set", "range.end=2024-03-01", "--set", "connections.default.client_secret=wrong")
    assert call("run", str(path), *wrong, cwd=tmp_path).code == 3
    last = status(path).out.splitlines()[-1]
    assert re.fullmatch(r"a later run did not finish; it last saved at \S+Z", last)
    assert run_here(path).complete
    assert "a later run" not in status(path).out


def test_the_status_tells_the_end_of_the_last_run_from_its_start(
    emulator: Handle, tmp_path: Path
) -> None:
    path = exported(tmp_path, emulator)
    summary = json.loads((state(tmp_path) / "summary.json").read_text())
    summary["elapsed_sec"] = 3723.5
    (state(tmp_path) / "summary.json").write_text(json.dumps(summary))
    assert (
        "last finished run: started 2025-01-01T00:00Z, ended 2025-01-01T01:02:03Z\n"
        "  complete\n" in status(path).out
    )


def test_the_status_reports_a_file_that_is_not_what_a_run_would_write(
    emulator: Handle, tmp_path: Path
) -> None:
    path = exported(tmp_path, emulator)
    remark = ", made from other data or for another query: the next run updates it\n"
    assert remark not in status(path).out
    for override in ("range.end=2024-02-09", "split_by=[media_type]"):
        assert remark in status(path, override).out, override
        assert run_here(path, override).complete
        assert remark not in status(path, override).out, override
        assert run_here(path).complete


def test_the_status_lists_parts_gaps_files_and_changes(
    emulator: Handle, tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    path = exported(tmp_path, emulator)
    (state(tmp_path) / "default" / "changes.jsonl").write_text("{}\n{}\n")
    edit_the_output(tmp_path)
    seen = len(emulator.log())
    before = content(tmp_path)
    result = status(path, "range.end=2024-03-10")
    assert (result.code, result.err) == (0, "")
    assert masked(result.out, folder=tmp_path) == snapshot
    assert len(emulator.log()) == seen
    assert content(tmp_path) == before
