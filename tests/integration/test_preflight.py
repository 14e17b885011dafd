"""What a run refuses to replace: files of another job, and data of another organisation."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncreport.core.errors import ConfigError
from asyncreport.core.timeline import DAY, HOUR
from asyncreport.emulator import World
from asyncreport.store import merge_outputs as merge
from asyncreport.store.owners import claim
from tests.emulator_process import Handle, emulator_process
from tests.exporting import NOW, call, run_here, start, write_job

RANGE = {"start": "2024-01-01", "end": "2024-01-03", "granularity": "PT1H"}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=3, seed=3, requests_per_minute=0) as handle:
        yield handle


def job(folder: Path, emulator: Handle, name: str, **sections: Any) -> Path:
    return write_job(folder, emulator, **{"name": name, "range": RANGE, **sections})


def test_a_file_that_another_job_wrote_is_not_replaced(emulator: Handle, tmp_path: Path) -> None:
    """By its own path or through a link; no request is sent and no folder is created."""
    run_here(job(tmp_path, emulator, "a"))
    (tmp_path / "link").symlink_to(tmp_path)
    before, seen = (tmp_path / "out.jsonl").stat(), len(emulator.log())
    for path in (tmp_path / "out.jsonl", tmp_path / "link" / "out.jsonl"):
        result = call(
            "run", str(job(tmp_path, emulator, "b", output={"path": str(path)})), cwd=tmp_path
        )
        assert result.code == 2
        assert (
            f"error: {path} is an output file of the job 'a', "
            "and two jobs must not write one file; give this job another path" in result.err
        )
        assert "if 'a' is the old name of this job, rename " in result.err
    assert len(emulator.log()) == seen
    assert (tmp_path / "out.jsonl").stat() == before
    assert not (tmp_path / ".asyncreport" / "b").exists()


def test_a_team_file_with_the_path_of_the_main_output_is_refused(
    emulator: Handle, tmp_path: Path
) -> None:
    """One path is relative to the current directory, the other is absolute."""
    output, seen = (
        {"path": "all.jsonl", "per_team": str(tmp_path / "{team}.jsonl")},
        len(emulator.log()),
    )
    result = call("run", str(job(tmp_path, emulator, "a", output=output)), cwd=tmp_path)
    assert (result.code, len(emulator.log())) == (2, seen)
    assert f"are the same file, {tmp_path}/all.jsonl; give one of them another path" in result.err


def test_a_renamed_job_continues_after_its_folder_is_renamed(
    emulator: Handle, tmp_path: Path
) -> None:
    run_here(job(tmp_path, emulator, "a"))
    path = job(tmp_path, emulator, "b")
    with pytest.raises(ConfigError, match=r"rename .*/\.asyncreport/a to b; then run again"):
        run_here(path)
    (tmp_path / ".asyncreport" / "a").rename(tmp_path / ".asyncreport" / "b")
    assert run_here(path).chunks_fetched == 0


def test_a_file_that_two_jobs_wrote_belongs_to_the_last_one(
    emulator: Handle, tmp_path: Path
) -> None:
    first = job(tmp_path, emulator, "a").rename(tmp_path / "a.yaml")
    second = job(tmp_path, emulator, "b", teams=[{"name": "other", "everyone": True}])
    run_here(first)
    (tmp_path / "out.jsonl").unlink()
    run_here(second)
    run_here(second)
    with pytest.raises(ConfigError, match="is an output file of the job 'b'"):
        run_here(first)
    (tmp_path / "out.jsonl").write_text("edited")
    assert run_here(second).complete


def test_jobs_with_files_of_their_own_do_not_disturb_each_other(
    emulator: Handle, tmp_path: Path
) -> None:
    """The state folder of another job may even be unreadable."""
    run_here(job(tmp_path, emulator, "a"))
    (tmp_path / ".asyncreport" / "c").mkdir()
    (tmp_path / ".asyncreport" / "c" / "outputs.json").write_text("garbage")
    assert run_here(
        job(tmp_path, emulator, "b", output={"path": str(tmp_path / "b.jsonl")})
    ).complete


def test_the_file_of_a_renamed_team_is_reported_once_and_another_job_may_write_it(
    emulator: Handle, tmp_path: Path
) -> None:
    output = {"path": str(tmp_path / "all.jsonl"), "per_team": str(tmp_path / "{team}.jsonl")}
    run_here(job(tmp_path, emulator, "a", output=output, teams=[{"name": "old", "everyone": True}]))
    path = job(tmp_path, emulator, "a", output=output, teams=[{"name": "new", "everyone": True}])
    first, second = (call("run", str(path), cwd=tmp_path).err for _ in range(2))
    assert (
        f"{tmp_path}/old.jsonl: an earlier run wrote it; this job does not write it any more"
        in first
    )
    assert "a: nothing to fetch, 1 part reused" in first
    assert "old.jsonl" not in second
    assert second.startswith("a: nothing to do, 1 part reused")
    assert run_here(
        job(tmp_path, emulator, "b", output={"path": str(tmp_path / "old.jsonl")})
    ).complete


def test_one_table_of_owners_exists_in_the_folder_of_the_files(
    emulator: Handle, tmp_path: Path
) -> None:
    """It names the state folder by the way that leads there from the files."""
    output = {"path": str(tmp_path / "out.jsonl"), "per_team": str(tmp_path / "{team}.jsonl")}
    run_here(job(tmp_path, emulator, "a", output=output))
    table = tmp_path / ".asyncreport" / "owners.json"
    assert json.loads(table.read_text()) == dict.fromkeys(
        ["all.jsonl", "out.jsonl"], ".asyncreport/a"
    )
    before = table.stat()
    run_here(job(tmp_path, emulator, "a", output=output))
    assert table.stat() == before


def test_a_link_to_a_file_of_a_job_whose_state_lies_apart_is_refused(
    emulator: Handle, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    run_here(job(first, emulator, "a", output={"path": str(first / "out.jsonl")}))
    before = (first / "out.jsonl").read_bytes()
    (second / "out.jsonl").symlink_to("../first/out.jsonl")
    path = job(second, emulator, "a", output={"path": str(second / "out.jsonl")})
    with pytest.raises(ConfigError, match=r"second/out.jsonl is an output file of the job 'a'"):
        run_here(path)
    assert (first / "out.jsonl").read_bytes() == before
    assert not (second / ".asyncreport" / "a").exists()


def test_two_jobs_that_start_for_the_first_time_at_once_do_not_write_one_file(
    faulty: Handle, tmp_path: Path
) -> None:
    """The second one is refused while the first one is still fetching."""
    first = job(tmp_path, faulty, "a").rename(tmp_path / "a.yaml")
    second = job(tmp_path, faulty, "b")
    faulty.hold()
    try:
        with start("run", str(first), cwd=tmp_path) as running:
            while not (tmp_path / ".asyncreport" / "owners.json").exists():
                assert running.poll() is None
                time.sleep(0.05)
            refused = call("run", str(second), cwd=tmp_path)
            faulty.release()
            assert running.wait(timeout=60) == 0
    finally:
        faulty.release()
    assert refused.code == 2
    assert re.search(
        r"out.jsonl is an output file of the job 'a', which is running by process \d+ on ",
        refused.err,
    )
    assert not (tmp_path / ".asyncreport" / "b").exists()


def test_a_file_that_another_job_claimed_during_the_run_is_not_replaced(
    faulty: Handle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a machine may do that sees neither the process nor its state folder."""
    path = job(tmp_path, faulty, "a")
    (tmp_path / "out.jsonl").write_text("of another job")
    other = tmp_path / ".asyncreport" / "b"
    claimed = merge.make_folder

    def claim_first(folder: Path) -> None:
        claim([tmp_path / "out.jsonl"], other, lambda *_: None)
        claimed(folder)

    monkeypatch.setattr(merge, "make_folder", claim_first)
    with pytest.raises(ConfigError, match="is an output file of the job 'b'"):
        run_here(path)
    assert (tmp_path / "out.jsonl").read_text() == "of another job"
    assert list(tmp_path.glob("*.tmp")) == []


