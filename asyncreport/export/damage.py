"""Find damaged parts and delete them, so that they are fetched again. Owns nothing."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Event

from asyncreport.core.errors import DamagedPartError, StoreError
from asyncreport.core.job import Part
from asyncreport.export.run_context import RunContext
from asyncreport.store.parts import PartReader

#: by the number of the part
_Damage = dict[int, DamagedPartError]


async def delete_damaged(context: RunContext, error: DamagedPartError) -> None:
    """Delete every damaged part, so that the next plan fetches it again; `error` is the first.

    Raise StoreError if this run saved one of them: then the disk cannot be trusted.
    """
    parts = context.all_parts()
    damaged = {error.number: error, **await _find_damaged(context, parts)}
    _check_origin(context, parts, damaged)
    for number, damage in damaged.items():
        context.warn(f"{damage.fact}; it is fetched again")
        context.state.delete_part(number)


async def _find_damaged(context: RunContext, parts: Iterable[Part]) -> _Damage:
    """Hash all parts, in the writing thread."""

    def find(_: Event) -> list[DamagedPartError]:
        with PartReader(context.state.folder) as reader:
            return reader.damaged(parts)

    errors = await context.state.run_in_writer(find)
    return {error.number: error for error in errors}


def _check_origin(context: RunContext, parts: Iterable[Part], damaged: _Damage) -> None:
    """Check that no damaged part is of this run; raise StoreError."""
    for part in parts:
        error = damaged.get(part.number)
        if error is not None and part.fetched_at == context.now:
            raise StoreError(f"{error.fact}; this run saved it, so check the disk") from error
