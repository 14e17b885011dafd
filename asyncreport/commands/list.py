"""List what a directory has: users, teams, groups, queues and other names."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial

from asyncreport.api import directory
from asyncreport.api.listings import Entity
from asyncreport.commands.chosen_connection import ConnectionOptions, connection_section
from asyncreport.commands.name_search import folded, name_matches
from asyncreport.config import load_options
from asyncreport.core.errors import AsyncReportError
from asyncreport.core.job import Job
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
    job = _make_job(options, environ)
    screen = Screen()
    listing = list_kind(job.impatient, kind, watch=screen.watching)
    found = _matching(run_until_signal(listing, screen.stopping), search)
    if not found:
        say(f"no {kind} found")
    elif sys.stdout.isatty() and not as_json:
        _draw_table(found)
    else:
        show_lines(
            [json.dumps({"id": each.id, "name": each.name}, ensure_ascii=False) for each in found]
        )


async def list_kind(job: Job, kind: str, *, watch: Watch = unwatched) -> Sequence[Entity]:
    """Read the whole listing of a kind from the connection of a job."""
    listed = await list_kinds(job, [kind], watch=watch)
    found = listed[kind]
    if isinstance(found, AsyncReportError):
        raise found
    return found


#: the listing of each kind, or why there is none
Listed = dict[str, Sequence[Entity] | AsyncReportError]


async def list_kinds(job: Job, kinds: Sequence[str], *, watch: Watch = unwatched) -> Listed:
    """Read the whole listings of some kinds; one that fails does not stop the others."""
    activity = Activity(job.name, "listing")
    found: Listed = {}
    async with watch(activity), Connections(job) as connections:
        activity.requests = connections.counts_by_name
        ask = partial(connections.ask, job.connections[0].name)
        for kind in kinds:
            try:
                found[kind] = await drive(directory.list_named(kind), ask)
            except AsyncReportError as error:
                found[kind] = error
    return found


def _make_job(options: ConnectionOptions, environ: Mapping[str, str]) -> Job:
    """Make a job that only has a connection: the range and the team are not used."""
    now = clock()
    values = {
        "name": "list",
        "range": {"start": "2024-01-01", "end": "2024-01-02"},
        "teams": [{"name": "everyone", "everyone": True}],
        "output": {"path": "list.jsonl"},
        **connection_section(options, environ=environ, now=now),
    }
    labels = {
        "": "asyncreport list",
        "connections.default.api_url": "--api-url",
        "connections.default.login_url": "--login-url",
    }
    return load_options(values, labels=labels, environ=environ, now=now)


def _matching(found: Sequence[Entity], search: str) -> list[Entity]:
    """Keep the entities whose names match a text; sorted by name."""
    kept = [each for each in found if name_matches(each.name or "", search)]
    return sorted(kept, key=lambda each: (folded(each.name or ""), each.id))


def _json_line(entity: Entity) -> str:
    """Write an entity as a JSON line, with letters as they are."""
    return json.dumps({"id": entity.id, "name": entity.name}, ensure_ascii=False)


def _draw_table(found: Sequence[Entity]) -> None:
    """Draw a table of ids and names."""
    # Imported only if a table is drawn: most lists go into a pipe.
    from asyncreport.terminal.table import print_names

    with writing():
        print_names([(each.id, each.name or "") for each in found])
