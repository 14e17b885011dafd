"""The roll-ups of a job: what they may be of, and which buckets add up. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from asyncreport.config.names import check_distinct
from asyncreport.config.schema import DIMENSIONS, EVERY, FILLS, MULTI_VALUED, RollUpFile
from asyncreport.config.templates import resolve_templates
from asyncreport.config.validate import VALUE_SHOWN, Place, did_you_mean
from asyncreport.core.columns import column
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import Query
from asyncreport.core.outputs import WEEKDAY_HOUR, RollUp
from asyncreport.core.text import shorten
from asyncreport.core.timeline import Granularity, Grid, Interval

#: the names of ids, which people write too
_OTHER_NAMES = {"user_id": "user", "queue": "queue_id"}

#: in order of length
_LENGTHS = [each.value for each in Granularity]


def resolve_rollups(
    place: Place, given: Sequence[RollUpFile], query: Query, interval: Interval
) -> tuple[RollUp, ...]:
    """Check each roll-up; raise ConfigError for one that would not add up."""
    return tuple(
        _rollup(place.at(number), each, query, interval) for number, each in enumerate(given)
    )


def _rollup(place: Place, given: RollUpFile, query: Query, interval: Interval) -> RollUp:
    """Check a roll-up."""
    by = _by(place.at("by"), given.by, query)
    _check_every(place.at("every"), given.every, query)
    _check_zone(place.at("every"), given.every, query, interval)
    paths = resolve_templates(place.at("path"), given.path)
    _check_weeks(place.at("path"), given.every, paths)
    fill = _fill(place.at("fill"), given.fill)
    return RollUp(by=by, every=given.every, paths=paths, fill=fill)


def _by(place: Place, given: Sequence[str], query: Query) -> tuple[str, ...]:
    """Check what the rows are of."""
    by = [_OTHER_NAMES.get(name, name) for name in given]
    for number, name in enumerate(by):
        _check_by(place.at(number), name, query)
    check_distinct(place, by)
    return tuple(by)


def _fill(place: Place, given: str) -> bool:
    """Tell whether to write buckets without records."""
    if given not in FILLS:
        raise place.must("be zero or none")
    return given == "zero"


def _check_weeks(place: Place, every: str, files: Sequence[str]) -> None:
    """Refuse weeks in files of months."""
    if every == "P1W" and any("{month}" in path for path in files):
        raise place.must("not contain {month}", ": a week may lie in two months")


def _check_zone(place: Place, every: str, query: Query, interval: Interval) -> None:
    """Refuse buckets that do not fit the months of the zone."""
    if every == WEEKDAY_HOUR:
        return
    try:
        list(Grid(Granularity(every), query.grid.zone).slots(interval))
    except ValueError as error:
        raise place.error(f"does not fit the time zone: {error}") from error


def _check_by(place: Place, name: str, query: Query) -> None:
    """Check what a row is of."""
    split = list(map(column, query.split_by))
    known = ["team", "user", *split]
    if name in split and DIMENSIONS[name] in MULTI_VALUED:
        raise place.error(
            f"an interaction can have several values of {name}, so its records do not add up; "
            "remove it"
        )
    if name in known:
        return
    if name in DIMENSIONS:
        raise place.error(f"{name} needs split_by: [{name}]")
    raise _unknown(place, name, known)


def _unknown(place: Place, name: str, known: Sequence[str]) -> ConfigError:
    """Make the error for a name that no roll-up knows."""
    return place.error(
        f"{shorten(name, VALUE_SHOWN)!r} is nothing to roll up by{did_you_mean(name, known)}",
        accepted=", ".join(known),
    )


def _check_every(place: Place, every: str, query: Query) -> None:
    """Check that the buckets of a roll-up are made of whole buckets of the job."""
    if every not in EVERY:
        raise place.must("be a known length", did_you_mean(every, EVERY), accepted=", ".join(EVERY))
    own = query.grid.granularity.value
    length = "PT1H" if every == WEEKDAY_HOUR else every
    if _LENGTHS.index(own) > _LENGTHS.index(length):
        raise place.must("not be finer than range.granularity", f"; that is {own}")
    if (own, every) == ("P1W", "P1M"):
        raise place.must("be P1W", ": a week may lie in two months")
