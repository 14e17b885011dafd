"""Jobs whose state lies side by side: none replaces another's file, and one that was renamed finds its way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncreport.core.errors import ConfigError
from tests.emulator_process import Handle, emulator_process
from tests.exporting import call, run_here, write_job

RANGE = {"start": "2024-01-01", "end": "2024-01-03", "granularity": "PT1H"}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=3, seed=3, requests_per_minute=0) as handle:
        yield handle


def job(folder: Path, emulator: Handle, name: str, **sections: Any) -> Path:
    return write_job(folder, emulator, **{"name": name, "range": RANGE, **sections})


def test_a_file_that_another_job_wrote_is_not_replaced(emulator: Handle, tmp_path: Path) -> None:
    """Under whatever name it is reached; no request is sent and no folder made."""
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


def test_a_team_s_file_that_is_the_output_itself_is_refused(
    emulator: Handle, tmp_path: Path
) -> None:
    """One path relative to the current directory, the other whole."""
    output, seen = (
        {"path": "all.jsonl", "per_team": str(tmp_path / "{team}.jsonl")},
        len(emulator.log()),
    )
    result = call("run", str(job(tmp_path, emulator, "a", output=output)), cwd=tmp_path)
    assert (result.code, len(emulator.log())) == (2, seen)
    assert f"are the same file, {tmp_path}/all.jsonl; give one of them another path" in result.err


def test_a_job_that_was_renamed_goes_on_once_its_folder_is(
    emulator: Handle, tmp_path: Path
) -> None:
    run_here(job(tmp_path, emulator, "a"))
    path = job(tmp_path, emulator, "b")
    with pytest.raises(ConfigError, match=r"rename .*/\.asyncreport/a to b; then run again"):
        run_here(path)
    (tmp_path / ".asyncreport" / "a").rename(tmp_path / ".asyncreport" / "b")
    assert run_here(path).chunks_fetched == 0


def test_a_file_that_was_moved_away_or_that_two_jobs_wrote_in_turn_is_the_last_one_s(
    emulator: Handle, tmp_path: Path
) -> None:
    first = job(tmp_path, emulator, "a").rename(tmp_path / "a.yaml")
    second = job(tmp_path, emulator, "b", teams=[{"name": "other"}])
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
    """Nor does a neighbour's memory that cannot be read."""
    run_here(job(tmp_path, emulator, "a"))
    (tmp_path / ".asyncreport" / "c").mkdir()
    (tmp_path / ".asyncreport" / "c" / "outputs.json").write_text("garbage")
    assert run_here(
        job(tmp_path, emulator, "b", output={"path": str(tmp_path / "b.jsonl")})
    ).complete


def test_the_file_of_a_team_that_was_renamed_is_told_once_and_another_job_may_have_it(
    emulator: Handle, tmp_path: Path
) -> None:
    output = {"path": str(tmp_path / "all.jsonl"), "per_team": str(tmp_path / "{team}.jsonl")}
    run_here(job(tmp_path, emulator, "a", output=output, teams=[{"name": "old"}]))
    path = job(tmp_path, emulator, "a", output=output, teams=[{"name": "new"}])
    renamed, again = (call("run", str(path), cwd=tmp_path).err for _ in range(2))
    assert (
        f"{tmp_path}/old.jsonl: an earlier run wrote it; this job does not write it any more"
        in renamed
    )
    assert "a: nothing to fetch, 1 part reused" in renamed
    assert "old.jsonl" not in again
    assert again.startswith("a: nothing to do, 1 part reused")
    assert run_here(
        job(tmp_path, emulator, "b", output={"path": str(tmp_path / "old.jsonl")})
    ).complete
