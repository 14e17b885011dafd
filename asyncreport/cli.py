"""The command line: options, messages of errors, exit codes. Owns the end of the process.

Each command imports its module when it runs, so that `--help` loads nothing else.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from asyncio import CancelledError
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from asyncreport import __version__
from asyncreport.commands.shared_options import (
    ENV_FILE,
    connection_options,
    gateway_options,
    job_arguments,
    json_result,
    message_options,
    overridable,
    partial_option,
    place_options,
    read_cluster,
    read_share,
)
from asyncreport.core.errors import AsyncReportError
from asyncreport.terminal.discard import discard
from asyncreport.terminal.error_texts import unexpected_error, usage_error
from asyncreport.terminal.signals import Stopped
from asyncreport.terminal.stderr import (
    flush,
    lost_stderr_ignored,
    say,
    say_traceback,
    show_messages,
    show_times_in,
)

if TYPE_CHECKING:
    from asyncreport.commands.batch import Loaded
    from asyncreport.core.job import Job

F = TypeVar("F", bound=Callable[..., Any])

#: as if signal 13, SIGPIPE, had ended the process; not every system has that signal
_CLOSED_PIPE = 128 + 13

#: new objects after which Python looks for cycles. Responses become many objects, and hardly any of
#: them is in a cycle: with the default of 700 that took a twelfth of a run's CPU time
_OBJECTS = 10_000

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def main() -> None:
    """Run the command line and end the process with its exit code."""
    # Only here: the process of a program that uses the Python API is its own.
    gc.set_threshold(_OBJECTS)
    show_messages()
    exit_code = _run_command()
    flush()
    sys.exit(exit_code)


def _run_command() -> int:
    """Run a command; report what stops it, and give the exit code."""
    try:
        return cli.main(standalone_mode=False) or 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.exceptions.Abort:
        return 128 + signal.SIGINT
    except Stopped as stop:
        say(f"stopped by {signal.Signals(stop.number).name}")
        return 128 + stop.number
    except click.exceptions.NoArgsIsHelpError as help_text:
        with lost_stderr_ignored():
            help_text.show()
        return help_text.exit_code
    except click.ClickException as error:
        return _report_usage(error)
    except AsyncReportError as error:
        _say_error(error, *error.texts)
        return error.exit_code
    # A coroutine that is cancelled without a signal is an error too, and its class is not an
    # Exception.
    except (Exception, CancelledError) as error:  # noqa: BLE001 - the one place that catches all
        return _report(error)


def _report_usage(error: click.ClickException) -> int:
    """Report a wrong command line, and give the exit code."""
    # An option that does not exist ends the parser, perhaps before it comes to this one.
    if _asks_for_json(sys.argv):
        show_messages(form="json")
    _say_error(error, usage_error(error))
    return error.exit_code


def _asks_for_json(arguments: Sequence[str]) -> bool:
    """Tell whether arguments contain `--log-format json`."""
    return "--log-format=json" in arguments or ("--log-format", "json") in pairwise(arguments)


def _report(error: BaseException) -> int:
    """Report an error that is not one of ours, and give the exit code."""
    text, exit_code = unexpected_error(error)
    _say_error(error, text)
    return exit_code


def _say_error(error: BaseException, *texts: str) -> None:
    """Report an error, a line for each text, after its traceback if -v was given."""
    say_traceback(error)
    for text in texts:
        say(f"error: {text}")


def _env_file() -> Path:
    """Give the file of variables: `.env`, or that of `--env-file`."""
    chosen: Path = click.get_current_context().meta.get(ENV_FILE, Path(".env"))
    return chosen


def _environ() -> dict[str, str]:
    """Give the environment, with the variables of the file of variables."""
    from asyncreport.config import read_environ

    return read_environ(Path(), os.environ, _env_file())


def _load(path: Path, overrides: tuple[str, ...]) -> tuple[Job, int]:
    """Read a job file and `.env`; give the job and the current instant."""
    from asyncreport.config import load_job
    from asyncreport.export.run import clock

    now = clock()
    job = load_job(path, environ=_environ(), overrides=overrides, now=now)
    # Of several jobs that of the last one: each instant is written with its offset.
    show_times_in(job.query.grid.zone)
    return job, now


def _worst(job: Job, execute: Callable[[Job], int | None], *, as_json: bool = False) -> int:
    """Execute a command on each job that runs independently; give the worst exit code."""
    from asyncreport.commands.one_by_one import worst

    return worst(job, execute, as_json=as_json)


def _inspect(
    execute: Callable[..., int | None],
    path: Path,
    overrides: tuple[str, ...],
    *,
    as_json: bool,
) -> int:
    """Read a job file, and execute a command that shows something about its jobs."""
    job, now = _load(path, overrides)
    return _worst(job, partial(execute, now=now, as_json=as_json), as_json=as_json)


def _read_jobs(paths: Sequence[Path], overrides: tuple[str, ...]) -> tuple[list[Loaded], int]:
    """Read job files; of several, one that cannot be read must not stop the others."""
    from asyncreport.commands.batch import Loaded
    from asyncreport.commands.job_paths import check_paths
    from asyncreport.export.run import clock

    if len(paths) == 1:
        job, now = _load(paths[0], overrides)
        return [Loaded(paths[0], job)], now
    check_paths(paths)
    files: list[Loaded] = []
    for path in paths:
        try:
            files.append(Loaded(path, _load(path, overrides)[0]))
        except AsyncReportError as error:
            files.append(Loaded(path, error))
    return files, clock()


def _single_job(files: Sequence[Loaded]) -> Job | None:
    """Give the job if there is only one that was read, and it runs as a whole."""
    from asyncreport.core.apart import is_apart

    job = files[0].job
    if len(files) > 1 or isinstance(job, AsyncReportError) or is_apart(job):
        return None
    return job


def _apart(files: Sequence[Loaded], share: tuple[int, int] | None) -> list[Loaded]:
    """List the jobs of files that run independently; one that fails must not stop the others."""
    from asyncreport.commands.batch import Loaded

    found: list[Loaded] = []
    for file in files:
        try:
            found += file.apart(share)
        except AsyncReportError as error:
            found.append(Loaded(file.path, error))
    return found


@contextmanager
def _closed_pipe_ends_quietly() -> Iterator[None]:
    """End with 141, as if SIGPIPE had killed the process, if the reader of stdout closes the pipe.

    Click would end with 1, the exit code of an incomplete run.
    """
    try:
        yield
    except BrokenPipeError as error:
        discard(sys.stdout)
        raise click.exceptions.Exit(_CLOSED_PIPE) from error


class _Commands(click.Group):
    """The commands; they end quietly if the reader of stdout closes the pipe."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the options of the group; `--help` and `--version` are shown here."""
        with _closed_pipe_ends_quietly():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        with _closed_pipe_ends_quietly():
            return super().invoke(ctx)


