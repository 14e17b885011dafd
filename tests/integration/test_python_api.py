"""The Python API against the emulator: the same work as the commands, typed, and quiet."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import re
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

import asyncreport
from asyncreport.emulator import World
from tests.emulator_process import Handle, emulator_process
from tests.exporting import FAIL_SOON, call, connection, environ, rows

QUERY = "aggregates/query"
RANGE = {"start": "2024-01-30", "end": "2024-02-03", "granularity": "PT30M", "chunk": "P1D"}
CHUNKS = 4
USERS = [person.id for person in World(agents=12, seed=3).people]


def written(job: dict[str, Any]) -> Path:
    path = Path("job.yaml")
    path.write_text(json.dumps(job))
    return path


#: how a program may name a job, made from the mapping
FORMS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "path": written,
    "str": lambda job: str(written(job)),
    "dict": lambda job: job,
}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=12, seed=3, requests_per_minute=0, tokens_per_minute=0) as handle:
        yield handle


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Start each test in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def job(emulator: Handle, **sections: Any) -> dict[str, Any]:
    return {
        "name": "job",
        "connections": {"default": connection(emulator)},
        "range": RANGE,
        "output": {"path": "out.jsonl"},
        "teams": [{"name": "all", "everyone": True}],
        **sections,
    }


@pytest.fixture(scope="module")
def expected(emulator: Handle, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Give the bytes that the command line writes."""
    folder = tmp_path_factory.mktemp("command")
    (folder / "job.yaml").write_text(json.dumps(job(emulator)))
    done = call("run", "job.yaml", cwd=folder)
    assert done.code == 0, done.err
    return (folder / "out.jsonl").read_bytes()


@pytest.mark.parametrize("form", FORMS)
def test_each_form_of_a_job_does_the_work_of_the_commands(
    emulator: Handle, expected: bytes, form: str
) -> None:
    given = FORMS[form](job(emulator))
    plan = asyncreport.plan(given)
    assert (plan.exit_code, len(plan.connections[0].chunks)) == (0, CHUNKS)
    assert not asyncreport.status(given).fetched
    assert asyncreport.verify(given).failed

    check = asyncreport.check(given)
    assert (check.exit_code, check.failed) == (0, False)
    assert {finding.level for finding in check.findings} <= {"OK", "WARN"}

    summary = asyncreport.run(given)
    assert (summary.complete, summary.chunks_fetched, summary.exit_code) == (True, CHUNKS, 0)
    assert Path("out.jsonl").read_bytes() == expected

    status = asyncreport.status(given)
    assert status.complete
    assert [file.state for file in status.files] == ["current"]
    assert sum(file.records or 0 for file in status.files) == sum(summary.records.values())
    assert not asyncreport.verify(given).failed
    assert asyncreport.run(given).chunks_fetched == 0
    assert asyncreport.plan(given).connections[0].parts_reused == CHUNKS


def test_the_results_are_what_the_commands_print(emulator: Handle, folder: Path) -> None:
    given = written(job(emulator))
    asyncreport.run(given)
    for name, findings in (
        ("check", asyncreport.check(given)),
        ("verify", asyncreport.verify(given)),
    ):
        printed = call(name, str(given), cwd=folder).out.splitlines()
        lines = "\n".join(map(str, findings.findings)).splitlines()
        assert list(map(comparable, printed)) == list(map(comparable, lines))


def comparable(line: str) -> str:
    """Leave out the free space of a disk, and how much of an instant is written."""
    return re.sub(r"[\d,.]+ GB.*", "", line).replace(":00.000Z", "Z")


def test_options_of_a_run(emulator: Handle) -> None:
    given = job(emulator)
    asyncreport.run(given)
    again = asyncreport.run(given, refresh="2024-01-30/2024-01-31")
    assert again.chunks_fetched == 1
    overrides = {"name": "other", "output": {"path": "o.jsonl"}, "range.end": date(2024, 2, 2)}
    shorter = asyncreport.run(given, overrides=overrides)
    assert (shorter.job, shorter.chunks_fetched) == ("other", CHUNKS - 1)
    given["teams"].append({"name": "gone", "group": "No such group"})
    assert asyncreport.run(given).unknown_teams[0].team == "gone"
    with pytest.raises(asyncreport.UnknownTeamError, match="No such group"):
        asyncreport.run(given, strict=True)


