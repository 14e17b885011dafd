"""Show what a job has on disk and whether a run is in progress."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from asyncreport.commands.labels import Label, no_label
from asyncreport.core.apart import named
from asyncreport.core.job import Job
from asyncreport.core.text import age, counted, describe_users, first_lines
from asyncreport.core.timeline import iso, parse_iso
from asyncreport.export.last_summary import LastSummary
from asyncreport.export.queries_on_disk import QueryStatus
from asyncreport.export.status import (
    ConnectionStatus,
    FileStatus,
    Status,
    UncoveredChunk,
    read_status,
)
from asyncreport.terminal.stderr import lines_shown
from asyncreport.terminal.stdout import show_json, show_lines


def execute(job: Job, *, now: int, as_json: bool = False) -> None:
    """Print the status of a job."""
    status = read_status(job, now=now)
    if as_json:
        show_json(status, job)
    else:
        show_lines(status_lines(status, most=lines_shown(), label=partial(named, job)))


def status_lines(status: Status, *, most: int, label: Label = no_label) -> Iterator[str]:
    """Describe a status for people; of long lists at most so many lines.

    `label` puts the name of a connection in front of a line.
    """
    if status.running is not None:
        yield (
            f"{status.job}: a run is in progress, {status.state_folder} is in use {status.running}"
        )
    if status.fetched:
        yield from _after_first_run(status, most, label)
    else:
        yield f"{status.job}: nothing fetched yet; `asyncreport run` fetches {status.range}"


def _after_first_run(status: Status, most: int, label: Label) -> Iterator[str]:
    """Describe a state folder with a manifest."""
    if status.running is None:
        yield f"{status.job}: no run is in progress"
    yield from _on_disk(status, most, label)
    yield from _last_run(status)
    if status.unfinished_run_saved is not None:
        yield f"a later run did not finish; it last saved at {status.unfinished_run_saved}"


def _on_disk(status: Status, most: int, label: Label) -> Iterator[str]:
    """Describe parts, teams, output files and changes."""
    for connection in status.connections:
        yield label(connection.name, _parts(connection))
        yield from _connection(status, connection, most)
    yield from _teams(status)
    files = [f"{file.path}: {_describe_file(file)}" for file in status.files]
    yield from first_lines(files, "file", limit=most)
    yield from status.unsettled
    for path, values in status.changed_values.items():
        yield f"{path}: {counted(values, 'changed value')}"


def _connection(status: Status, connection: ConnectionStatus, most: int) -> Iterator[str]:
    """Describe what is missing, then when the parts were fetched."""
    if connection.missing:
        yield from _missing(connection.missing, most)
    elif connection.users != ():
        yield f"  covers {status.range}, {describe_users(connection.users)}"
    if connection.fetched_first and connection.fetched_last:
        now = parse_iso(status.read_at)
        yield f"  {_fetch_times(connection.fetched_first, connection.fetched_last, now)}"
    yield from _queries(connection.queries, most)


def _parts(connection: ConnectionStatus) -> str:
    """Describe the parts, and how many of them the next run fetches again."""
    text = _describe_parts(connection)
    if connection.stale:
        text += f"; the next run fetches {connection.stale:,} of them again"
    return text


def _queries(queries: Sequence[QueryStatus], most: int) -> Iterator[str]:
    """Compare the queries, unless the job asks all of them: then the totals say the same."""
    if all(query.asked for query in queries):
        return
    for line in first_lines([_query(query) for query in queries], limit=most):
        yield f"  {line}"


def _query(query: QueryStatus) -> str:
    """Describe the parts of a query."""
    text = f"query {query.fingerprint[:8]}: {_describe_parts(query)}"
    if query.asked:
        return f"{text}, asked by the job"
    return f"{text}, no longer asked by the job"


def _describe_parts(found: ConnectionStatus | QueryStatus) -> str:
    """Count parts, with their records and bytes."""
    parts = counted(found.parts, "part")
    records = counted(found.records, "record")
    return f"{parts}, {records}, {found.bytes:,} bytes"


def _missing(chunks: tuple[UncoveredChunk, ...], most: int) -> Iterator[str]:
    """List the first chunks that no part covers."""
    lines = [f"missing: {chunk.interval}, {describe_users(chunk.users)}" for chunk in chunks]
    for line in first_lines(lines, "chunk", limit=most):
        yield f"  {line}"


def _fetch_times(first: str, last: str, now: int) -> str:
    """Say when parts were fetched: the first and the last time, if they differ."""
    if first == last:
        return f"fetched {_with_age(first, now)}"
    return f"fetched from {_with_age(first, now)} to {_with_age(last, now)}"


def _with_age(instant: str, now: int) -> str:
    """Write an instant, and how long before `now` it was."""
    return f"{instant} ({age(parse_iso(instant), now=now)})"


def _teams(status: Status) -> Iterator[str]:
    """List the teams whose present members are not known."""
    for name in status.unknown_teams:
        yield f"team {name!r}: its members are not known: no run has looked it up successfully"
    for team in status.teams_not_looked_up:
        yield (
            f"team {team.team!r} ({team.selector}): the last run could not look it up; "
            "its members are those of the run before"
        )


def _describe_file(file: FileStatus) -> str:
    """Describe an output file."""
    match file.state:
        case "not_written":
            return "not written yet"
        case "deleted":
            return "deleted since it was written"
        case "foreign":
            return "not written by this job"
        case "changed":
            return f"{_content(file)}, changed since then"
        case "outdated":
            remark = "made from other data or for another query: the next run updates it"
            return f"{_content(file)}, {remark}"
        case "current":
            return _content(file)


def _content(file: FileStatus) -> str:
    """Describe a file as it was written, with its size today."""
    text = f"{file.bytes:,} bytes, written {file.written}"
    if file.records is not None:
        text = f"{counted(file.records, 'record')}, {text}"
    if file.partial:
        text += " (partial)"
    return text


def _last_run(status: Status) -> Iterator[str]:
    """Describe the last run that finished."""
    summary, running = status.last_run, status.running is not None
    if summary is None:
        step = "run again"
        if any(connection.parts for connection in status.connections):
            step += ": existing parts are reused"
        yield "no run has finished yet" + _advice(step, running)
        return
    yield f"last finished run: started {summary.started}, ended {_end(summary)}"
    yield f"  {_outcome(summary, running=running)}"
    if summary.has_outputs:
        yield from _records(summary)


def _end(summary: LastSummary) -> str:
    """Give the instant at which a run ended."""
    started = parse_iso(summary.started)
    return iso(started + round(summary.elapsed_sec * 1000))


def _outcome(summary: LastSummary, *, running: bool) -> str:
    """Say whether a run fetched everything, and what to do if not."""
    if summary.complete:
        return "complete"
    return _gaps(summary) + _advice("run again to fetch the rest", running)


def _advice(text: str, running: bool) -> str:
    """Advise another run, unless one is in progress."""
    if running:
        return ""
    return f"; {text}"


def _records(summary: LastSummary) -> Iterator[str]:
    """Count the records of each team."""
    for team, count in summary.records.items():
        yield f"  {team}: {counted(count, 'record')}"


def _gaps(summary: LastSummary) -> str:
    """Count what the last run could not fetch."""
    missing = [
        counted(number, noun)
        for number, noun in ((summary.missing, "chunk"), (len(summary.unknown_teams), "team"))
        if number
    ]
    facts = []
    if missing:
        facts.append(f"{' and '.join(missing)} missing")
    if summary.stale:
        facts.append(f"{counted(summary.stale, 'chunk')} not fetched again")
    return ", ".join(facts)
