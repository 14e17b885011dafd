"""Digest what the bytes of a part depend on. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

#: increase it if the bytes of a part change their meaning: parts of another layout are not reused
LAYOUT = 1

#: what version 0.1.0 wrote of a query, defaults included, in this order; it never changes
_FORMAT_1: Mapping[str, Any] = {
    "contract": "aggregates",
    "grid": {"granularity": None, "zone": None, "whole": None},
    "split_by": (),
    "filter": {"media_types": (), "queues": (), "divisions": ()},
    "occupancy": False,
    "metrics": (),
}


def digest(query: Struct, identity: str) -> str:
    """Digest a query of an organisation (32 hex digits).

    Defaults are left out, so that a new optional field changes no digest that exists.
    """
    # Sorted, so that the order of the fields in the code has no meaning.
    return _hash(identity, _given(query), order="sorted")


def digest_of_format_1(query: Struct, identity: str) -> str:
    """Digest a query as version 0.1.0 did.

    A query that uses a later field has a digest that version 0.1.0 never gave to a part.
    """
    return _hash(identity, _filled(_FORMAT_1, _given(query)))


def _hash(
    identity: str,
    shape: Mapping[str, Any],
    *,
    order: Literal["sorted"] | None = None,
) -> str:
    encoded = msgspec.json.encode([LAYOUT, identity, shape], order=order)
    return hashlib.sha256(encoded).hexdigest()[:32]


def _given(struct: Struct) -> dict[str, Any]:
    """Give the fields that are not the default, by name, also inside."""
    given = {}
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        if value != field.default:
            given[field.name] = _plain(value)
    return given


def _plain(value: object) -> object:
    """Give a value as JSON can write it."""
    if isinstance(value, Struct):
        return _given(value)
    if isinstance(value, ZoneInfo):
        # Its rules are not a part of the query: the edges of the buckets of a part tell them.
        return value.key
    return value


def _filled(template: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Add defaults, in the order of a template; what it does not have comes last."""
    filled = {**template, **given}
    for key, defaults in template.items():
        if isinstance(defaults, Mapping):
            filled[key] = _filled(defaults, given.get(key, {}))
    return filled
