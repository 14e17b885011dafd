"""Make lines with the columns that a job chose from the rows of parts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import orjson

from asyncreport.core.json_lines import escape_separators
from asyncreport.core.table import Column

#: values of a record by column
_Values = dict[str, object]

#: for each column of names: the column of the ids, and the names by id
NamesById = Mapping[str, tuple[str, Mapping[str, str | None]]]

#: instants whose local times are remembered: those of some months
_REMEMBERED = 1 << 14


class Reshape:
    """Select, order and rename columns; add those of the local calendar."""

    def __init__(self, columns: Sequence[Column], zone: ZoneInfo) -> None:
        self._columns = [(column.name, column.source) for column in columns]
        self._sources = {column.source for column in columns}
        # A cache of this object's own: it goes when the files are written.
        self._local = lru_cache(_REMEMBERED)(_Local(zone))

    def lines(self, block: bytes, facts: Mapping[str, object], names: NamesById) -> bytes:
        """Reshape rows; `facts` are the same for all of them, such as team and user."""
        wanted = [(name, *names[name]) for name in self._sources & names.keys()]
        lines = []
        for line in block.splitlines():
            values: _Values = {**facts, **orjson.loads(line)}
            for name, ids, by_id in wanted:
                values[name] = name_of(values[ids], by_id)
            self._add_local_times(values)
            record = {name: values[source] for name, source in self._columns}
            lines.append(orjson.dumps(record))
        lines.append(b"")
        return escape_separators(b"\n".join(lines))

    def _add_local_times(self, values: _Values) -> None:
        """Add the columns of the local calendar that are wanted."""
        if not self._sources.isdisjoint(_OF_START):
            values.update(self._local(values["interval_start"]))
        if "interval_end_local" in self._sources:
            end = self._local(values["interval_end"])
            values["interval_end_local"] = end["interval_start_local"]


def name_of(each: object, by_id: Mapping[str, str | None]) -> str | None:
    """Give the name of an id; None without an id, or if the directory does not know it."""
    return None if each is None else by_id.get(str(each))


#: columns that follow from the start of an interval
_OF_START = ("interval_start_local", "date", "weekday")


class _Local:
    """Say what the clocks and the calendar of a zone show at an instant."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone

    def __call__(self, instant: object) -> _Values:
        moment = datetime.fromisoformat(str(instant)).astimezone(self._zone)
        return {
            "interval_start_local": moment.isoformat(timespec="milliseconds"),
            "date": moment.date().isoformat(),
            "weekday": moment.isoweekday(),
        }
