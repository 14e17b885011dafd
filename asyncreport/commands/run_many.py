"""Run several jobs at the same time: a night's batch.

A job with `{connection}` in its paths is a batch too: one job for each connection. Jobs with the
same OAuth client share its token and its rate budget.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from asyncreport.commands.batch import (
    Ended,
    Labelled,
    Loaded,
    longest_first,
    run_all,
    show_ends,
    show_places,
    show_summary,
)
from asyncreport.commands.report_page import page_maker
from asyncreport.config import refresh_interval
from asyncreport.core.job import Job
from asyncreport.export.run import run_job
from asyncreport.export.run_context import Choices
from asyncreport.export.summary import Summary
from asyncreport.net import SharedClients
from asyncreport.terminal.progress import Screen, say_stopping
from asyncreport.terminal.signals import Stopped, run_until_signal
from asyncreport.terminal.stderr import say


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
    try:
        ended = run_until_signal(batch.run(longest_first(files, now=now)), say_stopping)
    except Stopped:
        say("finished chunks are kept; run again to continue")
        raise
    show_places(ended)
    return show_ends(ended)


@dataclass(frozen=True, slots=True)
class _Batch:
    """The jobs of one command, and what the person chose for all of them."""

    #: an instant
    now: int
    #: jobs that run at the same time
    at_once: int
    refresh: str | None
    choices: dict[str, bool]

    async def run(self, jobs: Sequence[Labelled]) -> list[Ended]:
        """Run the jobs, a few at a time."""
        places = asyncio.Semaphore(self.at_once)
        async with SharedClients() as shared:
            return await run_all(jobs, partial(self._run_in_turn, places, shared))

    async def _run_in_turn(
        self, places: asyncio.Semaphore, shared: SharedClients, labelled: Labelled, job: Job
    ) -> Summary:
        """Wait for a place, then run a job and print its summary."""
        async with places:
            summary = await self._run(labelled.label, job, shared)
        show_summary(summary, job)
        return summary

    async def _run(self, label: str, job: Job, shared: SharedClients) -> Summary:
        """Run a job, with its label in front of its lines."""
        refresh = refresh_interval(self.refresh, job, self.now)
        return await run_job(
            job,
            now=self.now,
            say=partial(_say_for, label),
            watch=Screen(label=label).watching,
            choices=Choices(refresh=refresh, **self.choices),
            shared=shared,
            make_page=page_maker("asyncreport run"),
        )


def _say_for(label: str, text: str) -> None:
    """Print a line about one of the jobs."""
    say(f"{label}: {text}")
