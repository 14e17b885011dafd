"""Where the rows of each user are in one month's parts, and how they are read. Pure but for reads.

An organisation of 10,000 users has a million pairs of a user and a part in a month. So a place is
two numbers in an array, not an object; and users are read in groups, because the rows of
neighbours stand side by side in each part.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from asyncreport.core.errors import StoreError
from asyncreport.core.job import Part
from asyncreport.core.timeline import iso
from asyncreport.store.parts import Entry, PartReader, part_name

#: how the indexes of parts are read, one after the other
ReadIndexes = Callable[[Sequence[Part]], Iterator[Sequence[Entry]]]

#: bits of a place's numbers: a part's position and an offset, or a length and a count
_OFFSET_BITS = 40
_COUNT_BITS = 24
_OFFSET = (1 << _OFFSET_BITS) - 1
_COUNT = (1 << _COUNT_BITS) - 1

#: bytes of rows that are read at once
_GROUP = 1 << 21


class Place(Struct, gc=False):
    """Where one user's rows are in one part."""

    part: Part
    #: the part's position in its month
    number: int
    #: bytes
    offset: int
    length: int
    #: rows
    count: int


class Rows(Struct, gc=False):
    """One user's rows in one part."""

    part: Part
    #: rows, one per line
    count: int
    lines: bytes


@dataclass(slots=True)
class MonthIndex:
    """The places of all users in parts of one month, which are in order of time."""

    parts: Sequence[Part]
    #: by user; two numbers for each place, in order of time
    _places: dict[str | None, array[int]] = field(default_factory=dict)

    @classmethod
    def of(cls, parts: Sequence[Part], read_indexes: ReadIndexes) -> MonthIndex:
        """Join the indexes of parts; raise StoreError if two parts hold the same time of a user."""
        index = cls(parts)
        for number, entries in enumerate(read_indexes(parts)):
            for entry in entries:
                index._add(number, entry)
        return index

    def _add(self, number: int, entry: Entry) -> None:
        """Note where a user's rows are in one more part."""
        places = self._places.get(entry.user)
        if places is None:
            places = self._places[entry.user] = array("Q")
        elif places:
            self._check_order(places[-2] >> _OFFSET_BITS, number, entry.user)
        places.append(number << _OFFSET_BITS | entry.offset)
        places.append(entry.length << _COUNT_BITS | entry.count)

    def _check_order(self, last: int, number: int, user: str | None) -> None:
        """Raise StoreError if a part begins before the end of the user's part before it."""
        earlier, later = self.parts[last], self.parts[number]
        if earlier.interval.end > later.interval.start:
            raise _overlap(earlier, later, user)

    @property
    def users(self) -> set[str | None]:
        """Give the users who have rows; None: what no user handled."""
        return set(self._places)

    def places(self, user: str | None) -> Iterator[Place]:
        """Walk the places of a user, in order of time."""
        numbers = iter(self._places.get(user, ()))
        for first, second in zip(numbers, numbers, strict=True):
            number = first >> _OFFSET_BITS
            yield Place(
                self.parts[number],
                number,
                first & _OFFSET,
                second >> _COUNT_BITS,
                second & _COUNT,
            )

    def read(
        self,
        users: Sequence[str | None],
        reader: PartReader,
    ) -> Iterator[tuple[str | None, list[Rows]]]:
        """Read the rows of users, each with rows in order of time; raise StoreError."""
        group: list[tuple[str | None, list[Place]]] = []
        size = 0
        for user in users:
            places = list(self.places(user))
            group.append((user, places))
            size += sum(place.length for place in places)
            if size >= _GROUP:
                yield from _read_group(group, reader)
                group, size = [], 0
        yield from _read_group(group, reader)


def _overlap(one: Part, other: Part, user: str | None) -> StoreError:
    """Make the error for two parts that hold the same time of a user."""
    return StoreError(
        f"{part_name(one.number)} and {part_name(other.number)} both hold user {user} at "
        f"{iso(other.interval.start)}; delete both files from the state folder and run again: "
        "they are fetched again"
    )


@dataclass(slots=True)
class _Span:
    """What a group of users has in one part."""

    start: int
    end: int = 0
    #: bytes of the group's rows in it
    wanted: int = 0
    lines: bytes | None = None

    def add(self, place: Place) -> None:
        """Take one more place in; they come in the order of users, which is that of offsets."""
        self.start = min(self.start, place.offset)
        self.end = max(self.end, place.offset + place.length)
        self.wanted += place.length

    @property
    def is_dense(self) -> bool:
        """Tell whether most of its bytes are wanted: then one read is cheaper than many."""
        return 2 * self.wanted >= self.end - self.start

    def cut(self, place: Place) -> bytes | None:
        """Give a place's rows; None if the span was not read."""
        if self.lines is None:
            return None
        at = place.offset - self.start
        return self.lines[at : at + place.length]


def _read_group(
    group: Sequence[tuple[str | None, list[Place]]],
    reader: PartReader,
) -> Iterator[tuple[str | None, list[Rows]]]:
    """Read the rows of a few users: part after part, then user after user."""
    spans: dict[int, _Span] = {}
    of_number: dict[int, Part] = {}
    for _, places in group:
        for place in places:
            of_number[place.number] = place.part
            spans.setdefault(place.number, _Span(place.offset)).add(place)
    for number, span in spans.items():
        if span.is_dense:
            span.lines = reader.read(of_number[number], span.start, span.end - span.start)
    for user, places in group:
        yield user, [_rows(user, place, spans[place.number], reader) for place in places]


def _rows(user: str | None, place: Place, span: _Span, reader: PartReader) -> Rows:
    """Give a user's rows in one part; raise StoreError if their number is not the index's."""
    lines = span.cut(place)
    if lines is None:
        lines = reader.read(place.part, place.offset, place.length)
    reader.check_rows(place.part, user, lines, place.count)
    return Rows(place.part, place.count, lines)
