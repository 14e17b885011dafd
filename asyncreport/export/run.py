"""One export from the clock to the merge. Owns the order of the steps, and the clock."""

from __future__ import annotations

import time
from dataclasses import dataclass

from asyncreport.core.job import Job
from asyncreport.engine.activity import Activity, Watch, unwatched
from asyncreport.export.divisions import warn_of_hidden_divisions
from asyncreport.export.find_teams import find_teams
from asyncreport.export.lanes import Connections
from asyncreport.export.names import NameLookup
from asyncreport.export.output_paths import check_targets
from asyncreport.export.preflight import OutputOwners, query_warnings
from asyncreport.export.query_change import query_changes, save_query
from asyncreport.export.report_file import MakePage, with_report
from asyncreport.export.run_context import Choices, RunContext, Say, silent
from asyncreport.export.run_report import summarize
from asyncreport.export.run_steps import Steps
from asyncreport.export.storage import Files, writing
from asyncreport.export.summary import Summary
from asyncreport.export.targets import all_paths
from asyncreport.export.warning_list import WarningList
from asyncreport.export.zone_rules import zone_warnings
from asyncreport.net import Gates, SharedClients
from asyncreport.store.json_files import write_json
from asyncreport.store.lookups import Members
from asyncreport.store.state import State

_DEFAULTS = Choices()


def clock() -> int:
    """Read the wall clock, once per run: an instant."""
    return time.time_ns() // 1_000_000


async def run_job(
    job: Job,
    *,
    now: int,
    say: Say = silent,
    warn: Say | None = None,
    watch: Watch = unwatched,
    choices: Choices = _DEFAULTS,
    shared: SharedClients | None = None,
    make_page: MakePage | None = None,
) -> Summary:
    """Bring a job's output files up to date; `now` is the start of the run, an instant.

    `say` prints a line, `warn` a warning; without `warn`, `say` prints it as `warning: ...`.
    `shared` are clients that other jobs of this process use too; None if this is the only job.
    `make_page` makes the page of `output.report`; without it, no report is written.

    Chunks that failed and unknown teams are in the summary; the output files are not changed then,
    unless `choices.allow_partial`. Raise AuthError, RejectedError, StoreError or ConfigError if the
    run cannot go on.
    """
    activity = Activity(job.name)
    export = _Export(now, choices, shared, make_page)
    async with watch(activity), writing(job, activity, say) as files:
        return await export.run(files, activity, WarningList(say, warn))


@dataclass(frozen=True, slots=True)
class _Export:
    """One export; `run_job` describes the fields."""

    now: int
    choices: Choices
    shared: SharedClients | None
    make_page: MakePage | None

    async def run(self, files: Files, activity: Activity, warnings: WarningList) -> Summary:
        """Check the job, open what the run needs, do its steps and keep the summary."""
        started = time.monotonic()
        job = files.job
        _check(job, warnings)
        with State.of(job, files.remote) as state:
            _claim_outputs(files)
            _warn_of_zone_rules(job, state, warnings)
            async with self._connections(files, state, warnings) as connections:
                _show(activity, connections, state)
                context = RunContext(
                    job=job,
                    files=files,
                    state=state,
                    connections=connections,
                    names=NameLookup(state.folder, connections, warnings.warn, now=self.now),
                    now=self.now,
                    warnings=warnings,
                    choices=self.choices,
                    activity=activity,
                )
                summary = await _run(context, started)
            write_json(state.folder / "summary.json", summary)
            # Only now: whatever happens to the report, the summary says what was exported.
            return await with_report(context, summary, self.make_page)

    def _connections(self, files: Files, state: State, warnings: WarningList) -> Connections:
        """Make the connections of the job, none of them open yet."""
        return Connections(
            files.job.connections,
            files.job.limits,
            warnings.warn,
            gates=Gates(permit=files.check, room=state.wait_for_writer),
            shared=self.shared,
        )


def _warn_of_zone_rules(job: Job, state: State, warnings: WarningList) -> None:
    """Warn of parts that were fetched with other rules of the time zone."""
    for warning in zone_warnings(job, state.outdated_parts):
        warnings.warn(warning)


def _show(activity: Activity, connections: Connections, state: State) -> None:
    """Let a display see the requests, and the parts that wait for the disk."""
    activity.requests = connections.counts_by_name
    activity.saving = lambda: state.saving


async def _run(context: RunContext, started: float) -> Summary:
    """Find the teams, do the steps and describe them; `started` is a monotonic time."""
    context.activity.phase = "looking up teams"
    members = Members(context.state.folder)
    context, unknown_teams = await find_teams(context, members)
    steps = Steps(context, unknown_teams)
    files = await steps.bring_up_to_date()
    if steps.complete:
        save_query(context.job)
    # After the files are written: nothing waits for a server that does not know the call.
    await warn_of_hidden_divisions(context, fetched=steps.pull.progress.finished > 0)
    elapsed = time.monotonic() - started
    summary = summarize(steps, files, members, elapsed=elapsed)
    _remember(context.job, members, summary)
    return summary


def _claim_outputs(files: Files) -> None:
    """Claim the output files, and remove the temporary files of a killed run.

    With the lock held: a job that starts at the same time finds a claim that is in use.
    """
    owners = OutputOwners(files.job)
    files.claim_outputs(owners.claim)
    owners.clean_up()


def _check(job: Job, warnings: WarningList) -> None:
    """Check the output files before any work, and say what the person should know.

    Raise StoreError or ConfigError.
    """
    check_targets(all_paths(job))
    owners = OutputOwners(job)
    owners.check()
    for note in job.notes:
        warnings.say(note)
    for warning in query_warnings(job) + query_changes(job) + owners.warnings():
        warnings.warn(warning)


def _remember(job: Job, members: Members, summary: Summary) -> None:
    """Remember, after a run, the members that its summary reported."""
    if summary.outputs:
        # Only with output files: a change that no summary reported with them would be lost.
        members.save(job.teams, reported=True)
