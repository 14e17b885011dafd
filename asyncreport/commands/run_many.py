"""Run several jobs at the same time: a night's batch. Owns their tasks.

Jobs with the same OAuth client share its token and its rate budget.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from asyncreport.commands.report_page import page_maker
from asyncreport.config import refresh_interval
from asyncreport.core.errors import AsyncReportError
from asyncreport.core.job import Job
from asyncreport.core.text import counted
from asyncreport.export.run import run_job
from asyncreport.export.run_context import Choices
from asyncreport.export.summary import Summary
from asyncreport.net import SharedClients
from asyncreport.terminal.error_texts import unexpected_error
from asyncreport.terminal.progress import Screen, say_stopping
from asyncreport.terminal.signals import Stopped, run_until_signal
from asyncreport.terminal.stderr import lines_shown, say, say_traceback

#: jobs that run at the same time: each of them may need 150 MB
_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Loaded:
    """A job file as it was read."""

    path: Path
    #: the job, or why it cannot be run
    job: Job | AsyncReportError


@dataclass(frozen=True, slots=True)
class _Ended:
    """How a job ended."""

    text: str
    exit_code: int

    @classmethod
    def of(cls, summary: Summary) -> _Ended:
        """Describe a run that came to its end."""
        records = counted(sum(summary.records.values()), "record")
        if summary.exit_code == 0:
            return cls(f"complete, {records}", 0)
        return cls(f"not complete, {records}", summary.exit_code)

    @classmethod
    def by(cls, error: Exception) -> _Ended:
        """Describe a run that could not go on."""
        say_traceback(error)
        if isinstance(error, AsyncReportError):
            return cls(f"error: {error}", error.exit_code)
        text, exit_code = unexpected_error(error)
        return cls(f"error: {text}", exit_code)


def execute(files: Sequence[Loaded], *, now: int, refresh: str | None, **choices: bool) -> int:
    """Run all jobs and print the summary of each, then a line for each; give the worst exit code.

    `refresh` is an interval to fetch again, as the option gives it; `choices` are the other fields
    of Choices.
    """
    batch = _Batch(_labels(files), now, refresh, choices)
    try:
        ended = run_until_signal(batch.run(files), say_stopping)
    except Stopped:
        say("finished chunks are kept; run again to continue")
        raise
    for label, each in zip(batch.labels, ended, strict=True):
        say(f"{label}: exit code {each.exit_code}: {each.text}")
    return max(each.exit_code for each in ended)


def _labels(files: Sequence[Loaded]) -> list[str]:
    """Name the jobs in messages: by their names, or by their files if two names are equal."""
    names = Counter(_name(each) for each in files)
    return [_name(each) if names[_name(each)] == 1 else str(each.path) for each in files]


def _name(loaded: Loaded) -> str:
    """Give the name of a job; that of its file if it could not be read."""
    if isinstance(loaded.job, AsyncReportError):
        return str(loaded.path)
    return loaded.job.name


@dataclass(frozen=True, slots=True)
class _Batch:
    """The jobs of one command, and what the person chose for all of them."""

    labels: Sequence[str]
    #: an instant
    now: int
    refresh: str | None
    choices: dict[str, bool]

    async def run(self, files: Sequence[Loaded]) -> list[_Ended]:
        """Run the jobs, a few at a time; one that fails does not stop the others."""
        places = asyncio.Semaphore(_AT_ONCE)
        async with SharedClients() as shared, asyncio.TaskGroup() as group:
            tasks = []
            for label, loaded in zip(self.labels, files, strict=True):
                tasks.append(group.create_task(self._run_in_turn(label, loaded, places, shared)))
        return [task.result() for task in tasks]

    async def _run_in_turn(
        self,
        label: str,
        loaded: Loaded,
        places: asyncio.Semaphore,
        shared: SharedClients,
    ) -> _Ended:
        """Wait for a place, then run a job."""
        if isinstance(loaded.job, AsyncReportError):
            return _Ended.by(loaded.job)
        async with places:
            try:
                return _Ended.of(await self._run(label, loaded.job, shared))
            # Also a fault of ours: the other jobs of the night must not end because of it.
            except Exception as error:  # noqa: BLE001 - reported with the exit code of its own
                return _Ended.by(error)

    async def _run(self, label: str, job: Job, shared: SharedClients) -> Summary:
        """Run a job, with its label in front of its lines, and print its summary."""
        refresh = refresh_interval(self.refresh, job, self.now)
        summary = await run_job(
            job,
            now=self.now,
            say=partial(_say_for, label),
            watch=Screen(label=label).watching,
            choices=Choices(refresh=refresh, **self.choices),
            shared=shared,
            make_page=page_maker("asyncreport run"),
        )
        for line in summary.lines(lines_shown()):
            say(line)
        return summary


def _say_for(label: str, text: str) -> None:
    """Print a line about one of the jobs."""
    say(f"{label}: {text}")
