"""What a person is told: one table of situations, with exit code and text.

`__snapshots__/test_messages.ambr` is the table. After a change of wording:
`pytest tests/integration/test_messages.py --snapshot-update`, and read it as a user would.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.emulator_process import Handle, emulator_process
from tests.exporting import call, connection, write_job

DAYS = {"start": "2024-01-01", "end": "2024-01-03", "granularity": "PT1H", "chunk": "P1D"}
EVERYONE = [{"name": "all", "everyone": True}]
QUERY = {"path": "aggregates/query"}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=3, requests_per_minute=30_000) as handle:
        yield handle


class Stage:
    """A folder with a job, and an emulator."""

    def __init__(self, emulator: Handle, folder: Path) -> None:
        self.emulator = emulator
        self.folder = folder
        self.state = folder / ".asyncreport" / "job"
        #: what the commands said, with their exit codes
        self.said: list[str] = []

    def job(self, **sections: Any) -> None:
        # One worker: which part has which day must not depend on which response comes first.
        limits = {"concurrency": 1, **sections.pop("limits", {})}
        given = {"range": DAYS, "teams": EVERYONE, "limits": limits, **sections}
        write_job(self.folder, self.emulator, **given)

    def run(self, *arguments: str, job: bool = True) -> None:
        """Run a command, with the job unless it takes none."""
        given = (*arguments, "job.yaml") if job else arguments
        result = call(*given, cwd=self.folder)
        text = self._masked(result.out + result.err)
        self.said.append(f"$ asyncreport {' '.join(given)}\n{text}=> {result.code}")

    def fails(self, **do: Any) -> None:
        """Let each query fail."""
        self.emulator.faults([{"match": QUERY, "do": do}])

    def _masked(self, text: str) -> str:
        """Replace what differs each time."""
        fixed = ((self.emulator.url, "URL"), (f"{self.folder}/", ""), (str(self.folder), "HERE"))
        for found, name in fixed:
            text = text.replace(found, name)
        for pattern, name in _VARYING:
            text = re.sub(pattern, name, text)
        return text


_VARYING = (
    (r"correlation id [^\]]+", "correlation id ID"),
    (r"[\d,.]+ GB", "N GB"),
    (r"\d+\.\d s\b", "N s"),
    (r"in \d+ s\b", "in N s"),
    (r"process \d+", "process N"),
    (r"20(2[5-9]|[3-9]\d)-[\dT:.-]+Z( \([^)]*\))?", "INSTANT"),
    (r"[\d.]+ requests/s", "N requests/s"),
    (r"127\.0\.0\.1:\d{4,5}", "HOST"),
)

Play = Callable[[Stage], None]


def _first_run(stage: Stage) -> None:
    stage.job()
    for command in ("status", "verify", "plan", "run", "run", "status", "verify"):
        stage.run(command)


def _changed_end(stage: Stage) -> None:
    stage.job()
    stage.run("run")
    stage.job(range={**DAYS, "end": "2024-01-04"})
    stage.run("status")
    stage.run("run")


def _lost_part(stage: Stage) -> None:
    stage.job()
    stage.run("run")
    (stage.state / "default" / "part-00000001.jsonl").unlink()
    part = stage.state / "default" / "part-00000002.jsonl"
    part.write_bytes(part.read_bytes()[:-5])
    for command in ("status", "verify", "run"):
        stage.run(command)


def _damaged(stage: Stage) -> None:
    stage.job()
    stage.run("run")
    part = stage.state / "default" / "part-00000002.jsonl"
    part.write_bytes(part.read_bytes().replace(b'"handled_count":1', b'"handled_count":2', 1))
    stage.run("verify")


def _edited_output(stage: Stage) -> None:
    stage.job()
    stage.run("run")
    (stage.folder / "out.jsonl").write_text("{}\n")
    for command in ("status", "verify", "run"):
        stage.run(command)


def _gaps(stage: Stage) -> None:
    stage.job(limits={"max_attempts": 1})
    stage.fails(status=503)
    stage.run("run")
    stage.run("run", "--allow-partial")
    stage.emulator.faults([])
    stage.run("status")
    stage.run("run")


def _refused(**do: Any) -> Play:
    def play(stage: Stage) -> None:
        stage.job()
        stage.fails(**do)
        stage.run("run")
        stage.run("check")

    return play


def _sections(*commands: str, **sections: Any) -> Play:
    def play(stage: Stage) -> None:
        stage.job(**sections)
        for command in commands:
            stage.run(command)

    return play


def _usage(*arguments: str) -> Play:
    def play(stage: Stage) -> None:
        stage.run(*arguments, job=False)

    return play


def _hosts(**rest: str) -> Play:
    def play(stage: Stage) -> None:
        default = connection(stage.emulator, **rest)
        stage.job(connections={"default": default}, limits={"max_attempts": 2})
        stage.run("run")

    return play


def _tls(stage: Stage) -> None:
    here = stage.emulator.url.replace("http:", "https:")
    _hosts(api_url=here, login_url=here)(stage)


def _old_output(stage: Stage) -> None:
    """Another job writes the file already."""
    stage.job()
    stage.run("run")
    stage.job(name="other")
    stage.run("run")


def _blank_in_path(stage: Stage) -> None:
    """Leave out the quotes around a path; the file of the last word exists too."""
    stage.job()
    (stage.folder / "my job.yaml").write_bytes((stage.folder / "job.yaml").read_bytes())
    stage.run("run", "my", "job.yaml", job=False)
    assert not (stage.folder / "out.jsonl").exists()


def _foreign_output(stage: Stage) -> None:
    """Run a job whose path has a file of the person."""
    stage.job()
    (stage.folder / "out.jsonl").write_text("mine")
    stage.run("plan")
    stage.run("run")
    stage.run("run")


def _broken_state(stage: Stage) -> None:
    stage.job()
    stage.run("run")
    (stage.state / "names.json").write_text("{")
    stage.run("run")
    manifest = stage.state / "default" / "manifest.jsonl"
    manifest.write_text("?\n" + manifest.read_text())
    (stage.state / "names.json").unlink()
    stage.run("run")
    stage.run("status")


SITUATIONS: dict[str, Play] = {
    "a job from its first run on": _first_run,
    "a range that grows": _changed_end,
    "parts that were lost and cut": _lost_part,
    "a part that was changed": _damaged,
    "an output that somebody edited": _edited_output,
    "a server that is busy": _gaps,
    "a query that is refused": _refused(status=400, message="The interval is invalid"),
    "a permission that is missing": _refused(status=403, code="missing.permissions"),
    "a page of a proxy": _refused(status=404, html=True),
    "a redirect": _refused(status=302),
    "a host that does not listen": _hosts(api_url="http://127.0.0.1:9"),
    "TLS onto a port without it": _tls,
    "a wrong secret": _hosts(client_secret="wrong"),
    "a group that does not exist": _sections(
        "run", "plan", "check", teams=[{"name": "lost", "group": "Nobody"}]
    ),
    "users who do not exist": _sections(
        "run", teams=[*EVERYONE, {"name": "few", "users": [f"user-{n:03}" for n in range(300)]}]
    ),
    "a range in the future": _sections("run", range={"start": "2090-01-01", "end": "2090-01-02"}),
    "an output of another job": _old_output,
    "an output that no job wrote": _foreign_output,
    "an output that is a folder": _sections("run", output={"path": "."}),
    "files of the state that somebody edited": _broken_state,
    "no job file": _usage("run", "nowhere.yaml"),
    "a path with a blank, without quotes": _blank_in_path,
    "no argument": _usage("run"),
    "an option that does not exist": _usage("run", "--strickt", "job.yaml"),
    "a command that does not exist": _usage("rum", "job.yaml"),
    "an interval that cannot be read": _usage("query", "--emulator", "--start", "x", "--end", "y"),
    "a query without users": _usage("query", "--start", "2024-01-01", "--end", "2024-01-02"),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_a_person_is_told(
    emulator: Handle, tmp_path: Path, situation: str, snapshot: SnapshotAssertion
) -> None:
    stage = Stage(emulator, tmp_path)
    try:
        SITUATIONS[situation](stage)
    finally:
        emulator.faults([])
    said = "\n".join(stage.said)
    assert "Traceback" not in said
    assert said == snapshot
