"""The columns that a job chooses for its files. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from asyncreport.config.names import first_repeat
from asyncreport.config.validate import VALUE_SHOWN, Place, did_you_mean
from asyncreport.core.columns import NAMES, known_columns
from asyncreport.core.job import Query
from asyncreport.core.table import Column
from asyncreport.core.text import shorten

#: what an item of the list may be: a name, or a name with a new one
_Item = str | Mapping[str, str]


def resolve_columns(
    place: Place,
    given: Sequence[_Item] | None,
    query: Query,
) -> tuple[Column, ...] | None:
    """Read the columns; None: all columns of a record. Raise ConfigError."""
    if given is None:
        return None
    known = known_columns(query)
    columns = [_column(place.at(number), item, known) for number, item in enumerate(given)]
    _check_distinct(place, [column.name for column in columns])
    return tuple(columns)


def _column(place: Place, item: _Item, known: Mapping[str, Column]) -> Column:
    """Read one item of the list; `known` are the columns of a record."""
    source, name = _split(place, item)
    _check_source(place, source, known)
    return Column(name, source, known[source].kind)


def _split(place: Place, item: _Item) -> tuple[str, str]:
    """Give the name of a column in the records, and its name in the files."""
    if isinstance(item, str):
        return item, item
    if len(item) != 1:
        raise place.error("must be one column, as in - interval_start: start")
    ((source, name),) = item.items()
    if not name or name != name.strip() or not name.isprintable():
        raise place.at(source).must("be a name without control characters or spaces at its ends")
    return source, name


def _check_source(place: Place, source: str, known: Mapping[str, Column]) -> None:
    """Refuse a column that the records do not have."""
    if source in known:
        return
    if source in NAMES:
        raise place.error(f"{source} needs split_by: [{' or '.join(NAMES[source])}]")
    raise place.error(
        f"{shorten(source, VALUE_SHOWN)!r} is not a column{did_you_mean(source, known)}",
        accepted=", ".join(known),
    )


def _check_distinct(place: Place, names: Sequence[str]) -> None:
    """Refuse two columns of one name; some readers ignore case."""
    repeat = first_repeat(name.casefold() for name in names)
    if repeat:
        number, earlier = repeat
        raise place.at(number).must(
            f"differ from {place.at(earlier).key}", f"; both columns are named {names[number]}"
        )