@click.group(
    cls=_Commands, context_settings=_CONTEXT, epilog="Example: asyncreport run configs/demo.yaml"
)
@click.version_option(__version__, prog_name="asyncreport")
@place_options
def cli() -> None:
    """Export agent handle time from Genesys Cloud: one job file in, one exact JSONL file out."""


@cli.command(
    epilog="Example: asyncreport run configs/demo.yaml --set output.path=exports/mine.jsonl"
)
@click.argument("jobs", metavar="JOB...", nargs=-1, required=True, type=click.Path(path_type=Path))
@overridable
@place_options
@message_options
@partial_option
@click.option("--refresh-names", is_flag=True, help="Look up the name of every user again.")
@click.option("--strict", is_flag=True, help="Stop before any query if a team cannot be looked up.")
@click.option(
    "--max-connections",
    "at_once",
    metavar="N",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Connections that run at the same time, of several jobs or of one with {connection}.",
)
@click.option(
    "--connections",
    "share",
    metavar="I/N",
    callback=read_share,
    help="Run only every N-th connection, in the order of their names, from the I-th on: 3/16.",
)
@click.option(
    "--cluster",
    metavar="ADDRESS",
    callback=read_cluster,
    help="Run the connections on a Dask cluster, tcp://scheduler:8786, or in 4 processes, local:4.",
)
@click.option(
    "--refresh",
    metavar="START/END",
    help="Fetch an interval again: 2024-01-01/2024-01-08, yesterday/today.",
)
def run(
    jobs: tuple[Path, ...],
    overrides: tuple[str, ...],
    at_once: int,
    share: tuple[int, int] | None,
    cluster: str | None,
    **choices: Any,
) -> int:
    """Fetch the missing data and write the output files.

    Several jobs run at the same time, and so do the connections of a job with {connection} in its
    paths. Those with the same OAuth client share its rate limit.
    """
    from asyncreport.commands import run, run_many
    from asyncreport.commands.run_options import RunOptions

    files, now = _read_jobs(jobs, overrides)
    options = RunOptions(now=now, **choices)
    if cluster is not None:
        from asyncreport.cluster.run import ClusterOptions
        from asyncreport.cluster.run import execute as run_on_cluster

        where = ClusterOptions(
            address=cluster,
            at_once=at_once,
            share=share,
            overrides=overrides,
            environ=_environ(),
            env_file=_env_file(),
        )
        return run_on_cluster(files, where, options)
    single = _single_job(files)
    if single is not None and share is None:
        return run.execute(single, options)
    return run_many.execute(_apart(files, share), options, at_once=at_once)


