"""Write the results of commands. Owns stdout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from asyncreport.core.errors import StoreError


@contextmanager
def writing() -> Iterator[None]:
    """Turn an OSError of standard output into a StoreError."""
    try:
        yield
    except BrokenPipeError:
        # The reader closed the pipe: that is not an error, and the command line ends quietly.
        raise
    except OSError as error:
        message = (
            f"cannot write to standard output: {error.strerror}; "
            "free some space or redirect the output to another place"
        )
        raise StoreError(message) from error


def show(text: str) -> None:
    """Write a line to standard output; raise StoreError."""
    with writing():
        click.echo(text)
