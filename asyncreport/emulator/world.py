"""A contact centre and all its work: what is emitted when, and who has which routing status when. Pure.

A day of one agent depends on (seed, agent, day) alone, so that the data are the same however they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from msgspec import Struct

from asyncreport.emulator import people, work
from asyncreport.emulator.people import Division, Person, Queue, shaped_id
from asyncreport.emulator.statuses import statuses
from asyncreport.emulator.work import Session, Stretch, Workday

_DAY = 86_400_000
#: no work from this day on, so that a query into a far future ends
_LAST_DAY = (date(2100, 1, 1) - date(1970, 1, 1)).days
#: days of agents kept, some 20 kB each
_KEPT_DAYS = 2048


class Span(NamedTuple):
    """What an agent was for a while."""

    user_id: str
    #: a routing status or a presence
    status: str
    #: ms since 1970-01-01T00:00Z, as is the end
    start: int
    end: int


class Emission(Struct, frozen=True, kw_only=True, gc=False):
    """One value of one metric, at the instant that decides its bucket."""

    #: ms since 1970-01-01T00:00Z
    at: int
    conversation_id: str
    user_id: str | None
    queue_id: str | None
    media_type: str
    direction: str
    division_id: str
    wrap_up_code: str | None
    metric: str
    #: ms; None for a counter
    value: int | None


class World:
    """An organisation of so many agents and all the work they ever do."""

    def __init__(self, agents: int = 40, seed: int = 1) -> None:
        self.agents = agents
        self.seed = seed
        self.id = shaped_id(seed, "organization")
        self.divisions: Sequence[Division] = people.divisions(seed)
        self.queues: Sequence[Queue] = people.queues(seed)
        self.people: Sequence[Person] = people.people(seed, agents)
        self._by_id = {person.id: person for person in self.people}
        self._workday = lru_cache(maxsize=_KEPT_DAYS)(self._invented)
        self._statuses = lru_cache(maxsize=_KEPT_DAYS)(self._laid_over)
        self._abandoned = lru_cache(maxsize=_KEPT_DAYS)(self._lost)

    def sessions(
        self, start: int, end: int, users: Sequence[str] | None = None
    ) -> Iterator[Session]:
        """Walk the sessions that may emit in `[start, end)` ms, of these users or of all and of nobody.

        A session at the edges emits outside as well: whoever counts looks at each event's instant.
        """
        for person, day in self._days(start, end, users):
            yield from self._workday(person.id, day).sessions
        for queue in self.queues if users is None else ():
            for day in range(max(start // _DAY, 0), _last(end) + 1):
                yield from self._abandoned(queue, day)

    def emissions(
        self, start: int, end: int, users: Sequence[str] | None = None
    ) -> Iterator[Emission]:
        """Walk everything emitted in `[start, end)` ms, in no order."""
        for session in self.sessions(start, end, users):
            for at, metric, value in session.events:
                if start <= at < end:
                    yield Emission(
                        at=at,
                        conversation_id=session.conversation_id,
                        user_id=session.user_id,
                        queue_id=session.queue_id,
                        media_type=session.media_type,
                        direction=session.direction,
                        division_id=session.division_id,
                        wrap_up_code=session.wrap_up_code,
                        metric=metric,
                        value=value,
                    )

    def truth(self, start: int, end: int) -> Iterator[Emission]:
        """Walk what a complete and correct export must add up to: every emission in `[start, end)` ms."""
        return self.emissions(start, end)

    def statuses(self, start: int, end: int, users: Sequence[str] | None = None) -> Iterator[Span]:
        """Walk the routing statuses within `[start, end)` ms, of these users or of all; of each user in the order of time."""
        for person, day in self._days(start, end, users):
            yield from _clipped(person.id, self._statuses(person.id, day), start, end)

    def presences(self, start: int, end: int, users: Sequence[str] | None = None) -> Iterator[Span]:
        """Walk the presences, as `statuses` does."""
        for person, day in self._days(start, end, users):
            yield from _clipped(person.id, self._workday(person.id, day).presences, start, end)

    def _days(
        self, start: int, end: int, users: Sequence[str] | None
    ) -> Iterator[tuple[Person, int]]:
        """Walk the days whose work may reach into an interval."""
        chosen = (
            self.people
            if users is None
            else [person for user in dict.fromkeys(users) if (person := self._by_id.get(user))]
        )
        for person in chosen:
            last = _last(end) if person.left is None else min(_last(end), person.left - 1)
            for day in range(max(start // _DAY - person.by_night, person.joined), last + 1):
                yield person, day

    def _invented(self, user_id: str, day: int) -> Workday:
        return work.workday(self.seed, self._by_id[user_id], day)

    def _laid_over(self, user_id: str, day: int) -> tuple[Stretch, ...]:
        return statuses(self._workday(user_id, day))

    def _lost(self, queue: Queue, day: int) -> tuple[Session, ...]:
        return work.abandoned(self.seed, queue, day)


def _last(end: int) -> int:
    return min((end - 1) // _DAY, _LAST_DAY - 1)


def _clipped(user_id: str, stretches: Sequence[Stretch], start: int, end: int) -> Iterator[Span]:
    for status, begin, until in stretches:
        if begin < end and until > start:
            yield Span(user_id, status, max(begin, start), min(until, end))
