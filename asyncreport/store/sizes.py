"""How many bytes and records an output file gets, from the indexes of parts. Owns nothing."""

from __future__ import annotations

from collections.abc import Iterator

from asyncreport.core.job import Team
from asyncreport.store.month_index import MonthIndex, ReadIndexes
from asyncreport.store.parts import PartReader
from asyncreport.store.record_lines import covers, line_start, members
from asyncreport.store.target import Target

#: a month's indexes by the connection's name
Indexes = dict[str, MonthIndex]


def read_indexes(indexes: Indexes, target: Target, month: str, read: ReadIndexes) -> None:
    """Read the indexes of a month that a file needs and that were not read yet."""
    for team in target.teams:
        name = team.connection
        if name not in indexes:
            indexes[name] = MonthIndex.of(target.parts(name, month), read)


def lines_size(target: Target, reader: PartReader) -> int:
    """Add up the bytes of a target's lines from the indexes; raise StoreError.

    Not counted: queue names, and the effect of the range and of a choice of columns.
    """
    return sum(size for size, _ in _sizes(target, reader))


def record_count(target: Target, reader: PartReader) -> int:
    """Count the records of a target from the indexes; raise StoreError.

    Those of parts that the range cuts are not counted: it is not known how many it leaves out.
    """
    return sum(count for _, count in _sizes(target, reader))


def _sizes(target: Target, reader: PartReader) -> Iterator[tuple[int, int]]:
    """Walk the teams of all months: the bytes of their lines, and how many are surely theirs."""
    for month in target.months:
        indexes: Indexes = {}
        read_indexes(indexes, target, month, reader.indexes)
        for team in target.teams:
            yield _size_of(team, target, indexes[team.connection])


def _size_of(team: Team, target: Target, index: MonthIndex) -> tuple[int, int]:
    """Add up the bytes of a team's lines in one month, and the lines of parts in the range."""
    size = count = 0
    names = target.sources[team.connection].names
    for user in members(team, index.users):
        # The prefix takes the place of the brace that opens a line.
        longer = len(line_start(team.name, user, names)) - 1
        for place in index.places(user):
            size += place.length + place.count * longer
            if covers(target.interval, place.part):
                count += place.count
    return size, count
