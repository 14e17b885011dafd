"""Listed users whom nobody knows: a mistyped id asks for nobody, and no answer tells. Reads the state folder, owns nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from asyncreport.core.job import Connection, Job, Part
from asyncreport.core.text import counted
from asyncreport.store.names import Names
from asyncreport.store.parts import Reader

#: ids told, at most
_SHOWN = 20


def listed(job: Job, connection: str) -> set[str]:
    """Collect the ids that a connection's teams list themselves."""
    return {
        user
        for team in job.teams
        if team.connection == connection and team.selector is None
        for user in team.users or ()
    }


def strangers(job: Job, connection: Connection, parts: Iterable[Part]) -> list[str]:
    """List, sorted, the listed users whom the directory did not know and who have no rows in the parts; raise StoreError."""
    names = Names(job.state_folder / "names.json").of(connection.identity)
    doubted = {user for user in listed(job, connection.name) if names.get(user, "") is None}
    if not doubted:
        return []
    with Reader(job.state_folder) as reader:
        return sorted(
            doubted - reader.users([part for part in parts if part.interval.overlaps(job.interval)])
        )


def unknown(users: Collection[str]) -> str:
    """Say that the directory does not know listed users."""
    shown = ", ".join(sorted(users)[:_SHOWN]) + (
        f" and {len(users) - _SHOWN:,} more" if len(users) > _SHOWN else ""
    )
    verb = "is" if len(users) == 1 else "are"
    return f"{counted(len(users), 'listed user')} {verb} unknown to the directory: {shown}; compare with Admin > People"
