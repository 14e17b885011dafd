"""List what a directory has: users, teams, groups, queues and other names."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from asyncreport.api import directory
from asyncreport.api.listings import Entity, as_text
from asyncreport.commands.chosen_connection import ConnectionOptions, choose_connection
from asyncreport.commands.name_search import folded, name_matches
from asyncreport.core.errors import AsyncReportError
from asyncreport.core.job import Connection, Limits
from asyncreport.engine.activity import Activity, Watch, unwatched
from asyncreport.engine.fetch import drive
from asyncreport.export.lanes import Connections
from asyncreport.export.run import clock
from asyncreport.terminal.progress import Screen
from asyncreport.terminal.signals import run_until_signal
from asyncreport.terminal.stderr import say
from asyncreport.terminal.stdout import show_lines, writing


def execute(
    kind: str,
    options: ConnectionOptions,
    environ: Mapping[str, str],
    *,
    search: str = "",
    as_json: bool = False,
) -> None:
    """List entities of a kind: a table on a terminal, JSON lines elsewhere or if asked for.

    Raise AuthError for a missing permission, ConfigError for options that cannot be used.
    """
    connection = choose_connection(options, command="list", environ=environ, now=clock())
    screen = Screen()
    listing = list_kinds(connection, [kind], watch=screen.watching)
    listed = run_until_signal(listing, screen.stopping)[kind]
    if isinstance(listed, AsyncReportError):
        raise listed
    found = [describe(kind, each) for each in _matching(listed, search)]
    if not found:
        say(f"no {kind} found")
    elif sys.stdout.isatty() and not as_json:
        _draw_table(found)
    else:
        show_lines([json.dumps(each, ensure_ascii=False) for each in found])


#: the listing of each kind, or why there is none
Listed = dict[str, Sequence[Entity] | AsyncReportError]


async def list_kinds(
    connection: Connection, kinds: Sequence[str], *, watch: Watch = unwatched
) -> Listed:
    """Read the whole listings of some kinds; one that fails does not stop the others."""
    activity = Activity("list", "listing")
    found: Listed = {}
    async with watch(activity), Connections([connection], Limits().impatient) as connections:
        activity.requests = connections.counts_by_name
        ask = partial(connections.ask, connection.name)
        for kind in kinds:
            try:
                found[kind] = await drive(directory.list_named(kind), ask)
            except AsyncReportError as error:
                found[kind] = error
    return found


def _matching(found: Sequence[Entity], search: str) -> list[Entity]:
    """Keep the entities whose names match a text; sorted by name."""
    kept = [each for each in found if name_matches(each.name or "", search)]
    return sorted(kept, key=lambda each: (folded(each.name or ""), each.id))


#: what the listing of a kind says besides id and name
_DETAILS: Mapping[str, tuple[str, ...]] = {
    "users": ("email", "state", "division", "division_id"),
    "teams": ("members", "division", "division_id"),
    "groups": ("members",),
    "queues": ("members", "division", "division_id"),
}

#: what an entity has, by column
_Described = dict[str, str | int | None]


def describe(kind: str, entity: Entity) -> _Described:
    """Give what is shown of an entity; None: the server does not say."""
    known = {
        "email": as_text(entity.email),
        "state": as_text(entity.state),
        "members": entity.members,
        "division": entity.division_name,
        "division_id": entity.division_id,
    }
    details = {name: known[name] for name in _DETAILS.get(kind, ())}
    return {"id": entity.id, "name": entity.name, **details}


def _draw_table(found: Sequence[_Described]) -> None:
    """Draw a table; a division is shown by its id if the server does not say its name."""
    # Imported only if a table is drawn: most lists go into a pipe.
    from asyncreport.terminal.table import print_names

    rows = []
    for each in found:
        row = {"name": each["name"], **each}
        division_id = row.pop("division_id", None)
        if "division" in row:
            row["division"] = row["division"] or division_id
        rows.append(row)
    with writing():
        print_names(rows)
