"""Warn about divisions that the client does not see: their interactions are missing silently.

Owns `divisions.json` of a job.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from pathlib import Path

from msgspec import Struct

from asyncreport.api.organization import visible_divisions
from asyncreport.core.errors import ApiError, AuthError, ConfigError, RetriesExhausted
from asyncreport.core.job import Connection
from asyncreport.core.timeline import DAY, iso, parse_iso
from asyncreport.engine.fetch import drive
from asyncreport.export.run_context import RunContext
from asyncreport.store.json_files import read_json, write_json


class _Row(Struct, frozen=True, kw_only=True):
    """What the server said about one connection."""

    #: an instant in UTC, as text
    asked_at: str
    #: names of the divisions that the client does not see
    hidden: list[str]

    def is_fresh(self, now: int) -> bool:
        """Tell whether it is less than a day old; `now` is an instant."""
        return 0 <= now - parse_iso(self.asked_at) < DAY


#: by the connection's identity
_Rows = dict[str, _Row]


async def warn_of_hidden_divisions(context: RunContext, *, fetched: bool) -> None:
    """Warn about each connection; if something was fetched, ask the server once a day."""
    for connection in context.job.connections:
        if connection.emulator is not None:
            continue
        row = _last(context, connection)
        if row is None and fetched:
            row = await _ask(context, connection)
        if row is not None and row.hidden:
            context.warn(f"{connection.name}: {hidden_divisions_message(row.hidden)}")


def hidden_divisions_message(names: Collection[str]) -> str:
    """Say which divisions are missing from the results, and what to do."""
    return (
        f"the client does not see the divisions {', '.join(names)}: "
        "their interactions are missing from the results, without an error; "
        "grant its roles in all divisions: Admin > Integrations > OAuth > the client > Roles"
    )


def _path(context: RunContext) -> Path:
    """Give the path of the file."""
    return context.state.folder / "divisions.json"


def _last(context: RunContext, connection: Connection) -> _Row | None:
    """Give what the server said within the last day; None: ask again."""
    rows = read_json(_path(context), _Rows) or {}
    row = rows.get(connection.directory)
    if row is None or not row.is_fresh(context.now):
        return None
    return row


async def _ask(context: RunContext, connection: Connection) -> _Row:
    """Ask the server, and keep what it says; raise StoreError."""
    row = _Row(
        asked_at=iso(context.now),
        hidden=await _hidden(context, connection),
    )
    rows = read_json(_path(context), _Rows) or {}
    write_json(_path(context), {**rows, connection.directory: row})
    return row


async def _hidden(context: RunContext, connection: Connection) -> list[str]:
    """List the divisions that the client does not see; none if the server does not say."""
    ask = partial(context.connections.try_to_ask, connection.name)
    try:
        existing, visible = await drive(visible_divisions(), ask)
    except (ApiError, AuthError, ConfigError, RetriesExhausted):
        # A gateway need not know this call; `asyncreport check` reports that.
        return []
    if visible is None:
        return []
    return sorted(set(existing) - set(visible))
