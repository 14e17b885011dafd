"""Small JSON files that are replaced as a whole. Owns nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from asyncreport.core.errors import StoreError
from asyncreport.core.json_lines import escape_separators
from asyncreport.store.atomic import atomic_write
from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.replacement import PRIVATE

T = TypeVar("T")


def write_json(path: Path, value: object) -> None:
    """Replace a JSON file that only this user can read; raise StoreError."""
    encoded = msgspec.json.encode(value)
    data = escape_separators(msgspec.json.format(encoded, indent=2)) + b"\n"
    with atomic_write(path, owner=path.parent, mode=PRIVATE, needs=lambda: len(data)) as sink:
        sink.write(data)


def read_json(path: Path, kind: type[T]) -> T | None:
    """Read a file of `write_json`, or give None if there is none; raise StoreError."""
    with oserror_as_store_error(path, "read"):
        try:
            return msgspec.json.decode(path.read_bytes(), type=kind)
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StoreError(
                f"{path} is damaged: {error}; delete it and run again: it is written again"
            ) from error
