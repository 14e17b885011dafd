"""Files of every format, from the command line: contents, changes, kills and full disks."""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncreport.export.run import clock
from tests.emulator_process import Handle, emulator_process
from tests.exporting import call, connection, rows, run_here, write_job

RANGE = {"start": "2024-01-30", "end": "2024-02-03", "granularity": "PT30M"}

#: seeds of the kill test
KILLS = 12

LIGHT = ("csv", "csv.gz", "jsonl.gz")
ALL = (*LIGHT, "csv.zst", "jsonl.zst", "parquet", "xlsx")


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=6, seed=3, requests_per_minute=0, tokens_per_minute=0) as handle:
        yield handle


def job(folder: Path, emulator: Handle, *formats: str, **sections: Any) -> Path:
    """Write a job with a file of each format, and one of each for a month and for a team."""
    folder.mkdir(exist_ok=True)
    out = folder / "out"
    return write_job(
        folder,
        emulator,
        range=RANGE,
        limits={"concurrency": 1},
        **{
            "split_by": ["queue_id"],
            "output": {
                "path": [str(out / f"all.{each}") for each in formats],
                "per_team": str(out / "{team}-{month}.csv"),
                "rollups": [{"by": ["user"], "every": "P1D", "path": str(out / "days.csv")}],
            },
            **sections,
        },
    )


def files(folder: Path) -> dict[str, bytes]:
    out = folder / "out"
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file() and ".asyncreport" not in path.parts
    }


