"""`init` against an emulator in a process of its own: by options, and typed on a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from asyncreport.config import load_job, read_environ
from tests.emulator_process import Handle, emulator_process
from tests.exporting import NOW, PATIENCE, Call, call, environ

#: makes the terminal on standard input the one that sends Ctrl-C and that secrets are read from;
#: tests that run in the background of a shell ignore Ctrl-C, and what they start would too
ON_TERMINAL = """
import fcntl, runpy, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("asyncreport", run_name="__main__", alter_sys=True)
"""
RANGE = ("--start", "2024-01-15", "--end", "2024-01-16", "--time-zone", "Europe/Dublin")


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=12, seed=3, requests_per_minute=0) as handle:
        yield handle


@pytest.fixture(scope="module")
def poor() -> Iterator[Handle]:
    """Start an emulator whose client may do little."""
    denied = ("analytics:conversationAggregate:view", "groups:team:view")
    with emulator_process(agents=12, seed=3, denied=denied) as handle:
        yield handle


def access(emulator: Handle, folder: Path, secret: str = "") -> list[str]:
    """Give the options of the client; its secret is in a file."""
    file = folder / "secret.txt"
    file.write_text((secret or emulator.client_secret) + "\n")
    where = ["--api-url", emulator.url, "--client-id", emulator.client_id]
    return [*where, "--client-secret-file", str(file)]


def init(emulator: Handle, folder: Path, *arguments: str, **extra: str) -> Call:
    options = access(emulator, folder)
    result = call("init", *options, *RANGE, *arguments, cwd=folder, **extra)
    assert emulator.client_secret not in result.out + result.err
    return result


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"secret.txt"}


def test_options_make_a_job_that_runs(emulator: Handle, tmp_path: Path) -> None:
    result = init(emulator, tmp_path, "--team", "Billing East", "--queue", "Billing")
    assert result.code == 0, result.err
    assert "OK    reached " in result.out
    assert "team 'Billing East' (team Billing East) has 2 users today" in result.out
    commands = re.findall(r"^  asyncreport (\w+) (\S+)", result.err, re.MULTILINE)
    assert commands == [("check", "job.yaml"), ("plan", "job.yaml"), ("run", "job.yaml")]
    assert emulator.client_secret not in (tmp_path / "job.yaml").read_text()
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
    for command, path in commands:
        assert call(command, path, cwd=tmp_path).code == 0
    assert (tmp_path / "exports" / "job.csv").read_text().startswith("team,user_id,")


def test_a_missing_answer_without_a_terminal_is_one_error(tmp_path: Path) -> None:
    result = call("init", cwd=tmp_path)
    assert (result.code, result.out) == (2, "")
    assert result.err.count("\n") == 1
    assert "missing: --region, or --api-url; --client-id" in result.err
    assert files(tmp_path) == set()


def test_an_existing_file_is_never_overwritten(emulator: Handle, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("mine\n")
    (tmp_path / "link.yaml").symlink_to("nowhere.yaml")
    for name in ("job.yaml", "link.yaml"):
        result = init(emulator, tmp_path, name, "--everyone")
        assert result.code == 2
        assert f"{name}: exists already" in result.err
    assert (tmp_path / "job.yaml").read_text() == "mine\n"
    assert files(tmp_path) == {"job.yaml", "link.yaml"}


def test_an_env_file_keeps_what_it_has(emulator: Handle, tmp_path: Path) -> None:
    path = tmp_path / ".env"
    # Line breaks of Windows, and none at the end.
    path.write_bytes(b"# mine\r\nOTHER=1\r\nGENESYS_CLIENT_ID=other")
    path.chmod(0o644)
    assert init(emulator, tmp_path, "--everyone").code == 0
    content = path.read_bytes()
    assert content.startswith(b"# mine\r\nOTHER=1\r\nGENESYS_CLIENT_ID=other\nGENESYS_2_CLIENT_ID=")
    assert path.stat().st_mode & 0o777 == 0o600
    client = _client(tmp_path)
    assert client == (emulator.client_id, emulator.client_secret)
    again = init(emulator, tmp_path, "second.yaml", "--everyone")
    assert again.code == 0
    assert "GENESYS_2_CLIENT_ID and GENESYS_2_CLIENT_SECRET are in .env already" in again.err
    assert path.read_bytes() == content
    assert _client(tmp_path, "second.yaml") == client


def _client(folder: Path, name: str = "job.yaml") -> tuple[str, str]:
    """Read a job as `run` does; give its OAuth client."""
    job = load_job(folder / name, environ=read_environ(folder, {}), now=NOW)
    (client,) = job.connections[0].clients
    return client.client_id, client.client_secret.reveal()


def test_variables_that_are_set_need_no_env_file(emulator: Handle, tmp_path: Path) -> None:
    variables = {
        "GENESYS_CLIENT_ID": emulator.client_id,
        "GENESYS_CLIENT_SECRET": emulator.client_secret,
    }
    result = call("init", "--api-url", emulator.url, "--everyone", cwd=tmp_path, **variables)
    assert result.code == 0, result.err
    assert "are set in the environment, so .env is left as it is" in result.err
    assert files(tmp_path) == {"job.yaml"}


def test_another_file_of_variables_is_written_and_named(emulator: Handle, tmp_path: Path) -> None:
    (tmp_path / "my vars").touch()
    result = init(emulator, tmp_path, "my job.yaml", "--everyone", "--env-file", "my vars")
    assert result.code == 0, result.err
    assert files(tmp_path) == {"my vars", "my job.yaml"}
    (line,) = re.findall(r"^  asyncreport (check .*)   #", result.err, re.MULTILINE)
    assert call(*shlex.split(line), cwd=tmp_path).code == 0


def test_a_wrong_secret_ends_with_3_and_writes_nothing(emulator: Handle, tmp_path: Path) -> None:
    options = access(emulator, tmp_path, secret="wrong-5ecret")
    result = call("init", *options, "--everyone", cwd=tmp_path)
    assert result.code == 3
    assert "FAIL  credentials and hosts" in result.out
    assert "nothing was written" in result.err
    assert "wrong-5ecret" not in result.out + result.err
    assert files(tmp_path) == set()


def test_a_secret_file_that_cannot_be_used_is_an_error_of_its_option(
    emulator: Handle, tmp_path: Path
) -> None:
    (tmp_path / "sheet.xlsx").write_bytes(b"PK\xff\xfe")
    for name in ("nowhere.txt", "sheet.xlsx"):
        options = ["--api-url", emulator.url, "--client-id", "a", "--client-secret-file", name]
        result = call("init", *options, "--everyone", cwd=tmp_path)
        assert (result.code, result.out) == (2, "")
        assert "--client-secret-file" in result.err


def test_a_team_that_does_not_exist_ends_with_2(emulator: Handle, tmp_path: Path) -> None:
    result = init(emulator, tmp_path, "--team", "Biling East")
    assert result.code == 2
    assert "did you mean 'Billing East'" in result.out
    assert files(tmp_path) == set()


def test_missing_permissions_are_named_and_the_job_is_written(poor: Handle, tmp_path: Path) -> None:
    """Somebody else grants them later, and the job file stays the same."""
    result = init(poor, tmp_path, "--everyone")
    assert result.code == 0, result.err
    assert re.search(r"FAIL .*analytics:conversationAggregate:view", result.out)
    assert "warning: a run fails until that is fixed" in result.err
    assert files(tmp_path) == {".env", "job.yaml"}


@pytest.mark.parametrize(
    "wrong", [("--start", "30"), ("--time-zone", "Berlin time"), ("--output", "out.xls")]
)
def test_a_wrong_option_is_an_error_before_any_request(
    tmp_path: Path, wrong: tuple[str, str]
) -> None:
    """Nothing listens at the URL."""
    given = ["--api-url", "http://127.0.0.1:9", "--client-id", "a", "--everyone"]
    (tmp_path / "secret.txt").write_text("s")
    result = call("init", *given, "--client-secret-file", "secret.txt", *wrong, cwd=tmp_path)
    assert (result.code, result.out) == (2, "")
    assert f"{wrong[0]}: must be " in result.err


def test_a_folder_that_cannot_be_written_is_an_error_at_once(
    emulator: Handle, tmp_path: Path
) -> None:
    result = init(emulator, tmp_path, "nowhere/job.yaml", "--everyone")
    assert (result.code, result.out) == (5, "")
    assert "nowhere/job.yaml could not be written: No such file or directory" in result.err


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
@pytest.mark.parametrize("ignored", [False, True])
def test_a_secret_that_git_would_commit_is_reported(
    emulator: Handle, tmp_path: Path, ignored: bool
) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    if ignored:
        (tmp_path / ".gitignore").write_text(".env\n")
    result = init(emulator, tmp_path, "--everyone")
    assert result.code == 0
    assert ("warning: git does not ignore .env" in result.err) is not ignored


# On a terminal -----------------------------------------------------------------------------------


#: times that a signal is sent before the test fails
_PRESSES = 6


class Session:
    """A command on a terminal, and who types there."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self._process = process
        self._terminal = terminal
        self.text = ""

    def until(self, prompt: str) -> str:
        """Read until a prompt waits; give what was written since the last one."""
        start = len(self.text)
        while not _plain(self.text).endswith(prompt):
            assert select.select([self._terminal], [], [], PATIENCE)[0], self.text
            self.text += os.read(self._terminal, 1 << 16).decode()
        return _plain(self.text[start:])

    def type(self, text: str) -> None:
        """Type keys; a line break is Enter."""
        os.write(self._terminal, text.encode())

    def interrupt(self, number: signal.Signals) -> tuple[int, str]:
        """Press Ctrl-C or send SIGTERM, and again if nothing happens; give what `end` gives.

        A signal that comes between the prompt and the wait for keys is not noticed before the next.
        """
        with suppress(OSError):
            for _ in range(_PRESSES):
                if number == signal.SIGINT:
                    self.type("\x03")
                else:
                    self._process.send_signal(number)
                self._read(5)
        return self._ended()

    @property
    def echoes(self) -> bool:
        """Tell whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self._terminal)[3] & termios.ECHO)

    def end(self) -> tuple[int, str]:
        """Read to the end; give the exit code and all that was written."""
        with suppress(OSError):
            self._read(PATIENCE)
        return self._ended()

    def _read(self, patience: float) -> None:
        """Read until nothing comes; raise OSError at the end, when nobody holds the terminal."""
        while select.select([self._terminal], [], [], patience)[0]:
            piece = os.read(self._terminal, 1 << 16)
            if not piece:
                raise OSError("the terminal is closed")
            self.text += piece.decode()

    def _ended(self) -> tuple[int, str]:
        return self._process.wait(PATIENCE), _plain(self.text)


def _plain(text: str) -> str:
    """Leave out what moves the cursor, and the lines that move."""
    return re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", text)


@contextmanager
def terminal(folder: Path, *arguments: str, **extra: str) -> Iterator[Session]:
    """Start `init` on a terminal of its own."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", ON_TERMINAL, "init", *arguments]
    there = {**environ(**extra), "COLUMNS": "80", "TERM": "xterm"}
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**there, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        try:
            yield Session(process, ours)
        finally:
            process.kill()
            os.close(ours)


