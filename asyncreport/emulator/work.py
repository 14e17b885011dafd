"""The day of one agent or one queue, invented from a seed: sessions and hours on duty. Pure."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta

from msgspec import Struct

from asyncreport.emulator import people
from asyncreport.emulator.people import Person, Queue
from asyncreport.emulator.sessions import Session, abandoned_session, agent_session
from asyncreport.emulator.zones import load_zone

_MINUTE = 60_000
_HOUR = 60 * _MINUTE
_EPOCH = date(1970, 1, 1)

#: routing status, start, end
Stretch = tuple[str, int, int]


class Workday(Struct, frozen=True, gc=False):
    """One agent's day."""

    sessions: tuple[Session, ...] = ()
    #: IDLE while on queue and OFF_QUEUE while only logged in, without gaps;
    #: before and after them the agent is logged out
    on_duty: tuple[Stretch, ...] = ()


def workday(seed: int, person: Person, day: int) -> Workday:
    """Invent an agent's day (counted from 1970-01-01); it begins on that local day."""
    if not person.works_on(day):
        return Workday()
    rng = random.Random(f"{seed}/{person.id}/{day}")
    # Statuses have random numbers of their own, so that sessions do not depend on them.
    duty_rng = random.Random(f"{seed}/{person.id}/{day}/presences")
    opening = _local(day, person.shift)
    if rng.random() < 0.06:  # ill, on holiday, in training
        return _absence(duty_rng, opening)
    return _attendance(rng, duty_rng, person, opening)


def _attendance(
    rng: random.Random, duty_rng: random.Random, person: Person, opening: int
) -> Workday:
    begin = opening + rng.randrange(9 * _MINUTE)
    end = begin + rng.randrange(7 * _HOUR, 8 * _HOUR)
    sessions, meal = _shift(rng, person, begin, end)
    last_event = max(at for session in sessions for at, _, _ in session.events)
    off = max(end, meal[1], last_event)
    return Workday(tuple(sessions), _on_duty(duty_rng, begin, meal, off))


def _shift(
    rng: random.Random, person: Person, begin: int, end: int
) -> tuple[list[Session], tuple[int, int]]:
    """Invent the sessions of a day, and the meal; the meal is empty on a short day."""
    meal_due = begin + rng.randrange(3 * _HOUR, 4 * _HOUR)
    meal = (end, end)
    sessions = []
    at = begin
    while at < end:
        session, busy_ms = agent_session(rng, person, at)
        sessions.append(session)
        at += busy_ms + _pause_ms(rng)
        if meal_due <= at < end:
            meal = (at, at + rng.randrange(25 * _MINUTE, 45 * _MINUTE))
            at = meal[1]
            meal_due = end  # one meal a day
    return sessions, meal


def _pause_ms(rng: random.Random) -> int:
    return int(rng.expovariate(1 / 300_000)) + 5_000


def _on_duty(
    rng: random.Random, begin: int, meal: tuple[int, int], off: int
) -> tuple[Stretch, ...]:
    on_queue = begin - rng.randrange(4 * _MINUTE)
    login = on_queue - rng.randrange(_MINUTE, 12 * _MINUTE)
    logout = off + rng.randrange(_MINUTE, 15 * _MINUTE)
    stretches = (
        ("OFF_QUEUE", login, on_queue),
        ("IDLE", on_queue, meal[0]),
        ("OFF_QUEUE", meal[0], meal[1]),
        ("IDLE", meal[1], off),
        ("OFF_QUEUE", off, logout),
    )
    return tuple(stretch for stretch in stretches if stretch[1] < stretch[2])


def _absence(rng: random.Random, opening: int) -> Workday:
    """On some days without work the agent is logged in (a training), on others not at all."""
    if rng.random() < 0.6:
        return Workday()
    return Workday(on_duty=(("OFF_QUEUE", opening, opening + rng.randrange(4 * _HOUR, 7 * _HOUR)),))


def abandoned(seed: int, queue: Queue, day: int) -> tuple[Session, ...]:
    """Invent a queue's day of interactions that nobody answered."""
    rng = random.Random(f"{seed}/{queue.id}/{day}")
    weekend = (day + 3) % 7 > 4
    opening = _local(day, 8)
    sessions = []
    for _ in range(rng.randrange(3 if weekend else 12)):
        at = opening + rng.randrange(12 * _HOUR)
        sessions.append(abandoned_session(rng, queue, at))
    return tuple(sessions)


def _local(day: int, hour: int) -> int:
    """Return the instant of a full hour of a day in the organisation's time zone."""
    on = _EPOCH + timedelta(days=day)
    moment = datetime(on.year, on.month, on.day, hour, tzinfo=load_zone(people.ZONE))
    return int(moment.astimezone(UTC).timestamp()) * 1000
