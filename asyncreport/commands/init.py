"""Ask what somebody wants to export, and write a job file."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from asyncreport.api.listings import Entity
from asyncreport.commands.init_access import Variables, known_client
from asyncreport.commands.init_files import check_new, check_writable
from asyncreport.commands.init_interview import ClientResult, Interview
from asyncreport.commands.init_options import InitOptions
from asyncreport.commands.init_questions import Question
from asyncreport.commands.init_result import InitResult
from asyncreport.commands.init_teams import KINDS, Candidate, Kind
from asyncreport.commands.list import list_kinds
from asyncreport.config import read_environ
from asyncreport.config.zones import machine_zone
from asyncreport.core.errors import AsyncReportError, ConfigError
from asyncreport.core.finding import Finding
from asyncreport.core.job import Job
from asyncreport.export.check import check_clients, check_teams
from asyncreport.export.run import clock
from asyncreport.terminal.progress import Screen
from asyncreport.terminal.questions import can_ask, read_line, read_secret
from asyncreport.terminal.signals import Stopped, run_until_signal, sigterm_raises
from asyncreport.terminal.stderr import say
from asyncreport.terminal.stdout import show, show_finding, show_lines


def execute(options: InitOptions, environ: Mapping[str, str], env_file: Path) -> None:
    """Hold the interview, then write `.env` and the job file; say what to do next.

    `environ` is that of the process. Raise ConfigError if the job file exists, StoreError if a file
    cannot be written, and what the interview raises.
    """
    variables = Variables(environ, read_environ(Path(), {}, env_file))
    _check_files(options, variables, env_file)
    now = clock()
    with _end_is_explained(), sigterm_raises():
        draft, client = _interview(options, variables, now=now).hold()
    result = InitResult(options.job, env_file, draft, client, variables)
    result.write(now)
    result.say_next_steps()


def _check_files(options: InitOptions, variables: Variables, env_file: Path) -> None:
    """Check, before the first question, that the files can be written at the end."""
    check_new(options.job)
    check_writable(options.job)
    if not all(known_client("", "", variables)):
        check_writable(env_file)


def _interview(options: InitOptions, variables: Variables, *, now: int) -> Interview:
    """Prepare the interview, on the terminal if there is one."""
    return Interview(
        options=options,
        variables=variables,
        now=now,
        zone=machine_zone(variables.process),
        person=_Terminal() if can_ask() else None,
        exists=os.path.lexists,
        organisation=_Server(now),
    )


@contextmanager
def _end_is_explained() -> Iterator[None]:
    """Say that nothing was written if a person stops the interview."""
    try:
        yield
    except KeyboardInterrupt:
        show("")
        say("nothing was written")
        raise Stopped(signal.SIGINT) from None
    except Stopped:
        show("")
        say("nothing was written")
        raise
    except EOFError:
        show("")
        raise ConfigError(
            "asyncreport init: the input ended before the last question; nothing was written"
        ) from None


class _Terminal:
    """The person at the terminal."""

    def ask(self, question: Question) -> str:
        """Ask one question."""
        default = f" [{question.default}]" if question.default else ""
        prompt = f"{question.text}{default}: "
        return read_secret(prompt) if question.hidden else read_line(prompt)

    def say(self, lines: Sequence[str]) -> None:
        """Show lines."""
        show_lines(lines)


@dataclass(frozen=True, slots=True)
class _Server:
    """The organisation behind the answers."""

    #: an instant
    now: int

    def check_client(self, job: Job) -> ClientResult:
        """Check the client and show each finding."""
        screen = Screen()
        check = check_clients(
            job.impatient, now=self.now, report=show_finding, watch=screen.watching
        )
        found = run_until_signal(check, screen.stopping)
        if not found.works:
            return ClientResult(found.findings.exit_code)
        if found.findings.failed:
            say("warning: a run fails until that is fixed; the job file can be written now")
        return ClientResult(0, found.allowed)

    def check_teams(self, job: Job) -> int:
        """Look up the teams and show each finding; 0 if all exist, else an exit code."""
        screen = Screen()
        check = check_teams(job.impatient, report=show_finding, watch=screen.watching)
        return run_until_signal(check, screen.stopping).exit_code

    def candidates(self, job: Job) -> Iterable[Candidate]:
        """List the directory; show why a kind cannot be listed."""
        screen = Screen()
        plurals = {kind: f"{kind}s" for kind in KINDS}
        listing = list_kinds(job.connections[0], list(plurals.values()), watch=screen.watching)
        listed = run_until_signal(listing, screen.stopping)
        for kind, plural in plurals.items():
            found = listed[plural]
            if isinstance(found, AsyncReportError):
                show_finding(Finding("WARN", f"{plural} cannot be listed: {found}"))
            else:
                yield from (_candidate(kind, each) for each in found)


def _candidate(kind: Kind, entity: Entity) -> Candidate:
    """Make a candidate of an entity; one without a name is known by its id."""
    return Candidate(kind, entity.id, entity.name or entity.id, entity.members)
