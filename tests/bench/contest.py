"""The same pull by every client, measured and checked.

Owns the processes that it starts, and their folders.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.load import Load, Server, Verdict
from tests.bench.peers.pull import BATCH
from tests.bench.sides import UNLIMITED, Pull, Side, environ

#: seconds that one pull may take
PATIENCE = 600
LAUNCHER = (sys.executable, "-S", "-E", str(Path(__file__).with_name("measured.py")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One pull that has ended."""

    #: exit code; -9: it was killed after `PATIENCE`
    code: int
    #: the end of standard error
    stderr: str
    seconds: float
    #: user and system, including the start
    cpu: float
    #: peak
    rss_mb: float
    #: the server's; see `load_serve.Counts`
    counts: dict[str, Any]
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """The conditions of a comparison."""

    load: Load
    server: Server
    #: seconds before each response
    latency: float
    #: requests a minute; 0: no limit
    limit: int = 0
    #: the first days of the load
    days: int

    @contextmanager
    def pull(self) -> Iterator[Pull]:
        """Begin a pull in its own folder, with the server's counts at zero."""
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            self.reset()
            yield Pull(
                load=self.load,
                server=self.server,
                folder=Path(folder),
                days=self.days,
                per_minute=self.limit or UNLIMITED,
            )

    def reset(self) -> None:
        """Set the server's counts to zero."""
        self.server.reset(latency=self.latency, limit=self.limit)


def run(side: Side, terms: Terms) -> Run:
    """Let one client pull once, into an empty folder."""
    with terms.pull() as pull:
        return again(side, terms, pull)


def must(side: Side, terms: Terms) -> Run:
    """Let one client pull once, into an empty folder; raise RuntimeError if it fails."""
    found = run(side, terms)
    if found.code:
        raise RuntimeError(f"{side.name} ended with {found.code}: {found.stderr}")
    return found


def again(side: Side, terms: Terms, pull: Pull) -> Run:
    """Let one client pull into a folder that may have files of an earlier pull."""
    command = [*LAUNCHER, str(PATIENCE), *side.command(pull)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=True,
        cwd=pull.folder,
        env=environ(pull.folder),
    )
    verdict = terms.load.judge(side.output(pull.folder), terms.days)
    return Run(
        **json.loads(done.stdout),
        stderr=done.stderr[-2000:],
        counts=terms.server.counts(),
        verdict=verdict,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """What a kill -9 in the middle left, and what the next run made of it."""

    #: queries answered before the kill
    answered: int
    #: rows in the output file after the kill
    left: Verdict
    #: queries of the next run
    queries: int
    #: that run exited with 0, and all rows are there, once and correct
    complete: bool


def kill(side: Side, terms: Terms) -> Killed:
    """Kill a pull after half of its queries were answered, and run it again."""
    with terms.pull() as pull:
        command = side.command(pull)
        with subprocess.Popen(
            command,
            cwd=pull.folder,
            env=environ(pull.folder),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                terms.server.wait_for(terms.days * -(-terms.load.agents // BATCH) // 2)
            finally:
                os.killpg(process.pid, signal.SIGKILL)
        answered = terms.server.counts()["answered"]
        left = terms.load.judge(side.output(pull.folder), terms.days)
        terms.reset()
        second = again(side, terms, pull)
        return Killed(
            answered=answered,
            left=left,
            queries=second.counts["queries"],
            complete=second.verdict.clean and not second.code,
        )


def middle(runs: Sequence[Run], of: Callable[[Run], float]) -> float:
    """Return the median of a figure."""
    return median(of(each) for each in runs)
