"""Write messages for people, or for a log collector. Owns stderr: nothing else writes there.

Every message is a record of the logger `asyncreport`, whose handler writes it. `show_messages` sets
how many there are and in which form; the logger keeps that, so that no state is kept here.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from asyncreport.core.local_time import localized
from asyncreport.core.object_urls import as_objects
from asyncreport.core.text import MAX_SHOWN, printable
from asyncreport.terminal.colour import coloured
from asyncreport.terminal.discard import discard
from asyncreport.terminal.folding import folded

#: how messages are written: lines for people, or a JSON object in each line
Format = Literal["text", "json"]

#: how many there are: `quiet` leaves out all but warnings and errors, `verbose` adds each retry
Amount = Literal["quiet", "normal", "verbose"]

_LEVELS: Mapping[Amount, int] = {
    "quiet": logging.WARNING,
    "normal": logging.INFO,
    "verbose": logging.DEBUG,
}

#: the level of a message by how it begins; with the name of a job in front if there are several
_KIND = re.compile(r"(?:[^:]+: )?(error|warning): ")
_KINDS = {"error": logging.ERROR, "warning": logging.WARNING}


def show_messages(amount: Amount = "normal", form: Format = "text") -> None:
    """Write messages from now on; those of before are not repeated."""
    logger = _logger()
    logger.setLevel(_LEVELS[amount])
    handler = _JsonLines() if form == "json" else TextLines()
    logger.handlers = [handler]


def show_times_in(zone: ZoneInfo) -> None:
    """Write instants for people in a zone from now on: that of the job."""
    for handler in _handlers():
        handler.zone = zone


def for_people(text: str) -> str:
    """Write a line without control characters, with instants in the zone of the job."""
    for handler in _handlers():
        text = handler.in_zone(text)
    return printable(as_objects(text))


def _handlers() -> list[_Lines]:
    """List the handlers that write messages: one at most."""
    return [handler for handler in _logger().handlers if isinstance(handler, _Lines)]


def _logger() -> logging.Logger:
    """Give the logger of all messages."""
    return logging.getLogger("asyncreport")


def say(text: str, **facts: object) -> None:
    """Write one line to standard error; a blank replaces each control character.

    The text may come from a server, and must not move the cursor or start a line of its own.
    `facts` are further keys of the JSON form.
    """
    kind = _KIND.match(text)
    level = logging.INFO if kind is None else _KINDS[kind[1]]
    _logger().log(level, "%s", text, extra={"facts": facts})


def say_detail(text: str) -> None:
    """Write one line to standard error if -v was given."""
    _logger().debug("%s", text)


def shows_progress() -> bool:
    """Tell whether lines may move on the terminal: not for a log collector, not if quiet."""
    logger = _logger()
    in_lines = any(isinstance(handler, TextLines) for handler in logger.handlers)
    return in_lines and logger.isEnabledFor(logging.INFO)


def say_traceback(error: BaseException) -> None:
    """Write an error's traceback if -v was given."""
    _logger().debug("%s", type(error).__name__, exc_info=error)


def lines_shown() -> int:
    """Give how many lines of a long list are shown: all with -v."""
    if _logger().isEnabledFor(logging.DEBUG):
        return sys.maxsize
    return MAX_SHOWN


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


def _write(line: str) -> None:
    """Write a line."""
    # Not a stream that was kept: while lines move on the terminal, `sys.stderr` writes above them.
    if sys.stderr is not None:
        with lost_stderr_ignored():
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()


class _Lines(logging.Handler):
    """Write records to standard error."""

    #: of instants for people; None: as they are, in UTC
    zone: ZoneInfo | None = None

    def in_zone(self, text: str) -> str:
        """Write the instants of a text in the zone."""
        if self.zone is None:
            return text
        return localized(text, self.zone)


class TextLines(_Lines):
    """Write each record as a line for people, and its traceback as more lines."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        lines = _traceback(record) or [as_objects(record.getMessage())]
        for line in lines:
            shown = folded(printable(self.in_zone(line)), sys.stderr)
            _write(coloured(shown, sys.stderr))


class _JsonLines(_Lines):
    """Write each record as a JSON object in a line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        time = datetime.fromtimestamp(record.created, UTC)
        entry: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z",
            "level": record.levelname.lower(),
            "message": printable(as_objects(_without_kind(record.getMessage()))),
            **getattr(record, "facts", {}),
        }
        lines = _traceback(record)
        if lines:
            entry["traceback"] = "\n".join(map(printable, lines))
        _write(json.dumps(entry, ensure_ascii=False))


def _without_kind(text: str) -> str:
    """Leave out the word in front of a message that its level says too."""
    for kind in _KINDS:
        text = text.removeprefix(f"{kind}: ")
    return text


def _traceback(record: logging.LogRecord) -> list[str]:
    """List the lines of a record's traceback; nothing if it has none."""
    error = record.exc_info and record.exc_info[1]
    if not error:
        return []
    return "".join(traceback.format_exception(error)).splitlines()