@cli.command(epilog="Example: asyncreport merge configs/demo.yaml")
@job_arguments
@partial_option
def merge(job: Path, overrides: tuple[str, ...], allow_partial: bool) -> int:
    """Write the output files from what was fetched, for example by several machines.

    Sends requests only for teams and names.
    """
    from asyncreport.commands import merge

    loaded, now = _load(job, overrides)
    return merge.execute(loaded, now=now, allow_partial=allow_partial)


@cli.command(epilog="Example: asyncreport demo")
@place_options
@message_options
def demo() -> int:
    """Run the demo job against an emulated organisation.

    Needs no credentials and no job file. Writes exports/demo.jsonl in the current folder: a quarter
    of three teams.
    """
    from asyncreport.commands import demo

    with demo.demo_file() as path:
        loaded, now = _load(path, ())
    return demo.execute(loaded, now=now)


@cli.command(epilog="Example: asyncreport init job.yaml")
@click.argument("job", metavar="[JOB]", default="job.yaml", type=click.Path(path_type=Path))
@place_options
@message_options
@click.option("--region", default="", metavar="NAME", help="mypurecloud.ie, or eu-west-1.")
@gateway_options
@click.option(
    "--allow-http", is_flag=True, help="The gateway may have http URLs: nothing is encrypted."
)
@click.option("--client-id", default="", metavar="ID", help="The id of the OAuth client.")
@click.option(
    "--client-secret-file",
    "secret_file",
    metavar="PATH",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="A file that holds the secret of the client; - reads standard input.",
)
@click.option("--team", "teams", multiple=True, metavar="NAME-OR-ID", help="A Genesys team.")
@click.option("--group", "groups", multiple=True, metavar="NAME-OR-ID", help="A group.")
@click.option("--queue", "queues", multiple=True, metavar="NAME-OR-ID", help="A queue.")
@click.option("--user", "users", multiple=True, metavar="ID-OR-EMAIL", help="A user.")
@click.option("--everyone", is_flag=True, help="All users of the organisation.")
@click.option(
    "--start",
    default="",
    metavar="WHEN",
    help="Start of the range: 2024-01-01, last_month; default: today-P35D.",
)
@click.option(
    "--end", default="", metavar="WHEN", help="End of the range, not included; default: today."
)
@click.option(
    "--time-zone",
    default="",
    metavar="ZONE",
    help="An IANA name, such as Europe/Dublin; default: that of this machine.",
)
@click.option(
    "--granularity",
    default="",
    metavar="LENGTH",
    help="Length of a bucket: PT15M to P1M, or none; default: PT30M.",
)
@click.option(
    "--format",
    default="",
    metavar="NAME",
    help="csv (default), xlsx, parquet or jsonl: of exports/JOB.csv.",
)
@click.option("--output", default="", metavar="PATH", help="The output file, instead of --format.")
def init(secret_file: Path | None, **options: Any) -> None:
    """Ask what to export, and write a job file with comments.

    JOB is job.yaml by default. Tries the OAuth client at once, and adds its id and secret to
    `.env`. Overwrites nothing.
    """
    from asyncreport.commands import init
    from asyncreport.commands.init_files import read_secret_file
    from asyncreport.commands.init_options import InitOptions
    from asyncreport.core.secret import Secret

    secret = Secret(read_secret_file(secret_file) if secret_file else "")
    init.execute(InitOptions(client_secret=secret, **options), os.environ, _env_file())


