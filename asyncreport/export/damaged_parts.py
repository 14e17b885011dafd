"""Find damaged parts and delete them, so that they are fetched again. Owns nothing."""

from __future__ import annotations

from itertools import chain
from threading import Event

from asyncreport.core.errors import DamagedPartError
from asyncreport.export.run_context import RunContext
from asyncreport.store.parts import PartReader


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
    parts = chain.from_iterable(context.all_parts().values())

    def find(_: Event) -> list[DamagedPartError]:
        with PartReader(context.state.folder) as reader:
            return reader.damaged(parts)

    return await context.state.run_in_writer(find)
