"""The fenced blocks of the documentation: where each stands, and what is in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[1]

#: a fence, which may be in a list, its language, the lines of the block, its end
_FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    #: the file's name
    page: str
    #: the heading above it
    section: str
    #: empty: none is named
    language: str
    text: str
    #: the line of the page on which the fence stands
    line: int

    def __str__(self) -> str:
        """Name the place, for messages and ids of tests."""
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """List the pages of the documentation."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(path: Path) -> Iterator[Block]:
    """Walk the blocks of a page."""
    text = path.read_text()
    for found in _FENCED.finditer(text):
        before = text[: found.start()]
        headings = re.findall(r"^#+ (.*)$", _FENCED.sub("", before), re.MULTILINE)
        _, language, content = found.groups()
        line = before.count("\n") + 1
        yield Block(path.name, headings[-1], language, dedent(content), line)


def all_blocks(*languages: str) -> Sequence[Block]:
    """List the blocks of all pages in these languages."""
    found = (block for path in pages() for block in blocks(path))
    return [block for block in found if block.language in languages]


def texts(page: str, language: str, section: str | None = None) -> list[str]:
    """Give the texts of the blocks of a page, or of one of its sections."""
    (path,) = (path for path in pages() if path.name == page)
    return [
        block.text
        for block in blocks(path)
        if block.language == language and section in (None, block.section)
    ]
