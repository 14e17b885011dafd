"""Write lines for people. Owns stderr: nothing else writes there, except the progress bar."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from asyncreport.core.text import MAX_SHOWN, printable
from asyncreport.terminal.discard import discard


def say(text: str) -> None:
    """Write one line to standard error; a blank replaces each control character.

    The text may come from a server, and must not move the cursor or start a line of its own.
    """
    # Not a stream that was kept: while the progress bar is shown, `sys.stderr` writes above it.
    if sys.stderr is not None:
        with lost_stderr_ignored():
            sys.stderr.write(f"{printable(text)}\n")
            sys.stderr.flush()


@contextmanager
def lost_stderr_ignored() -> Iterator[None]:
    """Go on without standard error if it cannot be written: a full disk, a terminal that is gone.

    An export must not fail because nobody can read its messages.
    """
    try:
        yield
    except OSError:
        discard(sys.stderr)


def flush() -> None:
    """Write what the progress bar left, before the interpreter ends."""
    if sys.stderr is not None:
        with lost_stderr_ignored():
            sys.stderr.flush()


def say_traceback(error: BaseException) -> None:
    """Write an error's traceback if -v was given."""
    if logging.getLogger("asyncreport").isEnabledFor(logging.INFO):
        for line in "".join(traceback.format_exception(error)).splitlines():
            say(line)


def lines_shown() -> int:
    """Give how many lines of a long list are shown: all with -v, which shows the log."""
    if logging.getLogger("asyncreport").isEnabledFor(logging.INFO):
        return sys.maxsize
    return MAX_SHOWN


class LogHandler(logging.Handler):
    """Write each log record as one line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        say(self.format(record))
