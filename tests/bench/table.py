"""Markdown tables, and the line about the machine. Pure, except `machine` and `print_lines`."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table; `met` is None if there is no budget."""

    what: str
    budget: str
    measured: str
    met: bool | None = None

    def cells(self) -> tuple[str, ...]:
        """Return the cells."""
        met = {None: "", True: "yes", False: "**no**"}[self.met]
        return (self.what, self.budget, self.measured, met)


def print_lines(lines: Iterable[Line]) -> None:
    """Print what was measured, each line as soon as it is known."""
    for line in lines:
        sys.stdout.write(f"{line.what}: {line.measured}\n")
        sys.stdout.flush()


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a table, with numbers aligned to the right and escaped bars."""
    body = [[_text(cell) for cell in row] for row in rows]
    right = [bool(body) and all(_numeric(row[n]) for row in body) for n in range(len(head))]
    widths = [max(3, len(title), *(len(row[n]) for row in body)) for n, title in enumerate(head)]
    rule = [
        "-" * (width - 1) + ":" if to_right else "-" * width
        for width, to_right in zip(widths, right, strict=True)
    ]
    return "\n".join(_line(cells, widths, right) for cells in (head, rule, *body)) + "\n"


def streamed(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Write a table line by line, each row as soon as it is measured; a reader aligns it."""
    yield _row(head)
    yield _row(["---"] * len(head))
    for row in rows:
        yield _row(map(_text, row))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = [
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(cells, widths, right, strict=True)
    ]
    return f"| {' | '.join(padded)} |"


def _text(cell: object) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return figure(cell)
    return f"{cell:,}" if isinstance(cell, int) else str(cell).replace("|", "\\|")


def figure(value: float) -> str:
    """Write a number with three significant digits."""
    places = sum(abs(value) < bound for bound in (100, 10, 1))
    return f"{value:,.{places}f}"


def _numeric(text: str) -> bool:
    return text in ("", "-") or text.replace(",", "").replace(".", "", 1).isdecimal()


def machine() -> str:
    """Write when, where and with which command the figures were measured."""
    day = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    cores = f"{os.cpu_count()} cores"
    if hasattr(os, "getloadavg"):
        cores += f" (load {os.getloadavg()[0]:.1f} at the start)"
    system = f"{platform.system()} {platform.machine()}"
    command = shlex.join(["python", "-m", "tests.bench", *sys.argv[1:]])
    return f"{day}; {system}, {cores}, Python {platform.python_version()}; `{command}`"
