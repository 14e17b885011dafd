"""Write job files and run them: in this process, or as the command line in a process of its own."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from types import SimpleNamespace
from typing import IO, Any

import pytest

from asyncreport.api import query_jobs
from asyncreport.config import load_job
from asyncreport.core.timeline import parse_iso
from asyncreport.export import lanes
from asyncreport.export.run import run_job
from asyncreport.export.run_context import Choices
from asyncreport.export.summary import Summary
from tests.emulator_process import Handle
from tests.manifests import Line, edit_lines
from tests.template import fork

#: a run long after the ranges of the tests: everything has settled
NOW = parse_iso("2025-01-01T00:00Z")

#: seconds that a command may take
PATIENCE = 120


def connection(emulator: Handle, **rest: Any) -> dict[str, Any]:
    """Describe an emulator as a gateway, with a rate that no test reaches."""
    return {
        "api_url": emulator.url,
        "login_url": emulator.url,
        "client_id": emulator.client_id,
        "client_secret": emulator.client_secret,
        "requests_per_minute": 30_000,
        **rest,
    }


#: for a job with a request that always fails: a server that is down has three seconds, instead of a
#: quarter of an hour
FAIL_SOON = {"max_attempts": 1, "request_timeout": "PT2S", "give_up_after": "PT3S"}


def write_job(folder: Path, emulator: Handle, **sections: Any) -> Path:
    """Write a job file as JSON; without an output section the output is `out.jsonl`.

    With few attempts, the other limits are those of `FAIL_SOON`.
    """
    job = {
        "name": "job",
        "connections": {"default": connection(emulator)},
        "output": {"path": str(folder / "out.jsonl")},
        "teams": [{"name": "all", "everyone": True}],
        **sections,
    }
    limits = job.get("limits", {})
    if limits.get("max_attempts", 8) <= 2:
        job["limits"] = {**FAIL_SOON, **limits}
    path = folder / "job.yaml"
    path.write_text(json.dumps(job, indent=1))
    return path


def run_here(path: Path, *overrides: str, now: int = NOW, **choices: bool) -> Summary:
    """Run a job file in this process."""
    job = load_job(path, environ={}, overrides=overrides, now=now)
    return asyncio.run(run_job(job, now=now, choices=Choices(**choices)))


def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the waits between attempts and polls in this process; unit tests check them."""
    monkeypatch.setattr(lanes, "random", SimpleNamespace(random=lambda: 0.0))
    monkeypatch.setattr(query_jobs, "_FIRST_PAUSE", 0.01)


def restate(state: Path, start: str, *, count: int = 1) -> None:
    """Change records in each part with this start, as if the vendor had sent other values.

    The hash in the manifest changes as well. A `count` of 0 means all records.
    """

    def change(line: Line) -> Line:
        part = state / f"part-{line.get('part', 0):08}.jsonl"
        # The file of a part that was replaced is gone.
        if not line.get("interval", "").startswith(start) or not part.exists():
            return line
        content = _changed(part, count)
        return {**line, "sha256": hashlib.sha256(content).hexdigest()}

    edit_lines(state / "manifest.jsonl", change)


def _changed(part: Path, count: int) -> bytes:
    before = part.read_bytes()
    content = re.sub(rb'"handled_count":[1-9],', b'"handled_count":0,', before, count=count)
    part.write_bytes(content)
    return content


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@dataclass(frozen=True, slots=True)
class Call:
    """How a command ended."""

    code: int
    out: str
    err: str


def environ(**extra: str) -> dict[str, str]:
    """Return an environment for a process, without what would change its messages or its proxy.

    Dev mode is off: it reports slow callbacks on stderr.
    """
    unwanted = (
        "GENESYS_",
        "QUERY_",
        "PYTHONDEVMODE",
        # What a terminal does not set either.
        "PYTHONDONTWRITEBYTECODE",
        "PYTHONUNBUFFERED",
    )
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(unwanted) and "proxy" not in name.lower()
    }
    return {**kept, "COLUMNS": "200", "NO_COLOR": "1", **extra}


@contextmanager
def start(
    *arguments: str, cwd: Path, module: str = "asyncreport", **extra: str
) -> Iterator[subprocess.Popen[str]]:
    """Start the command line, or another module; kill it if it runs at the end of the block."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=environ(**extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def call(*arguments: str, cwd: Path, module: str = "asyncreport", **extra: str) -> Call:
    """Run the command line, or another module, to its end.

    It is forked from a process with its imports, unless the interpreter reads the environment.
    """
    if "PYTHONPATH" in extra:
        with start(*arguments, cwd=cwd, module=module, **extra) as process:
            written = process.communicate(timeout=PATIENCE)
            return Call(process.returncode, *written)
    with ExitStack() as files:
        out, err = (files.enter_context(TemporaryFile()) for _ in range(2))
        nothing = files.enter_context(Path(os.devnull).open("rb"))
        streams = (nothing, out, err)
        process = fork(module, *arguments, cwd=cwd, env=environ(**extra), streams=streams)
        code = process.wait(PATIENCE)
        return Call(code, _text(out), _text(err))


def _text(file: IO[bytes]) -> str:
    """Read what a process wrote."""
    file.seek(0)
    return file.read().decode()