ELSEWHERE = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def faulty(emulator: Handle) -> Iterator[Handle]:
    yield emulator
    emulator.faults([])


def organization_requests(emulator: Handle) -> int:
    return sum(entry["path"] == "/api/v2/tokens/me" for entry in emulator.log())


def another_organization(emulator: Handle) -> None:
    """Let the emulator say that its clients belong to another organisation."""
    body = json.dumps({"organization": {"id": ELSEWHERE}})
    emulator.faults([{"match": {"path": "tokens/me"}, "do": {"body": body}}])


def test_another_organisation_at_the_same_host_is_refused(faulty: Handle, tmp_path: Path) -> None:
    """Before any query, also for another query and after parts were deleted."""
    run_here(job(tmp_path, faulty, "a"))
    before = (tmp_path / "out.jsonl").read_bytes()
    another_organization(faulty)
    path = job(tmp_path, faulty, "a", range={**RANGE, "granularity": "P1D"})
    seen = len(faulty.log())
    result = call("run", str(path), cwd=tmp_path)
    assert result.code == 2
    assert (
        f"error: default: the OAuth client belongs to the organisation {ELSEWHERE}, but "
        f"{tmp_path}/.asyncreport/a holds data of the organisation {World(3, 3).id} from "
        f"{faulty.url}; use a client of that organisation" in result.err
    )
    assert not any("aggregates" in entry["path"] for entry in faulty.log()[seen:])
    assert (tmp_path / "out.jsonl").read_bytes() == before


