"""Several jobs of one command, which end independently of each other. Owns their tasks."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from asyncreport.core.apart import apart, is_apart, share_of, without_files
from asyncreport.core.errors import AsyncReportError
from asyncreport.core.job import Job
from asyncreport.core.text import counted, first_items
from asyncreport.export.expected_work import expected_work
from asyncreport.export.summary import Summary
from asyncreport.store.state import convert
from asyncreport.terminal.error_texts import unexpected_error
from asyncreport.terminal.stderr import lines_shown, say, say_detail, say_traceback


@dataclass(frozen=True, slots=True)
class Loaded:
    """A job file as it was read."""

    path: Path
    #: the job, or why it cannot be run
    job: Job | AsyncReportError
    #: where the files of each connection are, as the job file says it; empty: each path is shown
    places: str = ""

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
        if share is not None:
            return self.by_connection(share)
        if isinstance(self.job, AsyncReportError):
            return [self]
        convert(self.job)
        return [Loaded(self.path, each, _places(self.job)) for each in apart(self.job)]

    def by_connection(self, share: tuple[int, int] = (1, 1)) -> list[Loaded]:
        """List a job for each connection of a share; raise StoreError.

        If the job has files of all connections, they only fetch.
        """
        if isinstance(self.job, AsyncReportError):
            return [self]
        convert(self.job)
        jobs = apart(self.job) if is_apart(self.job) else without_files(self.job)
        places = _places(self.job)
        return [Loaded(self.path, each, places) for each in share_of(jobs, *share)]


def _places(job: Job) -> str:
    """Say where the files of each connection are; empty if each has no file of its own."""
    if not is_apart(job):
        return ""
    files = first_items(job.output.templates)
    return f"{job.name}: the files of each complete connection are {files}"


@dataclass(frozen=True, slots=True)
class Labelled:
    """A job of the command."""

    #: its place in the command
    number: int
    #: its name in messages
    label: str
    path: Path
    job: Job | AsyncReportError
    #: as Loaded has it
    places: str


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended."""

    number: int
    label: str
    text: str
    exit_code: int
    #: as Loaded has it
    places: str

    @classmethod
    def of(cls, summary: Summary, job: Labelled) -> Ended:
        """Describe a run that came to its end."""
        fact = "complete" if summary.exit_code == 0 else "not complete"
        text = f"{fact}, {_amount(summary)}"
        return cls(job.number, job.label, text, summary.exit_code, job.places)

    @classmethod
    def by(cls, error: Exception, job: Labelled) -> Ended:
        """Describe a run that could not go on."""
        say_traceback(error)
        if isinstance(error, AsyncReportError):
            return cls(job.number, job.label, f"error: {error}", error.exit_code, job.places)
        text, exit_code = unexpected_error(error)
        return cls(job.number, job.label, f"error: {text}", exit_code, job.places)


def _amount(summary: Summary) -> str:
    """Count the records in the files; of a run without files, those that were fetched."""
    if not summary.outputs:
        return f"{counted(summary.records_fetched, 'record')} fetched"
    return counted(sum(summary.records.values()), "record")


def longest_first(files: Sequence[Loaded], *, now: int) -> list[Labelled]:
    """Name the jobs in messages, and put them in the order in which they begin.

    The longest first: if it began last, all others would wait for it in the end.
    """
    return sorted(_labelled(files), key=partial(_expected_work, now), reverse=True)


def _labelled(files: Sequence[Loaded]) -> list[Labelled]:
    """Name the jobs in messages: by their names, or by their files if two names are equal."""
    names = Counter(each.name for each in files)
    found = []
    for number, each in enumerate(files):
        label = each.name if names[each.name] == 1 else each.place
        found.append(Labelled(number, label, each.path, each.job, each.places))
    return found


def _expected_work(now: int, labelled: Labelled) -> float:
    """Give the work of a connection that runs apart; other jobs stay as the command has them."""
    job = labelled.job
    if isinstance(job, AsyncReportError) or job.within is None:
        return 0
    return expected_work(job, now=now)


#: run a job to its end; called for all jobs at once, in the order in which they shall begin
RunOne = Callable[[Labelled, Job], Awaitable[Summary]]


async def run_all(jobs: Sequence[Labelled], run_one: RunOne) -> list[Ended]:
    """Run all jobs; one that fails does not stop the others."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_run(labelled, run_one)) for labelled in jobs]
    return [task.result() for task in tasks]


async def _run(labelled: Labelled, run_one: RunOne) -> Ended:
    """Run a job, and say how it ended."""
    if isinstance(labelled.job, AsyncReportError):
        return Ended.by(labelled.job, labelled)
    try:
        return Ended.of(await run_one(labelled, labelled.job), labelled)
    # Also a fault of ours: the other jobs of the night must not end because of it.
    except Exception as error:  # noqa: BLE001 - reported with the exit code of its own
        return Ended.by(error, labelled)


def show_summary(summary: Summary, job: Job) -> None:
    """Print the summary of a job."""
    # Hundreds of connections: only those that need attention, each in more than one line.
    show = say_detail if job.within and summary.exit_code == 0 else say
    for line in summary.lines(lines_shown()):
        show(line)


def say_empty_share() -> None:
    """Say why a command has nothing to run."""
    say("this share has no connection: there are fewer connections than shares")


def show_ends(ended: Sequence[Ended]) -> int:
    """Print a line for each job, and give the worst exit code."""
    _show_places(ended)
    # What needs attention is at the end, where a person looks first.
    for each in sorted(ended, key=lambda each: (each.exit_code, each.number)):
        say(f"{each.label}: exit code {each.exit_code}: {each.text}")
    return max(each.exit_code for each in ended)


def _show_places(ended: Sequence[Ended]) -> None:
    """Say once for each job where its files are: a complete connection has no other lines."""
    for places in dict.fromkeys(each.places for each in ended if each.exit_code == 0):
        if places:
            say(places)
