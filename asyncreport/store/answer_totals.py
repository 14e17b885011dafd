"""What answers to each query held, kept from run to run in a connection's folder. Owns its file."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from asyncreport.core.answer_sizes import MOST_CELLS, Totals
from asyncreport.core.errors import StoreError
from asyncreport.core.plan import MAX_CELLS
from asyncreport.store.json_files import read_json, write_json

_Count = Annotated[int, Meta(ge=0, le=2**53)]

#: queries whose figures are kept, the last ones
_MOST_QUERIES = 20


class _Row(Struct, frozen=True):
    """The figures of one query, as the file has them."""

    cells: _Count
    records: _Count
    received: _Count
    most: Annotated[int, Meta(ge=MAX_CELLS, le=MOST_CELLS)]


def read_totals(folder: Path, fingerprint: str) -> Totals:
    """Read what the answers to a query held; nothing if that is unknown."""
    row = _read(folder).get(fingerprint)
    if row is None:
        return Totals()
    return Totals(cells=row.cells, records=row.records, received=row.received, most=row.most)


def write_totals(folder: Path, fingerprint: str, totals: Totals) -> None:
    """Keep what the answers to a query held; raise StoreError."""
    rows = _read(folder)
    # Taken out and put at the end: the queries that were not asked for longest are dropped.
    rows.pop(fingerprint, None)
    rows[fingerprint] = _Row(totals.cells, totals.records, totals.received, totals.most)
    kept = list(rows.items())[-_MOST_QUERIES:]
    write_json(_path(folder), dict(kept))


def _path(folder: Path) -> Path:
    """Give the path of the file."""
    return folder / "answers.json"


def _read(folder: Path) -> dict[str, _Row]:
    """Read the figures by query; nothing if the file cannot be used."""
    # A file that cannot be used costs a few requests, and is written again by this run.
    with suppress(StoreError):
        return read_json(_path(folder), dict[str, _Row]) or {}
    return {}
