"""Ask a person on the terminal. Owns standard input, and the prompts on standard output."""

from __future__ import annotations

import getpass
import sys
from contextlib import suppress

from asyncreport.terminal.stdout import show


def can_ask() -> bool:
    """Tell whether somebody can see questions and type answers."""
    streams = (sys.stdin, sys.stdout)
    return all(stream is not None and stream.isatty() for stream in streams)


def read_line(prompt: str) -> str:
    """Ask for a line; give it without blanks around it. Raise EOFError at the end of input."""
    # It lets people move the cursor in what they type. Not every system has it.
    with suppress(ImportError):
        import readline  # noqa: F401 - `input` uses it
    return _read(prompt, hidden=False)


def read_secret(prompt: str) -> str:
    """Ask for a line that is not shown while it is typed, as `read_line` does."""
    return _read(prompt, hidden=True)


def _read(prompt: str, *, hidden: bool) -> str:
    """Read a line; ask again if what was typed is not text."""
    ask = getpass.getpass if hidden else input
    while True:
        try:
            return ask(prompt).strip()
        except UnicodeDecodeError:
            show("  That is not valid UTF-8; type it again.")