def test_variables_come_from_the_environment_then_from_env(
    emulator: Handle, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the command line reads them."""
    (folder / ".env").write_text("JOB_NAME=from-file\nJOB_SECRET=wrong\n")
    monkeypatch.setenv("JOB_SECRET", emulator.client_secret)
    given = job(emulator, name="${JOB_NAME}")
    given["connections"]["default"]["client_secret"] = "${JOB_SECRET}"
    assert asyncreport.run(given).job == "from-file"
    monkeypatch.delenv("JOB_SECRET")
    assert asyncreport.check(given).exit_code == asyncreport.AuthError.exit_code
    with pytest.raises(asyncreport.AuthError):
        asyncreport.run(given, refresh="2024-01-30/2024-01-31")


def test_mistakes_are_errors_with_the_text_of_the_command_line(
    emulator: Handle, folder: Path
) -> None:
    given = job(emulator, rnage=RANGE)
    with pytest.raises(asyncreport.ConfigError, match="job: rnage: ") as caught:
        asyncreport.run(given)
    path = written(given)
    with pytest.raises(asyncreport.ConfigError) as of_file:
        asyncreport.run(path)
    assert call("run", str(path), cwd=folder).err == f"error: {of_file.value}\n"
    assert caught.value.exit_code == of_file.value.exit_code == 2
    with pytest.raises(asyncreport.ConfigError, match="does not exist"):
        asyncreport.status("no.yaml")


QUIET = """
import asyncio, asyncreport
JOB = "job.yaml"
asyncreport.plan(JOB)
asyncreport.check(JOB)
summary = asyncreport.run(JOB)
assert len(summary.warnings) == 1, summary.warnings
asyncreport.verify(JOB)
asyncreport.status(JOB)
assert list(asyncreport.records(JOB))
asyncio.run(asyncreport.run_async(JOB))
"""


def script(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a script in a process without handlers of a test for its log."""
    return subprocess.run(
        [sys.executable, "-c", text],
        cwd=folder,
        env=environ(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_nothing_is_printed(emulator: Handle, folder: Path) -> None:
    """Neither the warning of a run nor anything else."""
    unknown = "11111111-2222-3333-4444-555555555555"
    written(job(emulator, teams=[{"name": "few", "users": [USERS[0], unknown]}]))
    done = script(QUIET, folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_messages_go_to_the_log(emulator: Handle, caplog: pytest.LogCaptureFixture) -> None:
    unknown = "11111111-2222-3333-4444-555555555555"
    caplog.set_level(logging.INFO, "asyncreport")
    asyncreport.run(job(emulator, teams=[{"name": "few", "users": [USERS[0], unknown]}]))
    ours = [each for each in caplog.records if each.name == "asyncreport"]
    warnings = [each.getMessage() for each in ours if each.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].startswith("default: 1 listed user is unknown to the directory: 11111111-")
    lines = [each.getMessage() for each in ours if each.levelno == logging.INFO]
    assert f"job: {CHUNKS} chunks fetched, 0 parts reused" in lines


def test_progress_goes_to_the_log(
    emulator: Handle, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asyncreport.commands.python_api._PERIOD", 0.0)
    caplog.set_level(logging.INFO, "asyncreport")
    asyncreport.run(job(emulator))
    assert f"/{CHUNKS} chunks, 0 failed, " in caplog.text


@pytest.mark.parametrize("name", ["run", "plan", "check", "verify"])
def test_a_running_event_loop_needs_the_awaited_form(emulator: Handle, name: str) -> None:
    given = job(emulator)

    async def in_notebook() -> object:
        with pytest.raises(RuntimeError, match=f"use `await asyncreport.{name}_async"):
            getattr(asyncreport, name)(given)
        return await getattr(asyncreport, f"{name}_async")(given)

    result = asyncio.run(in_notebook())
    assert type(result) is type(getattr(asyncreport, name)(given))


def test_status_and_records_work_inside_a_running_event_loop(emulator: Handle) -> None:
    given = job(emulator)

    async def in_notebook() -> int:
        await asyncreport.run_async(given)
        assert asyncreport.status(given).complete
        assert (await asyncreport.status_async(given)).complete
        return len(list(asyncreport.records(given)))

    assert asyncio.run(in_notebook()) == len(rows(Path("out.jsonl")))


def test_a_run_with_gaps_is_a_summary_and_no_error(emulator: Handle) -> None:
    given = job(emulator, limits={"max_attempts": 1, **FAIL_SOON})
    fault = {
        "match": {"path": QUERY, "body": "2024-01-31T00:00:00.000Z/"},
        "do": {"status": 503},
    }
    emulator.faults([fault])
    try:
        summary = asyncreport.run(given)
        assert (summary.complete, len(summary.gaps), summary.exit_code) == (False, 1, 1)
        assert not Path("out.jsonl").exists()
        partial = asyncreport.run(given, allow_partial=True)
    finally:
        emulator.faults([])
    assert (partial.complete, partial.partial) == (False, True)
    assert asyncreport.status(given).files[0].partial
    with pytest.raises(asyncreport.StoreError, match="records are missing in it; run the job"):
        asyncreport.records(given)
    assert len(list(asyncreport.records(given, allow_partial=True))) == len(rows(Path("out.jsonl")))
    asyncreport.run(given)
    assert len(list(asyncreport.records(given))) == len(rows(Path("out.jsonl")))


INTERRUPTED = """
import asyncreport
try:
    asyncreport.run("job.yaml")
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_keeps_finished_chunks(emulator: Handle, folder: Path, expected: bytes) -> None:
    given = job(emulator, limits={"concurrency": 1})
    written(given)
    emulator.faults([{"match": {"path": QUERY, "after": 2}, "do": {"hang": True}}])
    before = sum(entry["path"].startswith("/api/") for entry in emulator.log())
    command = [sys.executable, "-c", INTERRUPTED]
    try:
        with subprocess.Popen(
            command, cwd=folder, env=environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            # How many users, the organisation, two queries answered; one hangs.
            emulator.wait(requests=before + 2 + 3)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
    finally:
        emulator.faults([])
    assert (process.returncode, out, err) == (0, b"interrupted\n", b"")
    assert asyncreport.status(given).connections[0].parts == 2
    assert not list(folder.rglob("*.tmp"))
    assert asyncreport.run(given).chunks_fetched == CHUNKS - 2
    assert Path("out.jsonl").read_bytes() == expected


def as_line(record: asyncreport.Record) -> dict[str, Any]:
    """Give a record the form of its line."""
    line: dict[str, Any] = {
        name: getattr(record, name) for name in record.__struct_fields__ if name != "more"
    }
    line.update(record.more)
    return {name: text_of(value) for name, value in line.items()}


def text_of(value: Any) -> Any:
    if isinstance(value, datetime):
        assert value.tzinfo is UTC
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"split_by": ["media_type", "queue_id"]},
        {"occupancy": True, "metrics": ["tAnswered"]},
        {"contract": "entities"},
        {"output": {"path": ["out.csv", "out.jsonl", "{month}.jsonl.gz"]}},
    ],
    ids=["plain", "split", "occupancy", "entities", "several"],
)
def test_records_are_those_of_the_file(emulator: Handle, sections: dict[str, Any]) -> None:
    given = job(emulator, **sections)
    asyncreport.run(given)
    found = [as_line(record) for record in asyncreport.records(given)]
    assert found == rows(Path("out.jsonl"))
    assert found


def test_records_of_files_of_months_come_in_order_of_time(
    emulator: Handle, expected: bytes
) -> None:
    given = job(emulator, output={"path": "{month}.jsonl.gz"})
    asyncreport.run(given)
    names = sorted(path.name for path in Path().glob("*.jsonl.gz"))
    lines = b"".join(gzip.decompress(Path(name).read_bytes()) for name in names)
    assert (names, lines) == (["2024-01.jsonl.gz", "2024-02.jsonl.gz"], expected)
    found = [as_line(record) for record in asyncreport.records(given)]
    assert found == [json.loads(line) for line in lines.splitlines()]


EXCEL = {"delimiter": ";", "decimal": ",", "bom": True}


@pytest.mark.parametrize(
    ("path", "style"),
    [
        ("out.csv", {}),
        ("out.csv", EXCEL),
        ("{month}.csv.gz", EXCEL),
        ("out.csv", {"delimiter": "\t", "escape_formulas": False}),
        *(
            pytest.param(f"out.{each}", EXCEL, marks=pytest.mark.extra)
            for each in ("jsonl.zst", "csv.zst", "parquet")
        ),
    ],
)
def test_records_of_any_format_are_those_of_the_json_lines(
    emulator: Handle, path: str, style: dict[str, Any]
) -> None:
    sections: dict[str, Any] = {"split_by": ["media_type", "queue_id"], "occupancy": False}
    lines = job(emulator, output={"path": "same.jsonl", "columns": CHOSEN}, **sections)
    other = job(
        emulator, name="other", output={"path": path, "csv": style, "columns": CHOSEN}, **sections
    )
    asyncreport.run(lines)
    asyncreport.run(other)
    expected = list(asyncreport.records(lines))
    assert list(asyncreport.records(other)) == expected
    assert len(expected) > 100
    assert any(record.avg_handle_time_sec is None for record in expected)


def test_json_lines_are_preferred_to_csv(emulator: Handle) -> None:
    given = job(emulator, output={"path": ["out.csv.gz", "out.csv", "out.jsonl"]})
    asyncreport.run(given)
    Path("out.csv").unlink()
    assert list(asyncreport.records(given))
    Path("out.jsonl").unlink()
    with pytest.raises(asyncreport.StoreError, match=r"out\.jsonl: was deleted"):
        asyncreport.records(given)


def test_damaged_csv_says_what_to_do(emulator: Handle) -> None:
    given = job(emulator, output={"path": "out.csv"})
    asyncreport.run(given)
    found = asyncreport.records(given)
    next(found)
    with Path("out.csv").open("ab") as file:
        file.write(b"a,b\r\n")
    with pytest.raises(asyncreport.StoreError, match=r"out\.csv: is damaged .* run the job again"):
        list(found)


CHOSEN = [
    "date",
    "interval_start_local",
    "team",
    "user_id",
    {"user_name": "agent"},
    "interval_start",
    {"interval_end": "until"},
    "handled_count",
    "total_talk_time_sec",
    "total_hold_time_sec",
    "total_wrap_up_sec",
    "total_handle_time_sec",
    "avg_handle_time_sec",
]


def test_chosen_columns_have_their_types_under_the_names_of_the_file(emulator: Handle) -> None:
    given = job(
        emulator,
        range={**RANGE, "time_zone": "Europe/Berlin"},
        output={"path": "out.jsonl", "columns": CHOSEN},
    )
    asyncreport.run(given)
    lines = rows(Path("out.jsonl"))
    for record, line in zip(asyncreport.records(given), lines, strict=True):
        assert record.user_name == line["agent"]
        assert record.interval_end == datetime.fromisoformat(line["until"])
        local = record.more["interval_start_local"]
        assert isinstance(local, datetime)
        assert local.isoformat(timespec="milliseconds") == line["interval_start_local"]
        assert local == record.interval_start
        assert record.more["date"] == date.fromisoformat(line["date"]) == local.date()


def test_records_are_read_one_by_one(emulator: Handle) -> None:
    """Memory stays bounded, and what the file has at its end is not read at the beginning."""
    given = job(emulator, range={**RANGE, "start": "2023-11-01"})
    asyncreport.run(given)
    path = Path("out.jsonl")
    sum(1 for _ in asyncreport.records(given))
    tracemalloc.start()
    try:
        count = sum(1 for _ in asyncreport.records(given))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert count == len(rows(path)) > 5000
    assert peak < path.stat().st_size / 4
    found = asyncreport.records(given)
    next(found)
    with path.open("ab") as file:
        file.write(b"{")
    with pytest.raises(asyncreport.StoreError, match=r"out.jsonl: is damaged"):
        list(found)


def edit(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (Path.unlink, "was deleted since it was written; run the job again"),
        (edit, "was changed after the run; run the job again"),
    ],
)
def test_a_file_that_a_run_did_not_leave_is_refused(
    emulator: Handle, harm: Callable[[Path], None], message: str
) -> None:
    given = job(emulator)
    with pytest.raises(asyncreport.StoreError, match="was not written yet; run the job first"):
        asyncreport.records(given)
    asyncreport.run(given)
    harm(Path("out.jsonl"))
    with pytest.raises(asyncreport.StoreError, match=message):
        asyncreport.records(given)
    asyncreport.run(given)
    assert list(asyncreport.records(given))


def test_the_file_of_another_query_or_job_is_refused(emulator: Handle) -> None:
    asyncreport.run(job(emulator))
    with pytest.raises(asyncreport.StoreError, match="is made from other data or for another"):
        asyncreport.records(job(emulator, split_by=["media_type"]))
    with pytest.raises(asyncreport.StoreError, match="was not written yet"):
        asyncreport.records(job(emulator, name="other"))


@pytest.mark.parametrize(
    ("output", "message"),
    [
        pytest.param(
            {"path": "out.xlsx"},
            "output.path: only has out.xlsx, and a workbook is not read back: ",
            marks=pytest.mark.extra,
        ),
        ({"path": "out.jsonl", "columns": ["team"]}, "leaves out user_id, user_name, interval_"),
    ],
)
def test_what_cannot_be_records_is_refused(
    emulator: Handle, output: dict[str, Any], message: str
) -> None:
    given = job(emulator, output=output)
    asyncreport.run(given)
    with pytest.raises(asyncreport.ConfigError, match=message):
        asyncreport.records(given)


FRAME_JOB: dict[str, Any] = {
    "range": {**RANGE, "time_zone": "Europe/Berlin"},
    "split_by": ["queue_id"],
    "output": {
        "path": "{month}.jsonl.gz",
        "columns": [
            "date",
            "weekday",
            "queue_name",
            "user_id",
            "interval_start_local",
            *CHOSEN[5:],
        ],
    },
}


@pytest.mark.extra
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_data_frames_of_any_format_are_those_of_the_json_lines(
    emulator: Handle, suffix: str
) -> None:
    import pandas.testing
    import polars.testing

    output = {**FRAME_JOB["output"], "path": f"out.{suffix}", "csv": EXCEL}
    lines = job(emulator, **FRAME_JOB)
    other = job(emulator, name="other", **{**FRAME_JOB, "output": output})
    asyncreport.run(lines)
    asyncreport.run(other)
    pandas.testing.assert_frame_equal(asyncreport.to_pandas(other), asyncreport.to_pandas(lines))
    polars.testing.assert_frame_equal(asyncreport.to_polars(other), asyncreport.to_polars(lines))


@pytest.mark.extra
@pytest.mark.parametrize("block", [1 << 16, 100])
def test_data_frames_have_the_records(
    emulator: Handle, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr("asyncreport.export.frames._ROWS", block)
    given = job(emulator, **FRAME_JOB)
    asyncreport.run(given)
    lines = []
    for name in ("2024-01", "2024-02"):
        lines += gzip.decompress(Path(f"{name}.jsonl.gz").read_bytes()).splitlines()
    expected = [json.loads(line) for line in lines]
    assert any(line["avg_handle_time_sec"] is None for line in expected)

    polars = asyncreport.to_polars(given)
    assert polars.columns == list(expected[0])
    assert [in_file(row) for row in polars.to_dicts()] == expected

    pandas = asyncreport.to_pandas(given)
    assert list(pandas.columns) == list(expected[0])
    assert {str(kind) for kind in pandas.dtypes} == {
        "datetime64[ms]",
        "datetime64[ms, UTC]",
        "float64",
        "int64",
        "string",
    }
    plain = pandas.assign(date=pandas["date"].dt.date).astype(object)
    dicts = plain.where(pandas.notna(), None).to_dict("records")
    assert [in_file(row) for row in dicts] == expected


def in_file(row: dict[str, Any]) -> dict[str, Any]:
    """Give the values of a row of a frame the form of the file."""
    return {name: value_in_file(value) for name, value in row.items()}


def value_in_file(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return value


@pytest.mark.extra
def test_a_data_frame_without_records_has_the_columns_and_their_types(emulator: Handle) -> None:
    sections = {**FRAME_JOB, "filter": {"media_types": ["cobrowse"]}}
    full, empty = job(emulator, **FRAME_JOB), job(emulator, name="empty", **sections)
    empty["output"] = {**empty["output"], "path": "empty.jsonl"}
    asyncreport.run(full)
    asyncreport.run(empty)
    assert len(asyncreport.to_polars(empty)) == len(asyncreport.to_pandas(empty)) == 0
    assert asyncreport.to_polars(empty).schema == asyncreport.to_polars(full).schema
    assert list(asyncreport.to_pandas(empty).dtypes) == list(asyncreport.to_pandas(full).dtypes)


@pytest.mark.parametrize("name", ["pandas", "polars"])
def test_a_missing_library_is_one_clear_message(
    emulator: Handle, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    given = job(emulator)
    asyncreport.run(given)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError) as caught:
        getattr(asyncreport, f"to_{name}")(given)
    message = str(caught.value)
    assert message.startswith(f"asyncreport.to_{name} needs {name}: /")
    assert message.endswith(f"python -m pip install {name}")


USER = """
import asyncio
from datetime import datetime
from pathlib import Path

import asyncreport
from asyncreport import AsyncReportError, Findings, JobPlan, Record, Status, Summary


def export(job: asyncreport.JobSource) -> list[float]:
    plan: JobPlan = asyncreport.plan(job, overrides={"range.end": "today"})
    status: Status = asyncreport.status(Path("job.yaml"))
    found: Findings = asyncreport.check({"name": "x"})
    texts: list[str] = [finding.text for finding in found.findings]
    try:
        summary: Summary = asyncio.run(asyncreport.run_async(job, allow_partial=True))
    except AsyncReportError as error:
        raise SystemExit(error.exit_code) from error
    print(plan.exit_code, status.complete, texts, summary.complete)
    record: Record
    times: list[float] = []
    for record in asyncreport.records(job):
        start: datetime = record.interval_start
        times.append(record.total_handle_time_sec / record.handled_count + start.hour)
    return times
"""

WRONG = """
import asyncreport

asyncreport.nothing
asyncreport.run(5)
asyncreport.run("job.yaml", no_such_option=True)
total: str = next(asyncreport.records("job.yaml")).handled_count
"""


@pytest.mark.extra
def test_a_program_of_a_user_passes_strict_type_checks(folder: Path) -> None:
    def mypy(text: str) -> subprocess.CompletedProcess[str]:
        (folder / "program.py").write_text(text)
        options = ["--strict", "--no-error-summary", "--cache-dir", str(folder / "cache")]
        return subprocess.run(
            [sys.executable, "-m", "mypy", *options, "program.py"],
            cwd=folder,
            env=environ(MYPYPATH=str(Path(__file__).parents[2]), PYTHONDEVMODE=""),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    good = mypy(USER)
    assert (good.returncode, good.stdout) == (0, "")
    wrong = mypy(WRONG)
    lines = [line for line in wrong.stdout.splitlines() if line.startswith("program.py")]
    assert [line.split(":")[1] for line in lines if ": error: " in line] == ["4", "5", "6", "7"]


def test_importing_the_package_loads_no_library(folder: Path) -> None:
    done = script("import asyncreport, sys; print(*sys.modules)", folder)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "asyncreport" in loaded
    assert not {"aiohttp", "asyncio", "logging", "msgspec", "orjson", "rich", "ruamel"} & loaded
