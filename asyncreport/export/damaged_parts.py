"""Find lost and damaged parts, name them and delete their files. Owns nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from threading import Event

from asyncreport.core.errors import DamagedPartError
from asyncreport.core.job import Chunk, Connection, Part
from asyncreport.core.plan import Plan, share_users
from asyncreport.export.run_context import RunContext
from asyncreport.store.present_parts import describe_loss


def delete_lost(context: RunContext, plans: Mapping[str, Plan]) -> None:
    """Name the lost parts that the plans fetch again, and delete what is left of their files."""
    for connection in context.job.connections:
        # What replaces a part is fetched for another reason than a loss.
        missing = [chunk for chunk in plans[connection.name].chunks if not chunk.replaces]
        for part in _lost(context, connection, missing):
            fact = describe_loss(part, context.job.parts_folder)
            context.warn(f"{fact}; it is fetched again")
            context.state.delete_part(part.key)


def _lost(context: RunContext, connection: Connection, missing: Sequence[Chunk]) -> Iterator[Part]:
    """List the lost parts of a connection that have records of what is missing."""
    if not missing:
        # Most runs: the files of all parts need not be looked at once more.
        return
    for part in context.state.lost_parts(connection):
        if any(_has_some(part, chunk) for chunk in missing):
            yield part


def _has_some(part: Part, chunk: Chunk) -> bool:
    """Tell whether a part covers some of a chunk."""
    return part.interval.overlaps(chunk.interval) and share_users(part.users, chunk.users)


async def delete_damaged(context: RunContext, error: DamagedPartError) -> None:
    """Delete every damaged part, so that the next plan fetches it again; `error` is the first."""
    # Hashing does not find everything, for example a wrong number of records.
    errors = [error, *await _find_damaged(context)]
    damaged = {each.part: each for each in errors}
    for damage in damaged.values():
        _delete(context, damage)


def _delete(context: RunContext, damage: DamagedPartError) -> None:
    """Delete a damaged part, and say so."""
    context.warn(f"{damage.fact}; it is fetched again")
    context.state.delete_part(damage.part)


async def _find_damaged(context: RunContext) -> list[DamagedPartError]:
    """Hash all parts, in the writing thread."""
    parts = [*chain.from_iterable(context.all_parts().values())]

    def find(_: Event) -> list[DamagedPartError]:
        with context.files.reader() as reader:
            return reader.damaged(parts)

    return await context.state.run_in_writer(find)
