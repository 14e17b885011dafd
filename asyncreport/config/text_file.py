"""Reads the text files of a job: bounded in size, UTF-8. Owns no file."""

from __future__ import annotations

from pathlib import Path

from asyncreport.core.errors import ConfigError


def read_text(path: Path, limit: int, room: str) -> str:
    """Read a file as UTF-8, with or without a byte order mark.

    `limit` is in bytes, a whole number of MiB; `room` says what fits into them. Raise OSError if
    the file cannot be read, ConfigError if it is too large or not UTF-8.
    """
    with path.open("rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ConfigError(f"{path}: is larger than {limit >> 20} MiB; {room}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8; save the file as UTF-8") from error