@cli.command(epilog="Example: asyncreport plan configs/demo.yaml")
@job_arguments
@json_result
def plan(job: Path, overrides: tuple[str, ...], as_json: bool) -> int:
    """Show what a run would fetch, and what it would reuse."""
    from asyncreport.commands import plan

    return _inspect(plan.execute, job, overrides, as_json=as_json)


@cli.command(epilog="Example: asyncreport check configs/demo.yaml")
@job_arguments
@json_result
def check(job: Path, overrides: tuple[str, ...], as_json: bool) -> int:
    """Check folders, credentials, permissions, limits and teams.

    Prints a line for each of them: OK, WARN or FAIL.
    """
    from asyncreport.commands import check

    return _inspect(check.execute, job, overrides, as_json=as_json)


@cli.command(
    epilog="Example: asyncreport verify configs/demo.yaml --set output.path=exports/mine.jsonl"
)
@job_arguments
@json_result
def verify(job: Path, overrides: tuple[str, ...], as_json: bool) -> int:
    """Verify that an export is complete and correct; change nothing.

    Checks the parts, the output files, and that the totals are equal to the server's.
    """
    from asyncreport.commands import verify

    return _inspect(verify.execute, job, overrides, as_json=as_json)


@cli.command(epilog="Example: asyncreport status configs/demo.yaml")
@job_arguments
@json_result
def status(job: Path, overrides: tuple[str, ...], as_json: bool) -> int:
    """Show what is on disk and what is missing; send no request.

    Also shows whether a run is in progress.
    """
    from asyncreport.commands import status

    return _inspect(status.execute, job, overrides, as_json=as_json)


@cli.command(epilog="Example: asyncreport clean configs/demo.yaml --dry-run")
@job_arguments
@click.option(
    "--user",
    metavar="ID-NAME-OR-EMAIL",
    help="Erase one user from all that the job has stored, its output files too.",
)
@click.option(
    "--dry-run", is_flag=True, help="Show what would be deleted or erased; change nothing."
)
def clean(job: Path, overrides: tuple[str, ...], user: str | None, dry_run: bool) -> int:
    """Delete saved data that is not needed, or one user's data.

    Sends no request.
    """
    from asyncreport.commands import clean, erase

    loaded, now = _load(job, overrides)
    if user is not None:
        return erase.execute(loaded, user, now=now, dry_run=dry_run)
    return _worst(loaded, lambda each: clean.execute(each, now=now, dry_run=dry_run))


@cli.command(epilog="Example: asyncreport report configs/demo.yaml -o report.html --open")
@job_arguments
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The file to write; default: report.html.",
)
@click.option("--team", metavar="NAME", help="Make the page of one team.")
@click.option("--open", "open_page", is_flag=True, help="Show the page in a browser.")
def report(
    job: Path,
    overrides: tuple[str, ...],
    output: Path | None,
    team: str | None,
    open_page: bool,
) -> int:
    """Make an HTML page with charts and tables of an export.

    Sends no request.
    """
    from asyncreport.commands import report

    loaded, now = _load(job, overrides)
    options = report.ReportOptions(
        path=output or Path("report.html"),
        team=team,
        open_page=open_page,
        job_file=job.name,
    )
    report.check_path(loaded, options)
    return _worst(loaded, lambda each: report.execute(each, options, now=now))


