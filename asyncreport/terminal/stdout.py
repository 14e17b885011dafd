"""Write the results of commands. Owns stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import msgspec

from asyncreport.core.errors import AsyncReportError, StoreError
from asyncreport.core.finding import Finding
from asyncreport.core.job import Job
from asyncreport.core.object_urls import as_objects
from asyncreport.terminal.colour import coloured
from asyncreport.terminal.discard import discard
from asyncreport.terminal.folding import folded
from asyncreport.terminal.stderr import for_people, lines_shown


@contextmanager
def writing() -> Iterator[None]:
    """Turn an OSError of standard output into a StoreError."""
    try:
        yield
    except BrokenPipeError:
        # The reader closed the pipe: that is not an error, and the command line ends quietly.
        raise
    except OSError as error:
        # What the stream still holds would fail again when the interpreter ends.
        discard(sys.stdout)
        message = (
            f"cannot write to standard output: {error.strerror}; "
            "free some space or redirect the output to another place"
        )
        raise StoreError(message) from error


def show(text: str) -> None:
    """Write a line to standard output; raise StoreError."""
    with writing():
        # The stream of this moment: while lines move on the terminal, it writes above them.
        if sys.stdout is not None:
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()


def show_finding(finding: Finding) -> None:
    """Write a finding; raise StoreError."""
    first, *details = map(_as_shown, finding.describe(lines_shown()).splitlines())
    show("\n".join([coloured(first, sys.stdout), *details]))


def show_json(value: object, job: Job | None) -> None:
    """Write a value as one JSON object; raise StoreError.

    The result of one of the connections of a job is one line, so that a script reads all of them
    line by line.
    """
    text = msgspec.json.encode(value)
    if job is None or job.within is None:
        text = msgspec.json.format(text)
    show(as_objects(text.decode()))


def show_error(error: AsyncReportError, job: Job | None = None) -> None:
    """Write an error in place of a result; `job` is that of one connection. Raise StoreError."""
    facts: dict[str, object] = {"error": str(error), "exit_code": error.exit_code}
    if job is not None:
        facts = {"job": job.name, **facts}
    show_json(facts, job)


def show_lines(lines: Iterable[str]) -> None:
    """Write lines without control characters: names and messages of a server are in them."""
    for line in lines:
        show(_as_shown(line))


def _as_shown(line: str) -> str:
    """Give a line as people see it: instants in the job's zone, no control characters, folded."""
    return folded(for_people(line), sys.stdout)
