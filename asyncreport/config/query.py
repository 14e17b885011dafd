"""The query of a job: what each chunk asks for, and which keys exclude each other. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from asyncreport.config.metrics import METRICS, refusal
from asyncreport.config.names import check_distinct, check_words, parse_ids
from asyncreport.config.schema import (
    DIMENSIONS,
    MEDIA_TYPES,
    FilterFile,
    JobFile,
    unset_to_none,
)
from asyncreport.config.validate import Place
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import Filter, Query
from asyncreport.core.timeline import Grid


def resolve_query(root: Place, given: JobFile, grid: Grid) -> Query:
    """Build the query from its keys, which are at the root of a job; raise ConfigError."""
    check_words(root.at("split_by"), given.split_by, DIMENSIONS, "a dimension")
    _check_metrics(root.at("metrics"), given.metrics)
    query = Query(
        contract=given.contract,
        grid=grid,
        split_by=tuple(DIMENSIONS[name] for name in given.split_by),
        filter=_filter(root.at("filter"), given.filter),
        occupancy=given.occupancy,
        metrics=tuple(given.metrics),
    )
    _check_combinations(root, query)
    return query


def _check_combinations(root: Place, query: Query) -> None:
    """Refuse what no contract, or only another contract, can answer."""
    if query.contract == "entities":
        _check_bare(root, query)
    if query.occupancy and query.split_by:
        raise root.at("occupancy").not_with(
            "split_by",
            ": the time in a routing status belongs to the agent, not to a queue or a media type",
        )


def _check_bare(root: Place, query: Query) -> None:
    """Refuse what the contract entities cannot express."""
    bare = Query(grid=query.grid)
    for key in ("split_by", "filter", "occupancy", "metrics"):
        if getattr(query, key) != getattr(bare, key):
            raise _not_with_entities(root.at(key))


def _not_with_entities(place: Place) -> ConfigError:
    return place.not_with(
        "contract: entities",
        ", which only counts and times the interactions of users",
    )


def _check_metrics(place: Place, names: Sequence[str]) -> None:
    """Check a list of different metrics that add up."""
    for number, name in enumerate(names):
        if name not in METRICS:
            raise refusal(place.at(number), name)
    check_distinct(place, names)


def _filter(place: Place, given: FilterFile) -> Filter:
    """Read the interactions that count; a list that is missing means all."""
    return Filter(
        media_types=_media_types(place.at("media_types"), given),
        queues=parse_ids(place.at("queues"), unset_to_none(given.queues)),
        divisions=parse_ids(place.at("divisions"), unset_to_none(given.divisions)),
    )


def _media_types(place: Place, given: FilterFile) -> tuple[str, ...]:
    media_types = unset_to_none(given.media_types) or []
    check_words(place, media_types, MEDIA_TYPES, "a media type")
    return tuple(media_types)
