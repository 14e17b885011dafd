"""Run a command on a terminal of a given width, and see what its screen shows.

Understands what the program writes: lines, colours, and the moves of the progress lines.
"""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import struct
import termios
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.cells import cell_len
from rich.text import Text

from tests.exporting import PATIENCE, environ
from tests.template import fork

#: a control sequence, a control character, or a character that is shown
_TOKEN = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|([\r\n])|([^\x1b])", re.DOTALL)


class Screen:
    """The cells of a terminal; lines that leave it at the top are kept."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        #: of each line: a character and its colours; a wide character has an empty cell behind it
        self._lines: list[list[tuple[str, str]]] = [[]]
        self._row = self._column = 0
        self._colours = ""

    def write(self, text: str) -> None:
        """Show text."""
        for found in _TOKEN.finditer(text):
            parameter, command, move, character = found.groups()
            if command:
                self._control(command, parameter)
            elif move == "\r":
                self._column = 0
            elif move == "\n":
                self._next_line()
            else:
                self._show(character)

    def _control(self, command: str, parameter: str) -> None:
        """Follow a control sequence."""
        if command == "m":
            self._colours = "" if parameter in {"", "0"} else f"{self._colours}\x1b[{parameter}m"
        elif command == "A":
            self._row = max(0, self._row - int(parameter or 1))
        elif command == "K":
            start = 0 if parameter == "2" else self._column
            del self._lines[self._row][start:]
        else:
            assert parameter.startswith("?"), f"{command} is not understood"

    def _next_line(self) -> None:
        """Go one line down, in the same column."""
        self._row += 1
        if self._row == len(self._lines):
            self._lines.append([])

    def _show(self, character: str) -> None:
        """Show a character; at the end of a line go on in the next one."""
        width = cell_len(character)
        if self._column + width > self._columns:
            self._column = 0
            self._next_line()
        line = self._lines[self._row]
        line += [(" ", "")] * (self._column + width - len(line))
        cells = [(character, self._colours), *[("", "")] * (width - 1)]
        line[self._column : self._column + width] = cells
        self._column += width

    def lines(self) -> list[str]:
        """Give the lines without colours, and without the empty ones at the end."""
        shown = ["".join(character for character, _ in line).rstrip() for line in self._lines]
        while shown and not shown[-1]:
            shown.pop()
        return shown

    def text(self) -> Text:
        """Give the lines with their colours."""
        rows = []
        for line in self._lines[: len(self.lines())]:
            cells = (f"{colours}{character}\x1b[0m" for character, colours in line)
            rows.append(Text.from_ansi("".join(cells)))
        return Text("\n").join(rows)


@dataclass(frozen=True, slots=True)
class Shown:
    """What a command showed on a terminal."""

    code: int
    #: at the end
    screen: Screen
    #: the lines of the screen after each time that something was written
    frames: Sequence[Sequence[str]]

    @property
    def text(self) -> str:
        """Give the lines of the last screen."""
        return "\n".join(self.screen.lines())


def run_on_terminal(*arguments: str, cwd: Path, columns: int = 80, **variables: str) -> Shown:
    """Run the command line on a terminal of its own; its folder is shown as `~`."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with os.fdopen(theirs) as terminal:
        process = fork(
            "asyncreport",
            *arguments,
            cwd=cwd,
            env={**_environ(), **variables},
            streams=(terminal,) * 3,
        )
    screen, frames = Screen(columns), []
    for piece in _pieces(ours):
        screen.write(piece.replace(str(cwd), "~"))
        frames.append(screen.lines())
    os.close(ours)
    return Shown(process.wait(PATIENCE), screen, frames)


def _environ() -> dict[str, str]:
    """Give the environment of a terminal with colours, whose width is asked for."""
    variables = {**environ(), "TERM": "xterm-256color"}
    del variables["COLUMNS"], variables["NO_COLOR"]
    return variables


def _pieces(terminal: int) -> Iterator[str]:
    """Read what is written on a terminal, piece by piece."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with suppress(OSError):  # as Linux ends a terminal that nobody holds any more
        while piece := os.read(terminal, 1 << 16):
            yield decoder.decode(piece)
