"""A contact centre and all its work: what is emitted when, and each agent's routing status. Pure.

An agent's day depends on (seed, agent, day) alone, so every query sees the same data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from functools import lru_cache
from typing import NamedTuple

from msgspec import Struct

from asyncreport.emulator import people, work
from asyncreport.emulator.people import Division, Person, Queue, shaped_id
from asyncreport.emulator.sessions import Session
from asyncreport.emulator.statuses import statuses
from asyncreport.emulator.work import Stretch, Workday

_DAY = 86_400_000
#: nobody works from this day on, so that a query about the far future ends
_LAST_DAY = (date(2100, 1, 1) - date(1970, 1, 1)).days
#: days of agents in memory, about 20 kB each
_CACHED_DAYS = 2048


class Span(NamedTuple):
    """The routing status of an agent for a while."""

    user_id: str
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
    """An organisation with a number of agents, and all the work they ever do."""

    def __init__(self, agents: int = 40, seed: int = 1) -> None:
        self.agents = agents
        self.seed = seed
        self.id = shaped_id(seed, "organization")
        self.divisions: Sequence[Division] = people.divisions(seed)
        self.queues: Sequence[Queue] = people.queues(seed)
        self.people: Sequence[Person] = people.people(seed, agents)
        self._by_id = {person.id: person for person in self.people}
        self._workday = lru_cache(maxsize=_CACHED_DAYS)(self._make_workday)
        self._statuses = lru_cache(maxsize=_CACHED_DAYS)(self._make_statuses)
        self._abandoned = lru_cache(maxsize=_CACHED_DAYS)(self._make_abandoned)

    def sessions(
        self, start: int, end: int, users: Sequence[str] | None = None
    ) -> Iterator[Session]:
        """Walk the sessions that may emit in `[start, end)` ms.

        With `users`, only the sessions of these users; otherwise all, also those without a user.
        A session near an edge emits outside of the interval as well: the caller must compare
        the instant of each event.
        """
        for person, day in self._days(start, end, users):
            yield from self._workday(person.id, day).sessions
        if users is not None:
            return
        for queue in self.queues:
            for day in range(max(start // _DAY, 0), _last_day(end) + 1):
                yield from self._abandoned(queue, day)

    def emissions(
        self, start: int, end: int, users: Sequence[str] | None = None
    ) -> Iterator[Emission]:
        """Walk everything that is emitted in `[start, end)` ms, in no particular order."""
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
        """Walk what a complete and correct export adds up to: all emissions in `[start, end)`."""
        return self.emissions(start, end)

    def statuses(self, start: int, end: int, users: Sequence[str] | None = None) -> Iterator[Span]:
        """Walk the routing statuses within `[start, end)` ms, cut at its ends.

        Those of one user come in the order of time.
        """
        for person, day in self._days(start, end, users):
            for status, begin, until in self._statuses(person.id, day):
                if begin < end and until > start:
                    yield Span(person.id, status, max(begin, start), min(until, end))

    def _days(
        self, start: int, end: int, users: Sequence[str] | None
    ) -> Iterator[tuple[Person, int]]:
        """Walk the days whose work may reach into an interval."""
        for person in self._chosen(users):
            first = max(start // _DAY - person.by_night, person.joined)
            last = _last_day(end)
            if person.left is not None:
                last = min(last, person.left - 1)
            for day in range(first, last + 1):
                yield person, day

    def _chosen(self, users: Sequence[str] | None) -> Sequence[Person]:
        if users is None:
            return self.people
        return [self._by_id[user] for user in dict.fromkeys(users) if user in self._by_id]

    def _make_workday(self, user_id: str, day: int) -> Workday:
        return work.workday(self.seed, self._by_id[user_id], day)

    def _make_statuses(self, user_id: str, day: int) -> tuple[Stretch, ...]:
        return statuses(self._workday(user_id, day))

    def _make_abandoned(self, queue: Queue, day: int) -> tuple[Session, ...]:
        return work.abandoned(self.seed, queue, day)


def _last_day(end: int) -> int:
    return min((end - 1) // _DAY, _LAST_DAY - 1)
