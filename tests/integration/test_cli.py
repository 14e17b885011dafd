"""The command line: help, messages, exit codes, what goes to stdout and what to stderr."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from asyncreport.cli import cli, main
from asyncreport.commands.demo import demo_file
from asyncreport.emulator import World
from tests.blocks import texts
from tests.emulator_process import Handle, emulator_process
from tests.exporting import call, connection, environ, run_here, start, write_job
from tests.masking import masked

ROOT = Path(__file__).parent.parent.parent
RANGE = {"start": "2024-01-01", "end": "2024-02-10", "granularity": "PT1H"}
USERS = [person.id for person in World(agents=6, seed=5).people]
#: the commands that end by themselves and ask nothing
ENDING = [
    "run",
    "plan",
    "check",
    "verify",
    "status",
    "clean",
    "query",
    "schema",
    "demo",
    "list",
]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=6, seed=5, requests_per_minute=0) as handle:
        yield handle


@pytest.fixture
def script(emulator: Handle) -> Iterator[Handle]:
    yield emulator
    emulator.faults([])


def job(folder: Path, emulator: Handle, **sections: Any) -> Path:
    return write_job(
        folder,
        emulator,
        **{"range": RANGE, "teams": [{"name": "sales", "users": USERS}], **sections},
    )


@pytest.mark.parametrize("command", [*ENDING, "emulate", "init"])
def test_each_command_has_a_sentence_and_an_example(tmp_path: Path, command: str) -> None:
    text = call(command, "--help", cwd=tmp_path).out
    overview = call("--help", cwd=tmp_path, COLUMNS="80").out
    sentence = re.search(rf"^  {command}\s+(\w.*)$", overview, re.MULTILINE)
    assert sentence is not None
    assert sentence[1] in " ".join(text.split())  # whole, on a terminal of 80 columns too
    assert f"Example: asyncreport {command}" in " ".join(text.split())


def test_the_examples_of_the_help_run_as_shown(tmp_path: Path) -> None:
    """In a checkout."""
    for command in ENDING:
        # `--help` ends with it, as the test above shows.
        example = str(cli.commands[command].epilog).partition("Example: asyncreport ")[2]
        arguments = example.replace("configs/", f"{ROOT}/configs/").partition(" > ")[0].split()
        assert call(*arguments, cwd=tmp_path).code == 0, example


def test_the_version_is_shown(tmp_path: Path) -> None:
    assert re.fullmatch(
        r"asyncreport, version \d+\.\d+\.\d+\n", call("--version", cwd=tmp_path).out
    )


def test_a_run_writes_its_summary_to_stderr_and_nothing_to_stdout(
    emulator: Handle, tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    result = call("run", str(job(tmp_path, emulator)), cwd=tmp_path)
    assert (result.code, result.out) == (0, "")
    assert masked(result.err, folder=tmp_path) == snapshot
    summary = json.loads((tmp_path / ".asyncreport" / "job" / "summary.json").read_text())
    assert summary["complete"]
    assert summary["records"]["sales"] == len((tmp_path / "out.jsonl").read_text().splitlines())


def test_a_plan_asks_for_listed_users_that_no_run_has_looked_up(
    emulator: Handle, tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    before = len(emulator.log())
    path = str(job(tmp_path, emulator))
    result = call("plan", path, cwd=tmp_path)
    assert (result.code, result.err) == (0, "")
    assert result.out == snapshot
    asked = [entry["path"] for entry in emulator.log()[before:]]
    assert asked == ["/oauth/token", "/api/v2/users"]
    assert not (tmp_path / ".asyncreport").exists(), "a plan keeps nothing"
    assert call("run", path, cwd=tmp_path).code == 0
    before = len(emulator.log())
    assert call("plan", path, cwd=tmp_path).code == 0
    assert len(emulator.log()) == before


def test_a_plan_of_everyone_asks_how_many_users_exist(
    emulator: Handle, tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    path = job(
        tmp_path, emulator, teams=[{"name": "all", "everyone": True}], split_by=["media_type"]
    )
    result = call("plan", str(path), "--set", "range.chunk=P1D", cwd=tmp_path)
    assert result.out == snapshot


@pytest.mark.parametrize(
    ("contract", "said"),
    [("query-jobs", "  at least 8 requests, "), ("entities", "  at least 2 requests, ")],
)
def test_a_plan_shows_a_minimum_of_requests_if_polls_or_pages_are_unknown(
    emulator: Handle, tmp_path: Path, contract: str, said: str
) -> None:
    assert said in call("plan", str(job(tmp_path, emulator, contract=contract)), cwd=tmp_path).out


def test_a_plan_warns_if_the_number_of_users_is_unknown(script: Handle, tmp_path: Path) -> None:
    script.faults([{"match": {"path": "/api/v2/users"}, "do": {"status": 403}}])
    result = call(
        "plan", str(job(tmp_path, script, teams=[{"name": "all", "everyone": True}])), cwd=tmp_path
    )
    assert result.code == 0
    assert result.out.startswith(
        "warning: default: the directory does not say how many users exist; "
        "chunks are planned as for 1,000 users\n"
    )


def test_after_a_run_the_plan_reuses_its_parts(
    emulator: Handle, tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    path = job(tmp_path, emulator)
    call("run", str(path), cwd=tmp_path)
    assert call("plan", str(path), cwd=tmp_path).out == snapshot(name="the same job")
    teams = f"teams=[{{name: one, users: [{USERS[0]}, newcomer]}}]"
    assert call("plan", str(path), "--set", teams, cwd=tmp_path).out == snapshot(name="a new user")


def test_a_plan_lists_reused_stale_and_missing_intervals(
    emulator: Handle, tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    """Parts of the same users that follow each other are one line; long lists are cut."""
    path = job(tmp_path, emulator)
    for day in range(1, 44, 2):
        start = date(2024, 1, 1) + timedelta(days=day)
        span = (f"range.start={start}", f"range.end={start + timedelta(days=1)}")
        run_here(path, *span)
    run_here(path, "range.start=2024-01-03", "range.end=2024-01-04")
    overrides = ("--set", "range.end=2024-02-20", "--set", "output.settle=P330D")
    assert call("plan", str(path), *overrides, cwd=tmp_path).out == snapshot


def test_a_bad_job_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(
        "name: x\n"
        "range: {start: 2024-01-01, end: 2023-01-01}\n"
        "teams: [{name: a, everyone: true}]\n"
        "output: {path: x.jsonl}\n"
    )
    result = call(
        "run", "job.yaml", cwd=tmp_path, GENESYS_CLIENT_ID="id", GENESYS_CLIENT_SECRET="secret"
    )
    assert (result.code, result.out) == (2, "")
    assert len(result.err.splitlines()) == 1
    assert result.err.startswith("error: job.yaml:2: range.end: ")


def test_missing_credentials_are_named(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(
        "name: x\n"
        "range: {start: 2024-01-01, end: 2024-01-02}\n"
        "teams: [{name: a, everyone: true}]\n"
        "output: {path: x.jsonl}\n"
    )
    result = call("plan", "job.yaml", cwd=tmp_path)
    assert result.code == 2
    assert "GENESYS_CLIENT_ID" in result.err
    (tmp_path / ".env").write_text("GENESYS_CLIENT_ID=id\nGENESYS_CLIENT_SECRET=secret\n")
    assert (
        "GENESYS_CLIENT_ID"
        not in call(
            "plan",
            "job.yaml",
            "--set",
            "limits.max_attempts=1",
            cwd=tmp_path,
            HTTPS_PROXY="http://127.0.0.1:9",
        ).err
    )


@pytest.mark.parametrize(
    "arguments", [(), ("run",), ("fetch", "job.yaml"), ("run", "job.yaml", "--everything")]
)
def test_a_wrong_call_is_a_usage_error(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert call(*arguments, cwd=tmp_path).code == 2


def test_a_wrong_secret_ends_with_3_and_the_next_step(emulator: Handle, tmp_path: Path) -> None:
    path = job(
        tmp_path,
        emulator,
        connections={"default": connection(emulator, client_secret="not-the-one")},
    )
    for command in ("run", "check"):
        result = call(command, str(path), cwd=tmp_path)
        assert result.code == 3
        text = result.err + result.out
        assert (
            "POST /oauth/token: 401 invalid_client; check the client id and the client secret"
            in text
        )
        assert "not-the-one" not in text


def test_a_missing_permission_ends_with_3_and_its_name(tmp_path: Path) -> None:
    with emulator_process(
        agents=6, seed=5, denied=["analytics:conversationAggregate:view"]
    ) as closed:
        path = job(tmp_path, closed)
        run, check = call("run", str(path), cwd=tmp_path), call("check", str(path), cwd=tmp_path)
    for code, text in ((run.code, run.err), (check.code, check.out)):
        assert code == 3
        assert "403 missing.permissions" in text
        assert "analytics:conversationAggregate:view" in text
        assert "Admin > Integrations > OAuth" in text


def test_a_refused_query_ends_with_4(script: Handle, tmp_path: Path) -> None:
    script.faults(
        [
            {
                "match": {"path": "aggregates"},
                "do": {"status": 400, "message": "The interval is invalid"},
            }
        ]
    )
    result = call("run", str(job(tmp_path, script)), cwd=tmp_path)
    assert result.code == 4
    assert re.fullmatch(
        r"error: POST /api/v2/analytics/conversations/aggregates/query: "
        r"400 bad.request: The interval is invalid; .*\n",
        result.err,
    )


def test_an_unreachable_host_ends_with_1_and_is_named(emulator: Handle, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{free.getsockname()[1]}"
    hosts = {"default": connection(emulator, api_url=nowhere, login_url=nowhere)}
    result = call(
        "run",
        str(job(tmp_path, emulator, connections=hosts, limits={"max_attempts": 1})),
        cwd=tmp_path,
    )
    assert result.code == 1
    assert "cannot connect to 127.0.0.1:" in result.err


def test_a_traceback_is_shown_only_with_v(script: Handle, tmp_path: Path) -> None:
    script.faults([{"match": {"path": "aggregates"}, "do": {"status": 400}}])
    path = str(job(tmp_path, script))
    assert "Traceback" not in call("run", path, cwd=tmp_path).err
    assert "Traceback" in call("run", "-v", path, cwd=tmp_path).err


def test_each_retry_is_shown_with_v(script: Handle, tmp_path: Path) -> None:
    script.faults([{"match": {"path": "aggregates", "nth": [1]}, "do": {"status": 503}}])
    result = call("run", "-v", str(job(tmp_path, script)), cwd=tmp_path)
    assert result.code == 0
    assert re.search(
        r"503 service.unavailable.*; attempt 1 of 8 failed, next one in \d\.\d s", result.err
    )


def test_a_check_has_one_line_for_each_test(
    emulator: Handle, tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    result = call("check", str(job(tmp_path, emulator)), cwd=tmp_path)
    assert (result.code, result.err) == (0, "")
    assert masked(result.out, here=tmp_path) == snapshot


def test_a_check_warns_about_divisions_that_the_client_does_not_see(tmp_path: Path) -> None:
    with emulator_process(agents=2, seed=5, divisions=["Home"], requests_per_minute=0) as partial:
        result = call(
            "check",
            str(job(tmp_path, partial, teams=[{"name": "all", "everyone": True}])),
            cwd=tmp_path,
        )
    assert result.code == 0
    (warning,) = (line for line in result.out.splitlines() if line.startswith("WARN"))
    assert warning == (
        "WARN  the client does not see the divisions Nordics & Baltics: "
        "their interactions are missing from the results, without an error; "
        "grant its roles in all divisions: Admin > Integrations > OAuth > the client > Roles"
    )


@pytest.mark.parametrize("status", [403, 404])
def test_a_check_warns_if_the_server_does_not_report_the_divisions(
    script: Handle, tmp_path: Path, status: int
) -> None:
    script.faults([{"match": {"path": "divisionspermitted"}, "do": {"status": status}}])
    result = call("check", str(job(tmp_path, script)), cwd=tmp_path)
    assert result.code == 0
    assert (
        "WARN  the server does not report which divisions the client sees; "
        "grant its roles in all divisions" in result.out
    )


@pytest.mark.parametrize("contract", ["query-jobs", "entities"])
def test_a_check_uses_the_contract_of_the_job(tmp_path: Path, contract: str) -> None:
    with emulator_process(agents=2, seed=5, requests_per_minute=0, job_polls=0) as emulator:
        result = call("check", str(job(tmp_path, emulator, contract=contract)), cwd=tmp_path)
        assert emulator.jobs() == []
    assert result.code == 0, result.out


def test_a_check_of_a_job_with_occupancy_tries_its_permission(tmp_path: Path) -> None:
    with emulator_process(agents=2, seed=5, denied=["analytics:userAggregate:view"]) as closed:
        result = call("check", str(job(tmp_path, closed, occupancy=True)), cwd=tmp_path)
    assert result.code == 3
    (line,) = [line for line in result.out.splitlines() if line.startswith("FAIL")]
    assert line.startswith("FAIL  routing statuses, for occupancy, cannot be fetched: missing ")
    assert "grant analytics:userAggregate:view" in line


def test_a_check_warns_about_a_limit_below_the_configured_one(tmp_path: Path) -> None:
    with emulator_process(agents=2, seed=5, requests_per_minute=120) as slow:
        lines = call("check", str(job(tmp_path, slow)), cwd=tmp_path).out.splitlines()
    assert lines[1] == (
        "WARN  the server allows 120 requests per minute, but the job sends up to 30,000; "
        "set requests_per_minute: 120"
    )


def test_a_command_ends_with_141_if_the_reader_closes_the_pipe(
    emulator: Handle, tmp_path: Path
) -> None:
    path = str(job(tmp_path, emulator))
    assert call("run", path, cwd=tmp_path).code == 0
    for arguments in (
        ("plan", path),
        ("check", path),
        ("verify", path),
        ("status", path),
        ("query", "--emulator", "--start", "2024-01-01", "--end", "2024-01-03"),
        ("schema",),
        ("emulate",),
        ("--help",),
        ("--version",),
        ("run", "--help"),
    ):
        with start(*arguments, cwd=tmp_path) as process:
            assert process.stdout is not None
            process.stdout.close()
            assert process.wait(timeout=60) == 141, arguments
            assert process.stderr is not None
            assert process.stderr.read() == "", arguments


def test_verify_ends_cleanly_if_the_reader_closes_the_pipe_after_some_lines(
    emulator: Handle, tmp_path: Path
) -> None:
    path = job(tmp_path, emulator)
    assert call("run", str(path), cwd=tmp_path).code == 0
    # The lines after the first wait for the server, so that the pipe is closed by then.
    wait = {"status": 429, "retry_after": 1}
    emulator.faults([{"match": {"path": "aggregates", "nth": [1]}, "do": wait}])
    try:
        with start("verify", str(path), cwd=tmp_path) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("OK")
            process.stdout.close()
            assert process.wait(timeout=60) == 141
            assert process.stderr is not None
            assert process.stderr.read() == ""
    finally:
        emulator.faults([])


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command line of the shell; `$ASYNCREPORT` is the program."""
    return subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env=environ(ASYNCREPORT=f"{sys.executable} -m asyncreport"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_an_export_is_complete_if_its_messages_cannot_be_written(
    emulator: Handle, tmp_path: Path
) -> None:
    """A full disk behind stderr, a reader of stderr that is gone, no stderr at all."""
    for number, end in enumerate(("2>/dev/full", "2>&1 | true", "2>&-")):
        folder = tmp_path / str(number)
        folder.mkdir()
        path = job(folder, emulator)
        done = shell(f"$ASYNCREPORT run -v {path} {end}", folder)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), end
        assert (folder / "out.jsonl").stat().st_size > 0, end


