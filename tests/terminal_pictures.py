"""Pictures of a terminal as SVG, from real runs: `python -m tests.terminal_pictures`.

Without arguments it writes docs/terminal.svg. With a folder it writes what all commands show into
that folder, on narrow and wide terminals, in light, dark and without colours: to be looked at.
"""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, TerminalTheme
from rich.text import Text

from tests.terminal_screen import Screen, run_on_terminal

PICTURE = Path(__file__).parents[1] / "docs" / "terminal.svg"

#: background, text, and the sixteen colours of a terminal
DARK = TerminalTheme(
    (22, 27, 34),
    (230, 237, 243),
    [
        (72, 79, 88),
        (255, 123, 114),
        (86, 211, 100),
        (227, 179, 65),
        (121, 192, 255),
        (210, 168, 255),
        (86, 212, 221),
        (177, 186, 196),
    ],
)

#: fonts of the reader's computer only: nothing is fetched
_FORMAT = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
text {{ font: {char_height}px ui-monospace, Menlo, Consolas, monospace; }}
.terminal-title {{ font-weight: bold; }}
{styles}
</style>
<defs>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def picture(text: Text, *, columns: int, title: str, theme: TerminalTheme = DARK) -> str:
    """Draw text as a terminal shows it."""
    console = Console(
        record=True, width=columns, file=io.StringIO(), force_terminal=True, legacy_windows=False
    )
    console.print(text, soft_wrap=True)
    return console.export_svg(title=title, theme=theme, code_format=_FORMAT, unique_id="terminal")


def with_prompt(command: str, screen: Screen) -> Text:
    """Put the command line above what it wrote."""
    return Text(f"$ {command}\n") + screen.text()


def write_demo(path: Path) -> None:
    """Draw the demo job, from a real run."""
    with TemporaryDirectory() as folder:
        shown = run_on_terminal("demo", cwd=Path(folder))
    assert shown.code == 0
    text = with_prompt("asyncreport demo", shown.screen)
    path.write_text(picture(text, columns=80, title="asyncreport demo"))


_FEW_ROWS = ("--granularity", "none", "--occupancy")

#: what is shown for people to look at, by name
_COMMANDS: Mapping[str, Sequence[str]] = {
    "demo": ["demo"],
    "check": ["check", "job.yaml"],
    "plan": ["plan", "job.yaml", "--set", "range.end=2023-12-01"],
    "status": ["status", "job.yaml"],
    "verify": ["verify", "job.yaml"],
    "query": ["query", "--emulator", "--start", "2024-01-01", "--end", "2024-01-02", *_FEW_ROWS],
    "list": ["list", "teams", "--emulator"],
    "mistake": ["run", "job.yaml", "--set", "range.granularity=1h"],
    "help": ["run", "--help"],
}

#: variables of the environment and colours, by name
_LOOKS: Mapping[str, tuple[Mapping[str, str], TerminalTheme]] = {
    "dark": ({}, DARK),
    "light": ({}, DEFAULT_TERMINAL_THEME),
    "no-color": ({"NO_COLOR": "1"}, DARK),
    "dumb": ({"TERM": "dumb"}, DARK),
}


def write_all(folder: Path) -> None:
    """Draw every command on terminals of 50, 80 and 120 columns, and in each look."""
    sizes = [(columns, "dark") for columns in (50, 80, 120)]
    for columns, look in [*sizes, *((80, each) for each in _LOOKS)]:
        with TemporaryDirectory() as place:
            shutil.copy(PICTURE.parents[1] / "configs" / "demo.yaml", Path(place) / "job.yaml")
            for name, arguments in _COMMANDS.items():
                variables, theme = _LOOKS[look]
                shown = run_on_terminal(*arguments, cwd=Path(place), columns=columns, **variables)
                text = with_prompt(" ".join(["asyncreport", *arguments]), shown.screen)
                drawn = picture(text, columns=columns, title=name, theme=theme)
                (folder / f"{name}-{columns}-{look}.svg").write_text(drawn)


if __name__ == "__main__":
    if sys.argv[1:]:
        write_all(Path(sys.argv[1]))
    else:
        write_demo(PICTURE)