@cli.command(epilog="Example: asyncreport query --emulator --start 2024-01-01 --end 2024-01-02")
@place_options
@message_options
@click.option(
    "--start",
    default="",
    metavar="WHEN",
    help="Start of the range: 2024-01-01, yesterday. [env: QUERY_START_DATE]",
)
@click.option(
    "--end",
    default="",
    metavar="WHEN",
    help="End of the range, not included. [env: QUERY_END_DATE]",
)
@click.option(
    "--granularity",
    default="PT1H",
    show_default=True,
    metavar="LENGTH",
    help="Length of a bucket: PT15M to P1M, or none.",
)
@click.option(
    "--time-zone",
    default="UTC",
    show_default=True,
    metavar="ZONE",
    help="An IANA name, such as Europe/Dublin.",
)
@click.option(
    "--user",
    "users",
    multiple=True,
    metavar="ID",
    help="A user's id; repeat it for several. [env: GENESYS_USER_ID]",
)
@click.option(
    "--team",
    "teams",
    multiple=True,
    metavar="NAME-OR-ID",
    help="A Genesys team, by id or exact name; repeat it for several.",
)
@click.option(
    "--occupancy",
    is_flag=True,
    help="Add the share of the time on queue that was spent interacting.",
)
@click.option(
    "--contract",
    type=click.Choice(["aggregates", "query-jobs", "entities"]),
    default="aggregates",
    show_default=True,
    help="The form of the requests.",
)
@click.option(
    "--emulator",
    is_flag=True,
    help="Query an emulated organisation: all its users, unless users or teams are given.",
)
@connection_options
def query(**options: Any) -> None:
    """Show handled interactions and average handle time (AHT).

    A table on a terminal, JSON lines in a pipe. GENESYS_CLIENT_ID, GENESYS_CLIENT_SECRET and
    GENESYS_ENV (the region) name the organisation; they may be in `.env`.
    """
    from asyncreport.commands import query
    from asyncreport.commands.query_options import QueryOptions

    query.execute(QueryOptions(**options), _environ())


@cli.command(name="list", epilog="Example: asyncreport list teams --emulator --search billing")
@click.argument(
    "kind",
    metavar="KIND",
    type=click.Choice(
        ["users", "teams", "groups", "queues", "divisions", "skills", "wrap-up-codes"]
    ),
)
@place_options
@message_options
@click.option("--search", default="", metavar="TEXT", help="Names that contain these words.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines on a terminal too.")
@click.option("--emulator", is_flag=True, help="List an emulated organisation.")
@connection_options
def list_(kind: str, search: str, as_json: bool, **connection: Any) -> None:
    """List ids, names and members: a table, or JSON lines in a pipe.

    KIND is users (without deleted ones), teams, groups, queues, divisions, skills or
    wrap-up-codes.
    """
    from asyncreport.commands import list as listing
    from asyncreport.commands.chosen_connection import ConnectionOptions

    options = ConnectionOptions(**connection)
    listing.execute(kind, options, _environ(), search=search, as_json=as_json)


@cli.command(epilog="Example: asyncreport emulate --port 8080 --agents 200")
@message_options
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="The port on 127.0.0.1; 0 takes a free one.",
)
@click.option(
    "--agents",
    type=click.IntRange(1, 10_000),
    default=40,
    show_default=True,
    help="How many users the organisation has.",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Each seed gives another organisation."
)
@click.option(
    "--requests-per-minute",
    type=click.IntRange(0),
    default=300,
    show_default=True,
    help="The rate limit of one token; 0 means no limit.",
)
@click.option(
    "--latency",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Seconds before each response.",
)
@click.option(
    "--deny",
    "denied",
    multiple=True,
    metavar="PERMISSION",
    help="Refuse requests that need this permission (403); repeat it for several.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="RULE",
    help='Change responses by a rule, as JSON: {"match": {"every": 3}, "do": {"status": 503}}.',
)
def emulate(**options: Any) -> None:
    """Serve an emulated Genesys Cloud on this machine.

    Prints a line of JSON with its url, client_id and client_secret. A connection for a job file,
    the teams, and how to stop it go to stderr.
    """
    from asyncreport.commands import emulate

    emulate.execute(**options)


@cli.command(epilog="Example: asyncreport schema > job.schema.json")
def schema() -> None:
    """Print the JSON Schema of a job file, for editors."""
    from asyncreport.commands import schema

    schema.execute()
