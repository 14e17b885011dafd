"""Options of all commands: where files are, how much is said, and in which form."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.emulator_process import Handle, emulator_process
from tests.exporting import call, connection, environ, write_job
from tests.integration.test_terminal import on_a_terminal

PAGE = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
#: the installed command, in an environment that is not active
COMMAND = Path(sys.executable).with_name("asyncreport")
RANGE = {"start": "2024-01-15", "end": "2024-01-17"}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=4, seed=3, requests_per_minute=0, tokens_per_minute=0) as handle:
        yield handle


@pytest.fixture
def job(emulator: Handle, tmp_path: Path) -> Path:
    path = write_job(
        tmp_path, emulator, range=RANGE, output={"path": "out/aht.jsonl", "settle": "PT0S"}
    )
    return path.relative_to(tmp_path)


def objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def documented(command: str) -> list[str]:
    """Give the keys that the page names for a command."""
    row = re.search(rf"^\| .*`{command}`.* \| (`job`[^:|]*)", PAGE, re.MULTILINE)
    assert row is not None
    return re.findall(r"`(\w+)`", row[1])


def test_quiet_says_nothing_that_is_not_a_warning(job: Path, tmp_path: Path) -> None:
    done = call("run", "-q", str(job), cwd=tmp_path)
    assert (done.code, done.out, done.err) == (0, "", "")
    refused = call("run", "--quiet", "other.yaml", cwd=tmp_path)
    assert refused.code == 2
    assert refused.err.startswith("error: other.yaml: does not exist")


def test_a_log_collector_gets_one_object_a_line(job: Path, tmp_path: Path) -> None:
    done = call("run", "--log-format", "json", str(job), cwd=tmp_path)
    lines = objects(done.err)
    assert done.code == 0
    assert all(list(line) == ["time", "level", "message"] for line in lines)
    assert {line["level"] for line in lines} == {"info"}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z", line["time"]) for line in lines)
    (error,) = objects(call("run", "x.yaml", "--log-format", "json", cwd=tmp_path).err)
    assert error["level"] == "error"
    assert error["message"].startswith("x.yaml: does not exist")
    trace, error = objects(call("run", "x.yaml", "--log-format=json", "-v", cwd=tmp_path).err)
    assert "FileNotFoundError" in trace["traceback"]
    # A wrong value of an option is reported in the same form.
    (unknown,) = objects(call("run", "--log-format", "json", "--no-such", "x", cwd=tmp_path).err)
    assert unknown["message"].startswith("no such option '--no-such'; see ")
    (usage,) = objects(call("run", "--log-format=json", "--env-file=x", "x", cwd=tmp_path).err)
    assert usage["level"] == "error"


def test_each_mistake_of_a_job_file_has_a_line_and_an_object(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("name: a\nrange: {begin: 2024-01-01}\nlimits: {attempts: 3}\n")
    plain = call("plan", "a.yaml", cwd=tmp_path)
    found = objects(call("plan", "a.yaml", "--log-format", "json", cwd=tmp_path).err)
    assert plain.code == 2
    assert [line.split(";")[0].split(" (")[0] for line in plain.err.splitlines()] == [
        "error: a.yaml:2: range.begin: is not a known key",
        "error: a.yaml:3: limits.attempts: is not a known key",
        "error: a.yaml:1: teams: is missing",
        "error: a.yaml:1: output: is missing",
    ]
    assert [f"error: {each['message']}" for each in found] == plain.err.splitlines()


def test_warnings_have_their_level(job: Path, tmp_path: Path) -> None:
    split = ("--set", "split_by=[division_id]")
    lines = objects(call("run", "--log-format=json", str(job), *split, cwd=tmp_path).err)
    assert any(line["level"] == "warning" for line in lines)
    assert not any("warning:" in line["message"] for line in lines)


def test_each_result_is_one_object_with_the_documented_keys(job: Path, tmp_path: Path) -> None:
    assert call("run", "-q", str(job), cwd=tmp_path).code == 0
    for command in ("plan", "check", "status", "verify"):
        done = call(command, "--json", str(job), cwd=tmp_path)
        assert done.code == 0, done.err
        found = json.loads(done.out)
        assert list(found) == documented(command)
        assert found["job"] == "job"
    assert {finding["level"] for finding in found["findings"]} <= {"OK", "WARN", "FAIL"}
    assert all(list(each) == ["level", "text", "details"] for each in found["findings"])


def test_a_failed_check_has_the_exit_code_in_its_object(job: Path, tmp_path: Path) -> None:
    # Nothing listens there.
    dead = "connections.default.api_url=http://127.0.0.1:9"
    login = "connections.default.login_url=http://127.0.0.1:9"
    done = call("check", "--json", str(job), "--set", dead, "--set", login, cwd=tmp_path)
    found = json.loads(done.out)
    assert done.code == found["exit_code"] == 1
    assert "gave up after 3 attempts" in found["findings"][0]["text"]


@pytest.mark.parametrize("command", ["plan", "check", "status", "verify"])
def test_an_error_is_an_object_too(command: str, tmp_path: Path) -> None:
    done = call(command, "--json", "absent.yaml", cwd=tmp_path)
    found = json.loads(done.out)
    assert list(found) == ["error", "exit_code"]
    assert done.code == found["exit_code"] == 2
    assert done.err == f"error: {found['error']}\n"


def test_a_command_may_run_in_another_folder(job: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert call("-C", "..", "run", str(job), cwd=elsewhere).code == 0
    assert call("status", str(job), "-C", "..", cwd=elsewhere).code == 0
    assert list(elsewhere.iterdir()) == []
    assert (tmp_path / "out" / "aht.jsonl").exists()
    wrong = call("run", "-C", "nowhere", str(job), cwd=elsewhere)
    assert wrong.code == 2
    assert "'nowhere' does not exist" in wrong.err


def test_variables_may_be_in_another_file(emulator: Handle, tmp_path: Path) -> None:
    path = write_job(
        tmp_path,
        emulator,
        range=RANGE,
        connections={"default": connection(emulator, client_id="${THE_ID}")},
    )
    assert "THE_ID" in call("plan", str(path), cwd=tmp_path).err
    (tmp_path / "prod.env").write_text(f"THE_ID={emulator.client_id}\n")
    for arguments in (("--env-file", "prod.env", "plan"), ("plan", "--env-file", "prod.env")):
        done = call(*arguments, str(path), cwd=tmp_path)
        assert done.code == 0, done.err
    missing = call("plan", str(path), "--env-file", "none.env", cwd=tmp_path)
    assert missing.code == 2
    assert "'none.env' does not exist" in missing.err


@pytest.mark.parametrize("extra", [{}, {"NO_COLOR": ""}])
def test_a_terminal_shows_how_serious_a_line_is(
    job: Path, tmp_path: Path, extra: dict[str, str]
) -> None:
    extra = {"NO_COLOR": "", **extra}
    _, text = on_a_terminal("run", "x.yaml", cwd=tmp_path, **extra)
    assert text.startswith("\x1b[31merror:\x1b[0m x.yaml")
    code, text = on_a_terminal("check", str(job), cwd=tmp_path, **extra)
    assert code == 0
    assert "\x1b[32mOK\x1b[0m    reached " in text


@pytest.mark.parametrize("extra", [{"NO_COLOR": "1"}, {"NO_COLOR": "", "TERM": "dumb"}])
def test_a_terminal_without_colours_gets_none(
    job: Path, tmp_path: Path, extra: dict[str, str]
) -> None:
    for command in (("run", "x.yaml"), ("check", str(job)), ("run", str(job))):
        _, text = on_a_terminal(*command, cwd=tmp_path, **extra)
        assert not re.search(r"\x1b\[\d*m", text), text
    if extra.get("TERM") == "dumb":
        assert "\x1b" not in text


def test_a_log_collector_on_a_terminal_gets_objects_alone(job: Path, tmp_path: Path) -> None:
    code, text = on_a_terminal("run", "--log-format=json", str(job), cwd=tmp_path)
    assert code == 0
    assert all(line["level"] == "info" for line in objects(text.replace("\r", "")))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_documented_completion_is_a_script_of_the_shell(shell: str) -> None:
    variable = f"_ASYNCREPORT_COMPLETE={shell}_source"
    assert variable in PAGE
    where = {**environ(), "_ASYNCREPORT_COMPLETE": f"{shell}_source"}
    done = subprocess.run([COMMAND], env=where, capture_output=True, text=True, check=True)
    assert "asyncreport" in done.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.stdout, text=True, check=True)


def test_a_shell_completes_commands() -> None:
    where = {
        **environ(),
        "_ASYNCREPORT_COMPLETE": "bash_complete",
        "COMP_WORDS": "asyncreport ver",
        "COMP_CWORD": "1",
    }
    done = subprocess.run([COMMAND], env=where, capture_output=True, text=True, check=True)
    assert done.stdout == "plain,verify\n"
