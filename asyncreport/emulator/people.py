"""Who works in the emulated organisation, in which division and on which queues. Pure.

Agent k depends on (seed, k) alone: the first 40 of 1,000 agents are the same as in a world of 40.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import accumulate
from typing import Literal

from msgspec import Struct

State = Literal["active", "inactive", "deleted"]

#: the time zone of every shift
ZONE = "Europe/Dublin"

_EPOCH = date(1970, 1, 1)
_QUEUE_NAMES = (
    "Billing",
    "Sales",
    "Technical Support",
    "Rückgabe & Umtausch",
    "Réclamations",
    "VIP",
)
_DIVISION_NAMES = ("Home", "Nordics & Baltics")
_FIRST_NAMES_TEXT = """
    Aoife Björn Chloé Dmitri Élodie Fatima Grzegorz Hanne Ikaika João Kenji Łucja Mehmet
    Nguyễn Oluwaseun Þóra Quentin Renée Søren Tomáš Uxía Väinö Wei Xochitl Yusuf Zoë 李
"""
_FIRST_NAMES = tuple(_FIRST_NAMES_TEXT.split())
_LAST_NAMES_TEXT = """
    Andersen, Björnsdóttir, Castaño, D'Souza, Eriksson, Ferreira, Grünwald, Horváth, Ivanova,
    Jönsson, Kowalska, Lefèvre, Müller, Nakamura, Okafor, Peña, Quinn, Rossi, Šimková, Trần,
    Ünal, van der Berg, Whelan, 娜
"""
_LAST_NAMES = tuple(name.strip() for name in _LAST_NAMES_TEXT.split(","))
#: agents with a fixed name: two people with the same name, and a name with quotation marks
_FIXED_NAMES = {3: "Mary O'Brien", 11: "Mary O'Brien", 5: 'Siobhán "Shiv" Ní Dhomhnaill'}

#: weights of the media in the order of `sessions.MEDIA`: four kinds of agents
_MEDIA_WEIGHTS = (
    (70, 10, 10, 5, 5),
    (20, 50, 15, 5, 10),
    (100, 0, 0, 0, 0),
    (40, 20, 20, 10, 10),
)
_OFFICE_WEEK = (0, 1, 2, 3, 4)
_WEEKS = (_OFFICE_WEEK, _OFFICE_WEEK, _OFFICE_WEEK, (2, 3, 4, 5, 6), (0, 1, 4, 5, 6))
#: first hour of the night shift
_NIGHT = 20


class Division(Struct, frozen=True):
    """A division of the organisation."""

    id: str
    name: str


class Queue(Struct, frozen=True):
    """An ACD queue."""

    id: str
    name: str
    division: Division


class Person(Struct, frozen=True, kw_only=True):
    """An agent: what the directory says, and what shapes a working day."""

    id: str
    name: str
    email: str
    state: State
    division: Division
    #: first day at work, days since 1970-01-01
    joined: int
    #: first day no longer at work; None: still there
    left: int | None
    #: hour of the local day at which the shift begins
    shift: int
    #: days of the week at work, Monday = 0
    weekdays: frozenset[int]
    #: 1.0 is usual; the interactions of a slow agent last longer
    pace: float
    #: the queues that this agent is a member of
    queues: tuple[Queue, ...]
    #: cumulative weights of the media
    media: tuple[int, ...]

    @property
    def by_night(self) -> bool:
        """Tell whether a shift runs into the next day."""
        return self.shift >= 18

    def works_on(self, day: int) -> bool:
        """Tell whether a day (since 1970-01-01) is one of this agent's working days."""
        if day < self.joined or (self.left is not None and day >= self.left):
            return False
        weekday = (day + 3) % 7  # 1970-01-01 was a Thursday
        return weekday in self.weekdays


def shaped_id(*parts: object) -> str:
    """Derive a lower-case version 4 UUID from the parts that name a thing."""
    seed = "/".join(map(str, parts))
    return str(uuid.UUID(int=random.Random(seed).getrandbits(128), version=4))


def divisions(seed: int) -> tuple[Division, ...]:
    """List the two divisions; the first is the home division."""
    return tuple(Division(shaped_id(seed, "division", name), name) for name in _DIVISION_NAMES)


def queues(seed: int) -> tuple[Queue, ...]:
    """List the six queues; the fourth is in the second division."""
    home, other = divisions(seed)
    made = []
    for number, name in enumerate(_QUEUE_NAMES):
        division = other if number == 3 else home
        made.append(Queue(shaped_id(seed, "queue", name), name, division))
    return tuple(made)


def people(seed: int, agents: int) -> tuple[Person, ...]:
    """List the agents, in any state."""
    all_divisions = divisions(seed)
    all_queues = queues(seed)
    return tuple(_person(seed, k, all_divisions, all_queues) for k in range(agents))


def _person(
    seed: int, k: int, all_divisions: Sequence[Division], all_queues: Sequence[Queue]
) -> Person:
    # The order of the draws decides who everybody is: a new draw belongs at the end.
    rng = random.Random(f"{seed}/person/{k}")
    state = _state(k)
    joined = _joined(rng, k)
    weights = rng.choice(_MEDIA_WEIGHTS)
    return Person(
        id=shaped_id(seed, "user", k),
        name=_name(rng, k),
        email=f"agent.{k}@emulator.example",
        state=state,
        division=all_divisions[rng.random() < 0.25],
        joined=joined,
        left=_left(rng, state, joined),
        shift=_shift(rng, k),
        weekdays=frozenset(rng.choice(_WEEKS)),
        pace=rng.uniform(0.75, 1.35),
        queues=tuple(rng.sample(all_queues, rng.choice((1, 2, 2, 3)))),
        media=tuple(accumulate(weights)),
    )


def _state(k: int) -> State:
    """Make 8 of 100 agents inactive and 2 deleted; the first 40 include some of each."""
    if k % 50 == 13:
        return "deleted"
    if k % 25 in (6, 19):
        return "inactive"
    return "active"


def _joined(rng: random.Random, k: int) -> int:
    if k % 10 == 4:
        return _day(rng, 2022, 2024)
    return _day(rng, 2012, 2019)


def _left(rng: random.Random, state: State, joined: int) -> int | None:
    if state == "active":
        return None
    return max(joined + 90, _day(rng, 2021, 2025))


def _name(rng: random.Random, k: int) -> str:
    if k in _FIXED_NAMES:
        return _FIXED_NAMES[k]
    first = rng.choice(_FIRST_NAMES)
    last = rng.choice(_LAST_NAMES)
    return f"{first} {last}"


def _shift(rng: random.Random, k: int) -> int:
    if k % 20 == 9:
        return _NIGHT
    return rng.choice((7, 8, 9, 12))


def _day(rng: random.Random, first_year: int, last_year: int) -> int:
    low = date(first_year, 1, 1)
    high = date(last_year + 1, 1, 1)
    day = low + timedelta(days=rng.randrange((high - low).days))
    return (day - _EPOCH).days
