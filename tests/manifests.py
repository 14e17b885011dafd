"""Read and edit the manifests that runs wrote; every edited line gets the right checksum."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Line = dict[str, Any]


def sealed(line: Line) -> bytes:
    """Write a line with its checksum and its newline."""
    body = json.dumps({key: value for key, value in line.items() if key != "crc"}).encode()
    return body[:-1] + b',"crc":"%08x"}\n' % zlib.crc32(body)


def read_lines(path: Path) -> list[Line]:
    """Read all lines of a manifest."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def write_lines(path: Path, lines: Iterable[Line]) -> None:
    """Replace a manifest."""
    path.write_bytes(b"".join(map(sealed, lines)))


def edit_lines(path: Path, change: Callable[[Line], Line]) -> None:
    """Change every line of a manifest that `change` changes."""
    write_lines(path, [change(line) for line in read_lines(path)])
