"""Run several jobs at the same time: a night's batch. Owns their tasks.

A job with `{connection}` in its paths is a batch too: one job for each connection. Jobs with the
same OAuth client share its token and its rate budget.
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
from asyncreport.core.apart import apart, is_apart, share_of, without_files
from asyncreport.core.errors import AsyncReportError
from asyncreport.core.job import Job
from asyncreport.core.text import counted
from asyncreport.export.expected_work import expected_work
from asyncreport.export.run import run_job
from asyncreport.export.run_context import Choices
from asyncreport.export.summary import Summary
from asyncreport.net import SharedClients
from asyncreport.store.state import convert
from asyncreport.terminal.error_texts import unexpected_error
from asyncreport.terminal.progress import Screen, say_stopping
from asyncreport.terminal.signals import Stopped, run_until_signal
from asyncreport.terminal.stderr import lines_shown, say, say_detail, say_traceback


@dataclass(frozen=True, slots=True)
class Loaded:
    """A job file as it was read."""

    path: Path
    #: the job, or why it cannot be run
    job: Job | AsyncReportError

    @property
    def name(self) -> str:
        """Give the name of the job; that of its file if it could not be read."""
        if isinstance(self.job, AsyncReportError):
            return str(self.path)
        return self.job.name

    @property
    def place(self) -> str:
        """Give the job's file, and its connection if it has several jobs."""
        if isinstance(self.job, AsyncReportError) or self.job.within is None:
            return str(self.path)
        return f"{self.path} ({self.job.connections[0].name})"

    def apart(self, share: tuple[int, int] | None = None) -> list[Loaded]:
        """List the jobs of the file that run independently: often one. Raise StoreError.

        Of a `share` of the connections, each runs by itself; if the job has files of all
        connections, they only fetch.
        """
        if isinstance(self.job, AsyncReportError):
            return [self]
        convert(self.job)
        jobs = apart(self.job)
        if share is not None:
            jobs = share_of(jobs if is_apart(self.job) else without_files(self.job), *share)
        return [Loaded(self.path, each) for each in jobs]


@dataclass(frozen=True, slots=True)
class _Labelled:
    """A job of the command."""

    #: its place in the command
    number: int
    #: its name in messages
    label: str
    job: Job | AsyncReportError


@dataclass(frozen=True, slots=True)
class _Ended:
    """How a job ended."""

    number: int
    label: str
    text: str
    exit_code: int

    @classmethod
    def of(cls, summary: Summary, job: _Labelled) -> _Ended:
        """Describe a run that came to its end."""
        fact = "complete" if summary.exit_code == 0 else "not complete"
        return cls(job.number, job.label, f"{fact}, {_amount(summary)}", summary.exit_code)

    @classmethod
    def by(cls, error: Exception, job: _Labelled) -> _Ended:
        """Describe a run that could not go on."""
        say_traceback(error)
        if isinstance(error, AsyncReportError):
            return cls(job.number, job.label, f"error: {error}", error.exit_code)
        text, exit_code = unexpected_error(error)
        return cls(job.number, job.label, f"error: {text}", exit_code)


def _amount(summary: Summary) -> str:
    """Count the records in the files; of a run without files, those that were fetched."""
    if not summary.outputs:
        return f"{counted(summary.records_fetched, 'record')} fetched"
    return counted(sum(summary.records.values()), "record")


def execute(
    files: Sequence[Loaded],
    *,
    now: int,
    at_once: int,
    refresh: str | None,
    **choices: bool,
) -> int:
    """Run all jobs and print the summary of each, then a line for each; give the worst exit code.

    So many jobs run `at_once`. `refresh` is an interval to fetch again, as the option gives it;
    `choices` are the other fields of Choices.
    """
    if not files:
        say("this share has no connection: there are fewer connections than shares")
        return 0
    batch = _Batch(now, at_once, refresh, choices)
    # The longest first: if it began last, all others would wait for it in the end.
    longest_first = sorted(_labelled(files), key=partial(_expected_work, now), reverse=True)
    try:
        ended = run_until_signal(batch.run(longest_first), say_stopping)
    except Stopped:
        say("finished chunks are kept; run again to continue")
        raise
    # What needs attention is at the end, where a person looks first.
    for each in sorted(ended, key=lambda each: (each.exit_code, each.number)):
        say(f"{each.label}: exit code {each.exit_code}: {each.text}")
    return max(each.exit_code for each in ended)


def _labelled(files: Sequence[Loaded]) -> list[_Labelled]:
    """Name the jobs in messages: by their names, or by their files if two names are equal."""
    names = Counter(each.name for each in files)
    found = []
    for number, each in enumerate(files):
        label = each.name if names[each.name] == 1 else each.place
        found.append(_Labelled(number, label, each.job))
    return found


def _expected_work(now: int, labelled: _Labelled) -> float:
    """Give the work of a connection that runs apart; other jobs stay as the command has them."""
    job = labelled.job
    if isinstance(job, AsyncReportError) or job.within is None:
        return 0
    return expected_work(job, now=now)


@dataclass(frozen=True, slots=True)
class _Batch:
    """The jobs of one command, and what the person chose for all of them."""

    #: an instant
    now: int
    #: jobs that run at the same time
    at_once: int
    refresh: str | None
    choices: dict[str, bool]

    async def run(self, jobs: Sequence[_Labelled]) -> list[_Ended]:
        """Run the jobs, a few at a time; one that fails does not stop the others."""
        places = asyncio.Semaphore(self.at_once)
        async with SharedClients() as shared, asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._run_in_turn(labelled, places, shared)) for labelled in jobs
            ]
        return [task.result() for task in tasks]

    async def _run_in_turn(
        self,
        labelled: _Labelled,
        places: asyncio.Semaphore,
        shared: SharedClients,
    ) -> _Ended:
        """Wait for a place, then run a job."""
        if isinstance(labelled.job, AsyncReportError):
            return _Ended.by(labelled.job, labelled)
        async with places:
            try:
                return _Ended.of(await self._run(labelled.label, labelled.job, shared), labelled)
            # Also a fault of ours: the other jobs of the night must not end because of it.
            except Exception as error:  # noqa: BLE001 - reported with the exit code of its own
                return _Ended.by(error, labelled)

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
        # Hundreds of connections: only those that need attention, each in more than one line.
        show = say_detail if job.within and summary.exit_code == 0 else say
        for line in summary.lines(lines_shown()):
            show(line)
        return summary


def _say_for(label: str, text: str) -> None:
    """Print a line about one of the jobs."""
    say(f"{label}: {text}")
