"""The command line: commands, messages, exit codes. Owns the process's end."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from asyncreport import __version__
from asyncreport.core.errors import AsyncReportError, ConfigError, StoreError
from asyncreport.core.text import printable
from asyncreport.terminal.signals import Stopped, run_until_signal
from asyncreport.terminal.stderr import LogHandler, say
from asyncreport.terminal.stdout import show, writing

if TYPE_CHECKING:
    from asyncreport.core.job import Job

F = TypeVar("F", bound=Callable[..., Any])

_LOG = logging.getLogger("asyncreport")

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def main() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        code = cli.main(standalone_mode=False) or 0
    except click.exceptions.Exit as end:
        code = end.exit_code
    except click.exceptions.Abort:
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except Stopped as stop:
        say(f"stopped by {signal.Signals(stop.number).name}")
        code = 128 + stop.number
    except AsyncReportError as error:
        _trace(error)
        say(f"error: {error}")
        code = error.exit_code
    except OSError as error:
        _trace(error)
        place = error.filename or "the system"
        reason = error.strerror or error
        say(f"error: {place}: {reason}; run again with -v to see the traceback")
        code = 5
    sys.exit(code)


def _trace(error: Exception) -> None:
    """Write an error's traceback if -v was given."""
    if _LOG.isEnabledFor(logging.INFO):
        for line in "".join(traceback.format_exception(error)).splitlines():
            say(line)


def _show_log(_: click.Context, __: click.Parameter, verbose: bool) -> None:
    """Write log records to stderr. Click calls this before it reads the other options."""
    if verbose:
        logging.basicConfig(handlers=[LogHandler()], format="%(message)s")
        _LOG.setLevel(logging.INFO)


_verbose = click.option(
    "-v",
    "--verbose",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_log,
    help="Show each retry, and an error's traceback.",
)


def _job_arguments(command: F) -> F:
    """Give a command the arguments that all commands on a job share."""
    command = click.argument("job", metavar="JOB", type=click.Path(path_type=Path))(
        _verbose(command)
    )
    return click.option(
        "--set",
        "overrides",
        metavar="KEY=VALUE",
        multiple=True,
        help="Override a key of the job file: --set range.end=today.",
    )(command)


def _load(path: Path, overrides: tuple[str, ...]) -> tuple[Job, int]:
    """Read a job file with the environment, `.env` and the clock; give the job and the run's start."""
    from asyncreport.config import load_job, read_environ
    from asyncreport.export.run import clock

    now = clock()
    return load_job(
        path, environ=read_environ(Path(), os.environ), overrides=overrides, now=now
    ), now


class _Commands(click.Group):
    """The commands, whose reader may leave before the end."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; end as what SIGPIPE kills does where nobody reads on: click would end with 1, which means something else."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            if sys.stdout is not None:
                with Path(os.devnull).open(
                    "wb"
                ) as nowhere:  # for what the interpreter still flushes at its end
                    os.dup2(nowhere.fileno(), sys.stdout.fileno())
            raise click.exceptions.Exit(128 + signal.SIGPIPE) from error


@click.group(
    cls=_Commands, context_settings=_CONTEXT, epilog="Example: asyncreport run configs/demo.yaml"
)
@click.version_option(__version__, prog_name="asyncreport")
def cli() -> None:
    """Export agent handle time from Genesys Cloud: one job file in, one exact JSONL file out."""


@cli.command(
    epilog="Example: asyncreport run configs/demo.yaml --set output.path=exports/mine.jsonl"
)
@_job_arguments
@click.option(
    "--allow-partial",
    is_flag=True,
    help="Write the output though chunks are missing; the summary lists them.",
)
@click.option("--refresh-names", is_flag=True, help="Ask for every user's name again.")
@click.option("--strict", is_flag=True, help="Send no query where a team cannot be looked up.")
@click.option(
    "--refresh",
    metavar="START/END",
    help="Fetch an interval again: 2024-01-01/2024-01-08, yesterday/today.",
)
def run(job: Path, overrides: tuple[str, ...], refresh: str | None, **choices: bool) -> int:
    """Fetch what is missing and write the output files."""
    from asyncreport.config import refresh_interval
    from asyncreport.export.run import Choices, run_job
    from asyncreport.terminal.progress import Screen

    loaded, now = _load(job, overrides)
    screen = Screen()
    interval = None if refresh is None else refresh_interval(refresh, loaded, now)
    try:
        summary = run_until_signal(
            run_job(
                loaded,
                now=now,
                say=say,
                watch=screen.watching,
                choices=Choices(**choices, refresh=interval),
            ),
            screen.stopping,
        )
    except Stopped:
        say("finished chunks are kept; run again to continue")
        raise
    for line in summary.lines():
        say(line)
    return 0 if summary.complete else 1


@cli.command(epilog="Example: asyncreport plan configs/demo.yaml")
@_job_arguments
def plan(job: Path, overrides: tuple[str, ...]) -> None:
    """Show what a run would fetch, and what stands already."""
    from asyncreport.commands.plan import forecast

    loaded, now = _load(job, overrides)
    for line in run_until_signal(forecast(loaded, now=now)):
        show(printable(line))


@cli.command(epilog="Example: asyncreport check configs/demo.yaml")
@_job_arguments
def check(job: Path, overrides: tuple[str, ...]) -> int:
    """Try credentials, permissions, hosts, limits, teams: one OK, WARN or FAIL line each."""
    from asyncreport.commands.check import check as try_connections

    loaded, now = _load(job, overrides)

    async def worst_of() -> int:
        worst = 0
        async for line in try_connections(loaded, now=now):
            show(printable(str(line)))
            worst = max(worst, line.exit_code)
        return worst

    return run_until_signal(worst_of())


@cli.command(
    epilog="Example: asyncreport verify configs/demo.yaml --set output.path=exports/mine.jsonl"
)
@_job_arguments
def verify(job: Path, overrides: tuple[str, ...]) -> int:
    """Prove that an export is complete and right: parts, output files, and the server's own totals; change nothing."""
    from asyncreport.export.verify import verify as prove

    loaded, now = _load(job, overrides)

    async def worst_of() -> int:
        worst = 0
        async for finding in prove(loaded, now=now):
            show(str(finding))
            worst = max(worst, finding.exit_code)
        return worst

    return run_until_signal(worst_of())


