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
    say_empty_share,
    show_ends,
    show_summary,
)
from asyncreport.commands.report_page import page_maker
from asyncreport.commands.resumable import run_resumable
from asyncreport.commands.run_options import RunOptions
from asyncreport.core.job import Job
from asyncreport.export.run import run_job
from asyncreport.export.summary import Summary
from asyncreport.net import SharedClients
from asyncreport.terminal.progress import Screen, say_stopping
from asyncreport.terminal.stderr import say


def execute(files: Sequence[Loaded], options: RunOptions, *, at_once: int) -> int:
    """Run all jobs and print the summary of each, then a line for each; give the worst exit code.

    So many jobs run `at_once`.
    """
    if not files:
        say_empty_share()
        return 0
    jobs = longest_first(files, now=options.now)
    return show_ends(run_resumable(_run_all(jobs, options, at_once), say_stopping))


async def _run_all(jobs: Sequence[Labelled], options: RunOptions, at_once: int) -> list[Ended]:
    """Run the jobs, a few at a time."""
    async with SharedClients() as shared:
        batch = _Batch(options, shared, asyncio.Semaphore(at_once))
        return await run_all(jobs, batch.run_in_turn)


@dataclass(frozen=True, slots=True)
class _Batch:
    """What the jobs of one command share."""

    options: RunOptions
    clients: SharedClients
    #: as many as jobs may run at the same time
    places: asyncio.Semaphore

    async def run_in_turn(self, labelled: Labelled, job: Job) -> Summary:
        """Wait for a place, then run a job and print its summary."""
        async with self.places:
            summary = await self._run(labelled.label, job)
        show_summary(summary, job)
        return summary

    async def _run(self, label: str, job: Job) -> Summary:
        """Run a job, with its label in front of its lines."""
        return await run_job(
            job,
            now=self.options.now,
            say=partial(_say_for, label),
            watch=Screen(label=label).watching,
            choices=self.options.choices(job),
            shared=self.clients,
            make_page=page_maker("asyncreport run"),
        )


def _say_for(label: str, text: str) -> None:
    """Print a line about one of the jobs."""
    say(f"{label}: {text}")