def test_the_organisation_is_asked_only_if_something_is_fetched(
    faulty: Handle, tmp_path: Path
) -> None:
    path = job(tmp_path, faulty, "a")
    before = organization_requests(faulty)
    run_here(path)
    assert organization_requests(faulty) == before + 1
    another_organization(faulty)
    assert run_here(path).complete
    assert organization_requests(faulty) == before + 1


@pytest.mark.parametrize(
    "fault",
    [{"status": 404}, {"status": 405}, {"html": True}, {"body": "{}"}, {"body": "[1]"}],
)
def test_a_gateway_that_does_not_know_the_organisation_is_accepted(
    fault: dict[str, Any], faulty: Handle, tmp_path: Path
) -> None:
    faulty.faults([{"match": {"path": "tokens/me"}, "do": fault}])
    before = organization_requests(faulty)
    result = call("run", str(job(tmp_path, faulty, "a")), cwd=tmp_path)
    assert (result.code, "warning" in result.err) == (0, False)
    assert organization_requests(faulty) == before + 1


def test_a_changed_query_is_reported_with_what_the_file_was_and_is_now(
    emulator: Handle, tmp_path: Path
) -> None:
    """Once, by the run that changes the file, and by a plan before it."""
    run_here(job(tmp_path, emulator, "a"))
    longer = {**RANGE, "end": "2024-01-04"}
    assert run_here(job(tmp_path, emulator, "a", range=longer)).warnings == []
    path = job(
        tmp_path,
        emulator,
        "a",
        range={**longer, "granularity": "P1D"},
        split_by=["media_type"],
    )
    said = (
        f"{tmp_path}/out.jsonl: an earlier run wrote it with granularity PT1H, split_by none; "
        "a run now writes it with granularity P1D, split_by media_type"
    )
    assert f"warning: {said}\n" in call("plan", str(path), cwd=tmp_path).out
    assert run_here(path).warnings == [said]
    assert run_here(path).warnings == []


def test_a_run_warns_once_a_day_about_divisions_that_the_client_does_not_see(
    tmp_path: Path,
) -> None:
    with emulator_process(agents=3, seed=3, requests_per_minute=0, divisions=["Home"]) as emulator:
        path = job(tmp_path, emulator, "a")
        longer = {**RANGE, "end": "2024-01-04"}
        first = run_here(path)
        asked = division_requests(emulator)
        again = run_here(job(tmp_path, emulator, "a", range=longer), now=NOW + HOUR)
        assert division_requests(emulator) == asked > 0
        next_day = run_here(path, now=NOW + DAY)
        assert division_requests(emulator) == asked
        longer["end"] = "2024-01-05"
        run_here(job(tmp_path, emulator, "a", range=longer), now=NOW + DAY)
        assert division_requests(emulator) == 2 * asked
    (warning,) = first.warnings
    assert warning.startswith(
        "default: the client does not see the divisions Nordics & Baltics: "
        "their interactions are missing from the results, without an error; "
    )
    assert again.warnings == [warning]
    assert next_day.warnings == []


@pytest.mark.parametrize("fault", [{"status": 404}, {"status": 403}, {"html": True}])
def test_a_gateway_without_divisions_is_accepted(
    fault: dict[str, Any], faulty: Handle, tmp_path: Path
) -> None:
    faulty.faults([{"match": {"path": "divisions"}, "do": fault}])
    path = job(tmp_path, faulty, "a", limits={"max_attempts": 1})
    result = call("run", str(path), cwd=tmp_path)
    assert (result.code, "warning" in result.err) == (0, False)


def division_requests(emulator: Handle) -> int:
    return sum("divisions" in entry["path"] for entry in emulator.log())