@cli.command(epilog="Example: asyncreport status configs/demo.yaml")
@_job_arguments
def status(job: Path, overrides: tuple[str, ...]) -> None:
    """Show what is on disk, what is missing, and whether a run is under way; send no request."""
    from asyncreport.commands.status import status as look

    loaded, now = _load(job, overrides)
    for line in look(loaded, now=now):
        show(printable(line))


@cli.command(epilog="Example: asyncreport query --emulator --start 2024-01-01 --end 2024-01-02")
@_verbose
@click.option(
    "--start",
    default="",
    metavar="WHEN",
    help="The first instant: 2024-01-01, yesterday. [env: QUERY_START_DATE]",
)
@click.option(
    "--end",
    default="",
    metavar="WHEN",
    help="The first instant that is left out. [env: QUERY_END_DATE]",
)
@click.option(
    "--granularity",
    default="PT1H",
    show_default=True,
    metavar="LENGTH",
    help="Of a bucket: PT15M to P1M, or none.",
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
    help="The dialect.",
)
@click.option(
    "--emulator",
    is_flag=True,
    help="Ask an invented organisation, and everyone in it unless users or teams are named.",
)
def query(**options: Any) -> None:
    """Show handled interactions and AHT at once: a table on a terminal, JSON lines in a pipe.

    GENESYS_CLIENT_ID, GENESYS_CLIENT_SECRET and GENESYS_ENV (the region) say whom to ask; .env is read as well.
    """
    from tempfile import TemporaryDirectory

    from asyncreport.commands.query import QueryOptions, hints, job_of, report
    from asyncreport.config import read_environ
    from asyncreport.export.run import clock
    from asyncreport.terminal.progress import Screen

    if sys.stdout is None:
        raise StoreError(
            "standard output is closed; give the records a place: a terminal, a pipe or a file"
        )
    now, screen = clock(), Screen()
    with TemporaryDirectory(prefix="asyncreport-") as folder:
        job = job_of(
            QueryOptions(**options), Path(folder), environ=read_environ(Path(), os.environ), now=now
        )
        found = run_until_signal(
            report(job, now=now, say=say, watch=screen.watching), screen.stopping
        )
    if not found.records:
        for line in hints(job, found.sent, now=now):
            say(line)
    elif sys.stdout.isatty():
        with writing():
            _draw(job, found.records)
    else:
        # sys.stdout may be unbuffered, and would then pass over the rest of a write that was cut short.
        with writing(), open(sys.stdout.fileno(), "wb", closefd=False) as out:
            out.write(found.records)


def _draw(job: Job, records: bytes) -> None:
    from rich.console import Console

    from asyncreport.terminal.table import read, table, total

    rows = read(records)
    console = Console(emoji=False)
    zone, routing = job.query.grid.zone, job.query.occupancy
    console.print(table(rows, zone=zone, teams=len(job.teams) > 1, routing=routing))
    console.print(total(rows, routing=routing), markup=False, highlight=False)


@cli.command(epilog="Example: asyncreport emulate --port 8080 --agents 200")
@_verbose
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="The port on 127.0.0.1; 0 is any free one.",
)
@click.option(
    "--agents",
    type=click.IntRange(1, 10_000),
    default=40,
    show_default=True,
    help="How many users the organisation has.",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Another seed, another organisation."
)
@click.option(
    "--requests-per-minute",
    type=click.IntRange(0),
    default=300,
    show_default=True,
    help="The limit of one token; 0 is none.",
)
@click.option(
    "--latency",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    help="Seconds before each answer.",
)
def emulate(port: int, agents: int, seed: int, requests_per_minute: int, latency: float) -> None:
    """Serve an invented Genesys Cloud on loopback; a JSON line on stdout tells its url, client_id and client_secret."""
    from asyncreport import emulator

    def up(server: emulator.Emulator) -> None:
        show(
            json.dumps(
                {
                    "url": server.url,
                    "client_id": server.client_id,
                    "client_secret": server.client_secret,
                }
            )
        )

    options = emulator.Options(requests_per_minute=requests_per_minute, latency=latency)
    try:
        run_until_signal(
            emulator.serve(emulator.World(agents=agents, seed=seed), options, port=port, up=up)
        )
    except Stopped:
        return  # that is how it ends
    except OSError as error:
        raise ConfigError(
            f"--port: {port} cannot be served on 127.0.0.1 ({error.strerror}); give another, or 0 for any free one"
        ) from error


@cli.command(epilog="Example: asyncreport schema > job.schema.json")
def schema() -> None:
    """Print the JSON Schema of a job file, for editors."""
    from asyncreport.config import job_schema

    show(json.dumps(job_schema(), indent=2))
