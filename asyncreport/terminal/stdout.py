"""Lines for people and for pipes: what the command line writes, and what is said when that fails. Owns stdout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import click

from asyncreport.core.errors import StoreError
from asyncreport.core.text import printable


@contextmanager
def writing() -> Iterator[None]:
    """Turn an OSError of standard output into a StoreError."""
    try:
        yield
    except BrokenPipeError:
        raise  # a reader that went away early; click ends quietly
    except OSError as error:
        message = f"standard output cannot be written: {error.strerror}; free some space or give it another place"
        raise StoreError(message) from error


def show(text: str) -> None:
    """Write to standard output; raise StoreError."""
    with writing():
        click.echo(text)


def say(lines: Iterable[str]) -> None:
    """Write lines to standard error as a terminal may have them: a server's words are in them."""
    for line in lines:
        click.echo(printable(line), err=True)