def test_an_export_is_complete_if_its_terminal_is_gone(emulator: Handle, tmp_path: Path) -> None:
    path = job(tmp_path, emulator)
    main, terminal = os.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "asyncreport", "run", "-v", str(path)],
            cwd=tmp_path,
            env=environ(TERM="xterm"),
            stderr=terminal,
        )
    finally:
        os.close(terminal)
        os.close(main)
    assert process.wait(timeout=60) == 0
    assert (tmp_path / "out.jsonl").stat().st_size > 0


def test_a_usage_error_keeps_its_exit_code_without_stderr(tmp_path: Path) -> None:
    assert shell("$ASYNCREPORT fetch 2>/dev/full", tmp_path).returncode == 2
    assert shell("$ASYNCREPORT run no.yaml 2>/dev/full", tmp_path).returncode == 2


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (
            IndexError("list index out of range"),
            70,
            "error: internal error, IndexError: list index out of range; this is a bug in "
            "asyncreport: please report it with the output of the same command with -v; "
            "finished work is kept",
        ),
        (asyncio.CancelledError(), 70, "error: internal error, CancelledError: ; this is"),
        (MemoryError(), 5, "error: not enough memory, or too many threads; "),
        (RuntimeError("can't start new thread"), 5, "error: not enough memory, or too many thr"),
        (OSError(24, "Too many open files"), 5, "error: operating system: Too many open files; "),
    ],
)
@pytest.mark.parametrize("verbose", [False, True])
def test_an_unexpected_error_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    message: str,
    verbose: bool,
) -> None:
    """Its traceback is shown with -v only."""

    async def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("asyncreport.commands.verify.verify_job", fail)
    monkeypatch.setattr(logging.getLogger("asyncreport"), "level", logging.NOTSET)
    options = ["-v"] if verbose else []
    job_file = tmp_path / "job.yaml"
    job_file.write_text(
        "name: x\n"
        "connections: {default: {emulator: true}}\n"
        "range: {start: 2024-01-01, end: 2024-01-02}\n"
        "teams: [{name: a, everyone: true}]\n"
        "output: {path: x.jsonl}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["asyncreport", "verify", *options, str(job_file)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == code
    *before, last = capsys.readouterr().err.splitlines()
    assert last.startswith(message)
    assert (before != []) is verbose
    assert ("Traceback (most recent call last):" in before) is verbose


def test_a_closed_standard_output_is_an_error_of_one_line(tmp_path: Path) -> None:
    command = (
        f"{sys.executable} -m asyncreport query --emulator --start 2024-01-01 --end 2024-01-02 >&-"
    )
    done = subprocess.run(
        ["sh", "-c", command],
        cwd=tmp_path,
        env=environ(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 5
    assert done.stderr == (
        "error: standard output is closed; send the records to a terminal, a pipe or a file\n"
    )


def test_an_emulator_prints_its_address_and_serves_until_it_is_stopped(tmp_path: Path) -> None:
    with start("emulate", "--agents", "3", cwd=tmp_path) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert set(told) == {"url", "client_id", "client_secret"}
        job(tmp_path, Handle(**told), teams=[{"name": "all", "everyone": True}])
        assert call("run", "job.yaml", cwd=tmp_path).code == 0
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "")
    assert "press Ctrl-C to stop it" in err


def test_the_connection_and_teams_that_an_emulator_prints_make_a_job_that_runs(
    tmp_path: Path,
) -> None:
    with start("emulate", "--agents", "12", cwd=tmp_path) as process:
        assert process.stderr is not None
        lines = [process.stderr.readline()]
        while not lines[-1].startswith("  - {name: "):
            lines.append(process.stderr.readline())
        block = "".join(lines).partition("\n\n")[2]
        job = "range: {start: 2024-01-01, end: 2024-01-02}\noutput: {path: out.jsonl}\n"
        (tmp_path / "job.yaml").write_text(f"name: printed\n{job}{block}")
        result = call("run", "job.yaml", cwd=tmp_path)
        assert (result.code, bool((tmp_path / "out.jsonl").read_text())) == (0, True), result.err
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


def test_an_emulator_denies_permissions_and_follows_rules_of_faults(tmp_path: Path) -> None:
    rule = {"match": {"path": "aggregates", "nth": [1]}, "do": {"status": 503}}
    denied = ("--deny", "routing:queue:view")
    faults = ("--fault", json.dumps(rule))
    with start("emulate", "--agents", "3", *denied, *faults, cwd=tmp_path) as process:
        assert process.stdout is not None
        handle = Handle(**json.loads(process.stdout.readline()))
        job(tmp_path, handle, teams=[{"name": "q", "queue": "Sales"}])
        refused = call("run", "job.yaml", cwd=tmp_path)
        assert "routing:queue:view" in refused.err
        assert refused.code != 0
        job(tmp_path, handle, teams=[{"name": "all", "everyone": True}])
        assert call("run", "job.yaml", cwd=tmp_path).code == 0
        statuses = [entry["status"] for entry in handle.log() if "aggregates" in entry["path"]]
        assert statuses[0] == 503
        assert statuses[-1] == 200
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--deny", "routing:queue:veiw"), "error: --deny: no request needs the permission "),
        (("--fault", "{"), "error: --fault: "),
        (("--fault", '{"do": {"stauts": 503}}'), "error: --fault: the script of faults is not "),
    ],
)
def test_an_emulator_refuses_unknown_permissions_and_rules(
    tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    result = call("emulate", *options, cwd=tmp_path)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(message)


def test_a_port_in_use_is_an_error(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = call("emulate", "--port", str(port), cwd=tmp_path)
    assert result.code == 2
    assert result.err.startswith(f"error: --port: cannot serve port {port} of 127.0.0.1: ")


#: a `sitecustomize` that reports the modules of a process at its end
REPORT_MODULES = """
import atexit, pathlib, sys
atexit.register(lambda: pathlib.Path("modules.txt").write_text("\\n".join(sys.modules)))
"""


def modules_of(*arguments: str, cwd: Path) -> set[str]:
    """Run a command; give the modules that it imported."""
    (cwd / "sitecustomize.py").write_text(REPORT_MODULES)
    result = call(*arguments, cwd=cwd, PYTHONPATH=f"{cwd}:{ROOT}")
    assert result.code == 0, result.err
    return set((cwd / "modules.txt").read_text().splitlines())


def test_a_command_loads_the_emulator_only_if_it_needs_it(emulator: Handle, tmp_path: Path) -> None:
    path = str(job(tmp_path, emulator))
    for command in ("run", "plan", "check", "verify", "status"):
        modules = modules_of(command, path, cwd=tmp_path)
        assert not {"asyncreport.emulator", "aiohttp.web"} & modules, command
    assert "asyncreport.emulator" not in modules_of("schema", cwd=tmp_path)


def test_help_loads_no_command(tmp_path: Path) -> None:
    modules = modules_of("--help", cwd=tmp_path)
    assert not {"aiohttp", "msgspec", "rich", "ruamel.yaml"} & modules
    packages = {name.split(".")[1] for name in modules if name.startswith("asyncreport.")}
    assert packages == {"cli", "commands", "core", "terminal"}
    commands = {name for name in modules if name.startswith("asyncreport.commands.")}
    assert commands == {"asyncreport.commands.shared_options"}


def test_the_schema_is_json(tmp_path: Path) -> None:
    schema = json.loads(call("schema", cwd=tmp_path).out)
    assert schema["$schema"].startswith("https://json-schema.org/draft/2020-12")


def test_the_demo_runs_and_then_has_nothing_to_do(tmp_path: Path) -> None:
    first = call("run", str(ROOT / "configs" / "demo.yaml"), cwd=tmp_path)
    second = call("run", str(ROOT / "configs" / "demo.yaml"), cwd=tmp_path)
    assert (first.code, second.code) == (0, 0)
    assert second.err.startswith("demo: nothing to do, 6 parts reused\n")
    lines = (tmp_path / "exports" / "demo.jsonl").read_text().splitlines()
    assert {json.loads(line)["team"] for line in lines} == {"billing", "sales", "support"}
    # README.md shows the first records, and what the run printed.
    (records,) = texts("README.md", "json")
    assert records.replace("\n ", "").splitlines() == lines[:3]
    (printed,) = texts("README.md", "", "Try it")
    expected = masked(printed, folder="/home/you/asyncreport").splitlines()
    # On a busy machine, lines about the progress come before.
    assert masked(first.err, folder=tmp_path).splitlines()[-len(expected) :] == expected


def test_the_demo_command_writes_the_bytes_of_the_shipped_job_and_says_what_is_next(
    tmp_path: Path,
) -> None:
    first = call("demo", cwd=tmp_path)
    second = call("demo", cwd=tmp_path)
    assert (first.code, second.code) == (0, 0)
    digest = hashlib.sha256((tmp_path / "exports" / "demo.jsonl").read_bytes()).hexdigest()
    assert digest.startswith("fe5d4a82f0d91a45")
    assert str(tmp_path / "exports" / "demo.jsonl") in first.err
    assert "asyncreport query --emulator" in first.err
    assert "demo: nothing to do, 6 parts reused" in second.err.splitlines()


def test_a_wheel_ships_the_one_demo_job() -> None:
    included = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wheel = included["tool"]["hatch"]["build"]["targets"]["wheel"]
    (source,) = wheel["force-include"]
    with demo_file() as path:
        assert path.samefile(ROOT / source)
    assert wheel["force-include"][source] == "asyncreport/commands/demo.yaml"