def as_csv(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def text(value: object) -> str:
    return "" if value is None else str(value)


def test_two_organisations_in_csv_have_the_records_of_the_json_lines(
    emulator: Handle, tmp_path: Path
) -> None:
    with emulator_process(agents=3, seed=9, requests_per_minute=0) as second:
        path = job(
            tmp_path,
            emulator,
            "jsonl",
            "csv",
            connections={"one": connection(emulator), "two": connection(second)},
            teams=[
                {"name": "first, team", "connection": "one", "everyone": True},
                {"name": "zweites Team", "connection": "two", "everyone": True},
            ],
        )
        run_here(path)
        assert call("verify", str(path), cwd=tmp_path).code == 0
    found = files(tmp_path)
    expected = [
        {name: text(value) for name, value in row.items()}
        for row in rows(tmp_path / "out/all.jsonl")
    ]
    assert as_csv(found["all.csv"]) == expected
    assert {row["team"] for row in expected} == {"first, team", "zweites Team"}


def test_nothing_is_written_twice_and_the_summary_lists_the_months(
    emulator: Handle, tmp_path: Path
) -> None:
    path = job(tmp_path, emulator, "jsonl", *LIGHT)
    first = run_here(path)
    assert {Path(each.path).name: each.months_written for each in first.outputs} == {
        **{f"all.{each}": ["2024-01", "2024-02"] for each in ("jsonl", *LIGHT)},
        "all-2024-01.csv": ["2024-01"],
        "all-2024-02.csv": ["2024-02"],
        "days.csv": ["2024-01", "2024-02"],
    }
    before = {each: (tmp_path / "out" / each).stat().st_mtime_ns for each in files(tmp_path)}
    again = run_here(path)
    assert again.outputs_written == 0
    assert not any(each.months_written for each in again.outputs)
    assert {each: (tmp_path / "out" / each).stat().st_mtime_ns for each in before} == before


def test_only_the_month_that_grew_is_listed(emulator: Handle, tmp_path: Path) -> None:
    path = job(tmp_path, emulator, "jsonl", "csv")
    run_here(path, "range.end=2024-02-02")
    grown = run_here(path)
    assert {Path(each.path).name: each.months_written for each in grown.outputs} == {
        "all.jsonl": ["2024-02"],
        "all.csv": ["2024-02"],
        "all-2024-01.csv": [],
        "all-2024-02.csv": ["2024-02"],
        "days.csv": ["2024-02"],
    }


def test_another_style_changes_only_the_csv_files(emulator: Handle, tmp_path: Path) -> None:
    path = job(tmp_path, emulator, "jsonl", "csv", "jsonl.gz")
    run_here(path)
    before = files(tmp_path)
    again = run_here(path, 'output.csv={delimiter: ";"}')
    assert again.outputs_written == 4
    after = files(tmp_path)
    assert {name for name in after if after[name] != before[name]} == {
        "all.csv",
        "all-2024-01.csv",
        "all-2024-02.csv",
        "days.csv",
    }


def test_a_file_without_json_lines_beside_it_is_the_same(emulator: Handle, tmp_path: Path) -> None:
    path = job(tmp_path, emulator, "jsonl", "csv")
    run_here(path)
    expected = files(tmp_path)["all.csv"]
    run_here(path, f"output.path={tmp_path}/out/alone.csv")
    found = files(tmp_path)
    assert found["alone.csv"] == expected
    assert not [*(tmp_path / "out" / ".asyncreport" / "job").glob(".asyncreport-*")]


def test_a_changed_file_is_found_by_verify_and_written_again(
    emulator: Handle, tmp_path: Path
) -> None:
    path = job(tmp_path, emulator, "csv")
    run_here(path)
    good = files(tmp_path)
    target = tmp_path / "out" / "all.csv"
    target.write_bytes(good["all.csv"][:-9])
    ended = call("verify", str(path), cwd=tmp_path)
    assert ended.code != 0
    assert "all.csv: changed since it was written" in ended.out
    target.unlink()
    run_here(path)
    assert files(tmp_path) == good


def test_columns_are_chosen_ordered_and_named(emulator: Handle, tmp_path: Path) -> None:
    columns: list[object] = [
        "interval_start_local",
        {"user_name": "agent"},
        "date",
        "weekday",
        "job",
        "connection",
        {"handled_count": "handled"},
        "queue_name",
    ]
    path = job(tmp_path, emulator, "jsonl")
    zone = "range.time_zone=America/New_York"
    run_here(path, zone, f"output.path={tmp_path}/out/full.jsonl")
    run_here(path, zone, f"output.columns={json.dumps(columns)}")
    full = rows(tmp_path / "out" / "full.jsonl")
    chosen = rows(tmp_path / "out" / "all.jsonl")
    assert list(chosen[0]) == [
        "interval_start_local",
        "agent",
        "date",
        "weekday",
        "job",
        "connection",
        "handled",
        "queue_name",
    ]
    assert len(chosen) == len(full)
    for row, whole in zip(chosen, full, strict=True):
        assert row["agent"] == whole["user_name"]
        assert row["handled"] == whole["handled_count"]
        assert row["queue_name"] == whole["queue_name"]
        assert row["job"] == "job"
        assert row["connection"] == "default"
    at = next(
        n for n, row in enumerate(full) if row["interval_start"] == "2024-01-31T14:00:00.000Z"
    )
    assert chosen[at]["interval_start_local"] == "2024-01-31T09:00:00.000-05:00"
    assert (chosen[at]["date"], chosen[at]["weekday"]) == ("2024-01-31", 3)


NAMES = {
    "wrap_up_code": "wrap_up_name",
    "division_id": "division_name",
    "active_skill_id": "skill_name",
    "requested_language_id": "language_name",
}


def named(folder: Path, emulator: Handle) -> Path:
    """Write a job with names for all ids."""
    output = {"path": str(folder / "out.jsonl"), "columns": [*NAMES, *NAMES.values()]}
    return job(folder, emulator, split_by=[*NAMES], output=output)


def test_ids_have_names_which_are_looked_up_once(emulator: Handle, tmp_path: Path) -> None:
    path = named(tmp_path, emulator)
    run_here(path)
    found = rows(tmp_path / "out.jsonl")
    for each, name in NAMES.items():
        assert all((row[each] is None) == (row[name] is None) for row in found), name
    assert {row["language_name"] for row in found} >= {"English", "Français"}
    assert {row["wrap_up_name"] for row in found} >= {"Resolved", 'Sold, "as is"'}
    seen = len(emulator.log())
    (tmp_path / "out.jsonl").unlink()
    run_here(path)
    assert not [each for each in emulator.log()[seen:] if "routing" in each["path"]]


def test_a_missing_permission_costs_only_the_names(tmp_path: Path) -> None:
    with emulator_process(
        agents=6, seed=3, requests_per_minute=0, denied=["routing:wrapupCode:view"]
    ) as emulator:
        summary = run_here(named(tmp_path, emulator))
    assert summary.complete
    assert any("could not look up 4 names" in warning for warning in summary.warnings)
    found = rows(tmp_path / "out.jsonl")
    assert {row["wrap_up_name"] for row in found} == {None}
    assert len({row["division_name"] for row in found} - {None}) == 2


def begun(folder: Path, calm: Path, emulator: Handle) -> Path:
    """Write a job whose parts are there, and no output file."""
    path = job(folder, emulator, "jsonl.gz", *(each for each in ALL if each != "jsonl.gz"))
    shutil.copytree(calm / "out" / ".asyncreport", folder / "out" / ".asyncreport")
    (folder / "out" / ".asyncreport" / "job" / "outputs.json").unlink()
    return path


@pytest.fixture(scope="module")
def calm(emulator: Handle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run a job of all formats undisturbed."""
    folder = tmp_path_factory.mktemp("calm")
    run_here(job(folder, emulator, "jsonl.gz", *(each for each in ALL if each != "jsonl.gz")))
    return folder


@pytest.mark.extra
def test_a_run_killed_while_it_writes_any_format_is_finished_by_the_next(
    emulator: Handle, calm: Path, tmp_path: Path
) -> None:
    """The bytes are those of an undisturbed run, and nothing is left beside them."""
    expected = files(calm)
    path = begun(tmp_path / "traced", calm, emulator)
    trace = tmp_path / "trace"
    ended = call(
        json.dumps({"trace": str(trace)}), "run", str(path), module="tests.cut", cwd=path.parent
    )
    assert ended.code == 0, ended.err
    moments = json.loads(trace.read_text())
    first = next(n for n, (what, _) in enumerate(moments, 1) if what == "open" and n > 5)
    rng = random.Random(1)
    for at in sorted(rng.sample(range(first, len(moments) + 1), KILLS)):
        folder = tmp_path / str(at)
        path = begun(folder, calm, emulator)
        spec = json.dumps({"at": at, "action": "kill"})
        ended = call(spec, "run", str(path), module="tests.cut", cwd=folder)
        assert ended.code == -signal.SIGKILL, moments[at - 1]
        assert run_here(path, now=clock()).complete
        assert files(folder) == expected, moments[at - 1]
        assert not [*(folder / "out").rglob(".asyncreport-*")], moments[at - 1]


@pytest.mark.extra
@pytest.mark.parametrize("suffix", ALL)
def test_a_disk_that_fills_keeps_the_old_file_and_says_so(
    emulator: Handle, tmp_path: Path, suffix: str
) -> None:
    folder = tmp_path
    path = job(folder, emulator, suffix, split_by=[])
    run_here(path, "range.end=2024-01-31")
    old = files(folder)
    largest = len(old[f"all.{suffix}"]) // 2
    run = json.dumps({"file_size": largest})
    (folder / "out" / f"all.{suffix}").write_bytes(b"old")
    ended = call(
        run, "run", str(path), "--set", "range.end=2024-01-31", module="tests.cut", cwd=folder
    )
    assert ended.code == 5, ended.err
    assert "could not be written: File too large" in ended.err
    assert "Traceback" not in ended.err
    assert (folder / "out" / f"all.{suffix}").read_bytes() == b"old"
    assert not [*(folder / "out").glob(".asyncreport-*")]
    run_here(path, "range.end=2024-01-31")
    assert files(folder) == old


@pytest.mark.extra
def test_a_sheet_that_is_too_small_is_refused_before_anything_is_written(
    emulator: Handle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import msgspec

    from asyncreport import formats
    from asyncreport.core.errors import ConfigError

    small = msgspec.structs.replace(formats.FORMATS[".xlsx"], most_records=10)
    monkeypatch.setitem(formats.FORMATS, ".xlsx", small)
    path = job(tmp_path, emulator, "csv", "xlsx")
    with pytest.raises(ConfigError, match=r"a sheet of Excel has room for 10; put \{month\}"):
        run_here(path)
    assert files(tmp_path) == {}


@pytest.mark.extra
def test_a_sheet_that_existing_records_fill_is_refused_before_more_are_fetched(
    emulator: Handle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import msgspec

    from asyncreport import formats
    from asyncreport.core.errors import ConfigError

    path = job(tmp_path, emulator, "csv")
    run_here(path, "range.end=2024-02-01")
    old = files(tmp_path)
    small = msgspec.structs.replace(formats.FORMATS[".xlsx"], most_records=10)
    monkeypatch.setitem(formats.FORMATS, ".xlsx", small)
    with pytest.raises(ConfigError, match="a sheet of Excel has room for 10"):
        run_here(job(tmp_path, emulator, "csv", "xlsx"))
    assert files(tmp_path) == old
    # Nothing was fetched: the whole range has work left.
    assert run_here(path, "output.path=" + str(tmp_path / "out/all.csv")).chunks_fetched > 0


def test_a_library_that_is_missing_is_named_with_the_way_to_install_it(
    emulator: Handle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from asyncreport import formats
    from asyncreport.core.errors import ConfigError

    monkeypatch.setattr(formats.Library, "is_installed", False)
    path = job(tmp_path, emulator, "csv", "xlsx")
    with pytest.raises(ConfigError, match=r"pip install 'asyncreport\[xlsx\]'"):
        run_here(path)
