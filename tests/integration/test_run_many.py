"""Several jobs in one run: they share an OAuth client's budget, and none stops another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asyncreport.net.throttle import pace
from tests.emulator_process import Handle, emulator_process
from tests.exporting import call, connection, write_job

DAY = {"start": "2024-01-01", "end": "2024-01-02", "granularity": "PT1H"}


def make_job(folder: Path, emulator: Handle, name: str, **sections: Any) -> str:
    """Write the job file of a name, with its output in a folder of that name."""
    place = folder / name
    place.mkdir()
    output = {"path": str(place / "out.jsonl")}
    job = {"name": name, "range": DAY, "output": output, **sections}
    return str(write_job(place, emulator, **job))


def requests(emulator: Handle, part: str) -> list[dict[str, Any]]:
    return [entry for entry in emulator.log() if part in entry["path"]]


def test_jobs_of_one_client_share_its_token_and_its_rate(tmp_path: Path) -> None:
    """Each alone would use the whole limit: together they take as long as one job of their size."""
    limit = 1_200
    with emulator_process(agents=3, requests_per_minute=limit) as emulator:
        place = {"default": connection(emulator, requests_per_minute=limit)}
        hours = {**DAY, "chunk": "PT1H"}
        paths = [
            make_job(tmp_path, emulator, name, connections=place, range=hours)
            for name in ("east", "west", "north")
        ]
        result = call("run", *paths, cwd=tmp_path)
        assert result.code == 0, result.err
        assert len(requests(emulator, "/oauth/token")) == 1
        assert len(requests(emulator, "aggregates")) == 72
        times = [entry["time"] for entry in requests(emulator, "/api/")]
        burst, rate = pace(limit)
        # A slow machine takes longer; with a limit for each job this takes a third of the time.
        assert max(times) - min(times) > 0.9 * (len(times) - burst) / rate
        outputs = {(tmp_path / name / "out.jsonl").read_bytes() for name in ("east", "west")}
        alone = make_job(tmp_path, emulator, "alone", range=hours)
        assert call("run", alone, cwd=tmp_path).code == 0
        assert outputs == {(tmp_path / "alone" / "out.jsonl").read_bytes()}
    lines = result.err.splitlines()
    assert [line.partition(":")[0] for line in lines[-3:]] == ["east", "west", "north"]
    assert all(": exit code 0: complete, " in line for line in lines[-3:])
    assert "  72 requests" not in result.err


def test_the_exit_code_is_the_worst_and_the_others_are_complete(tmp_path: Path) -> None:
    with emulator_process(agents=3, requests_per_minute=30_000) as emulator:
        wrong = {"default": connection(emulator, client_secret="wrong")}
        paths = [
            make_job(tmp_path, emulator, "good"),
            make_job(tmp_path, emulator, "refused", connections=wrong),
            make_job(tmp_path, emulator, "odd", teams=[{"name": "lost", "group": "Nobody"}]),
            make_job(tmp_path, emulator, "typo", tems=[]),
            str(tmp_path / "nowhere.yaml"),
        ]
        result = call("run", *paths, cwd=tmp_path)
    assert result.code == 3
    assert "Traceback" not in result.err
    last = dict(line.split(": ", 1) for line in result.err.splitlines()[-5:])
    assert last.pop("good").startswith("exit code 0: complete, ")
    assert last.pop("refused").startswith("exit code 3: error: POST /oauth/token: 401")
    assert last.pop("odd") == "exit code 2: not complete, 0 records fetched"
    texts = list(last.values())
    assert texts[0].startswith(f"exit code 2: error: {paths[3]}:")
    assert texts[1].startswith(f"exit code 2: error: {paths[4]}: does not exist")
    assert (tmp_path / "good" / "out.jsonl").stat().st_size > 0
    # The lines about a job say which one they are about.
    assert [
        line for line in result.err.splitlines() if line.startswith("odd: warning: team 'lost'")
    ]


def test_jobs_with_one_name_are_told_apart_by_their_files(tmp_path: Path) -> None:
    with emulator_process(agents=3, requests_per_minute=30_000) as emulator:
        paths = []
        for folder in ("a", "b"):
            (tmp_path / folder).mkdir()
            paths.append(make_job(tmp_path / folder, emulator, "same"))
        result = call("run", *paths, cwd=tmp_path)
    assert result.code == 0
    assert [line.split(": exit")[0] for line in result.err.splitlines()[-2:]] == paths


@pytest.mark.parametrize("option", [["--refresh", "2024-01-01/2024-01-02"], ["--strict"]])
def test_options_hold_for_all_jobs(tmp_path: Path, option: list[str]) -> None:
    with emulator_process(agents=3, requests_per_minute=30_000) as emulator:
        paths = [make_job(tmp_path, emulator, name) for name in ("one", "two")]
        assert call("run", *paths, cwd=tmp_path).code == 0
        before = len(requests(emulator, "aggregates"))
        assert call("run", *option, *paths, cwd=tmp_path).code == 0
        asked = len(requests(emulator, "aggregates")) - before
    assert asked == (2 if "--refresh" in option else 0)
    for name in ("one", "two"):
        summary = json.loads((tmp_path / name / ".asyncreport" / name / "summary.json").read_text())
        assert summary["complete"]


def test_a_job_that_is_named_twice_is_refused_before_anything_runs(tmp_path: Path) -> None:
    """Otherwise the second run would wait for the lock of the first, as if of another process."""
    (tmp_path / "job.yaml").touch()
    result = call("run", "job.yaml", "./job.yaml", cwd=tmp_path)
    assert result.code == 2
    assert result.err == "error: job.yaml is named twice; name each job once\n"