def test_typed_answers_make_a_job_that_runs(emulator: Handle, tmp_path: Path) -> None:
    """Somebody mistypes the region and the secret, then searches for teams."""
    with terminal(tmp_path, TZ="Europe/Dublin") as session:
        for prompt, typed in [
            ("Region: ", "mypurecloud.it"),
            ("Region [mypurecloud.ie]: ", emulator.url),
            (f"Login URL [{emulator.url}]: ", ""),
            ("Client id: ", emulator.client_id),
            ("Client secret (not shown): ", "wrong-5ecret"),
            ("Client secret (not shown); Enter for more: ", emulator.client_secret),
            ("Enter for everyone: ", "billing"),
            ("Enter for everyone: ", "1 3"),
            ("Enter to go on with 2: ", ""),
            ("From [today-P35D]: ", "2024-01-15"),
            ("Until, this day not included [today]: ", "2024-01-16"),
            ("Time zone [Europe/Dublin]: ", ""),
            ("One record per agent and [PT30M]: ", "3"),
            ("Format [csv]: ", "4"),
            ("Output file [exports/job.jsonl]: ", ""),
        ]:
            session.until(prompt)
            session.type(f"{typed}\n")
        code, text = session.end()
    assert code == 0, text
    assert "(did you mean 'mypurecloud.ie'?)" in text
    assert "FAIL  credentials and hosts" in text
    assert f"host: {emulator.url}" in text
    assert f"wrote job.yaml for {emulator.url}; next:" in text
    for secret in ("wrong-5ecret", emulator.client_secret):
        assert secret not in text
    assert emulator.client_secret in (tmp_path / ".env").read_text()
    assert call("run", "job.yaml", cwd=tmp_path).code == 0
    rows = (tmp_path / "exports" / "job.jsonl").read_text().splitlines()
    assert rows
    assert {row.split('"')[3] for row in rows} <= {"Billing East", "Billing"}


def test_what_cannot_be_listed_is_named(poor: Handle, tmp_path: Path) -> None:
    with terminal(tmp_path, *access(poor, tmp_path)) as session:
        shown = session.until("Enter for everyone: ")
        assert "teams cannot be listed" in shown
        assert "groups:team:view" in shown
        assert "7 groups" in shown
        session.type("\x04")
        code, text = session.end()
    assert code == 2
    assert "the input ended before the last question; nothing was written" in text
    assert files(tmp_path) == set()


@pytest.mark.parametrize(
    ("prompt", "number"),
    [
        ("Region: ", signal.SIGINT),
        ("(not shown): ", signal.SIGINT),
        ("(not shown): ", signal.SIGTERM),
    ],
)
def test_a_signal_ends_with_a_message_and_leaves_nothing(
    emulator: Handle, tmp_path: Path, prompt: str, number: signal.Signals
) -> None:
    given = {"Region: ": [], "(not shown): ": access(emulator, tmp_path)[:4]}
    with terminal(tmp_path, *given[prompt]) as session:
        session.until(prompt)
        code, text = session.interrupt(number)
        assert session.echoes
    assert code == 128 + number
    assert "nothing was written" in text
    assert "Traceback" not in text
    assert files(tmp_path) == set()
