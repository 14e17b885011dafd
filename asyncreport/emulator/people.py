"""Who works in the emulated organisation, in which division and on which queues. Pure.

Everything about agent k follows from (seed, k): an organisation of 1,000 agents begins with the same 40 as one of 40.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Literal

from msgspec import Struct

State = Literal["active", "inactive", "deleted"]

#: the zone of every shift
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
_FIRST_NAMES = (
    *(
        "Aoife",
        "Björn",
        "Chloé",
        "Dmitri",
        "Élodie",
        "Fatima",
        "Grzegorz",
        "Hanne",
        "Ikaika",
        "João",
        "Kenji",
        "Łucja",
        "Mehmet",
    ),
    *(
        "Nguyễn",
        "Oluwaseun",
        "Þóra",
        "Quentin",
        "Renée",
        "Søren",
        "Tomáš",
        "Uxía",
        "Väinö",
        "Wei",
        "Xochitl",
        "Yusuf",
        "Zoë",
        "李",
    ),
)
_LAST_NAMES = (
    *(
        "Andersen",
        "Björnsdóttir",
        "Castaño",
        "D'Souza",
        "Eriksson",
        "Ferreira",
        "Grünwald",
        "Horváth",
        "Ivanova",
        "Jönsson",
        "Kowalska",
    ),
    *(
        "Lefèvre",
        "Müller",
        "Nakamura",
        "Okafor",
        "Peña",
        "Quinn",
        "Rossi",
        "Šimková",
        "Trần",
        "Ünal",
        "van der Berg",
        "Whelan",
        "娜",
    ),
)
#: agents whose name is fixed: two people of one name, and one with quotation marks
_FIXED_NAMES = {3: "Mary O'Brien", 11: "Mary O'Brien", 5: 'Siobhán "Shiv" Ní Dhomhnaill'}


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
    #: 1.0 is usual; a slow agent's interactions last longer
    pace: float
    #: the queues this agent is a member of
    queues: tuple[Queue, ...]
    #: media in the order of `_MEDIA`, cumulative weights
    media: tuple[int, ...]

    @property
    def by_night(self) -> bool:
        """Tell whether a shift runs into the next day."""
        return self.shift >= 18

    def works_on(self, day: int) -> bool:
        """Tell whether a day (since 1970-01-01, a Thursday) is one of this agent's working days."""
        return (
            self.joined <= day
            and (self.left is None or day < self.left)
            and (day + 3) % 7 in self.weekdays
        )


def shaped_id(*parts: object) -> str:
    """Derive a lower-case version 4 UUID from what it names."""
    return str(uuid.UUID(int=random.Random("/".join(map(str, parts))).getrandbits(128), version=4))


def divisions(seed: int) -> tuple[Division, ...]:
    """List the two divisions; the first is the home division."""
    return tuple(Division(shaped_id(seed, "division", name), name) for name in _DIVISION_NAMES)


def queues(seed: int) -> tuple[Queue, ...]:
    """List the six queues."""
    homes = divisions(seed)
    return tuple(
        Queue(shaped_id(seed, "queue", name), name, homes[n == 3])
        for n, name in enumerate(_QUEUE_NAMES)
    )


def people(seed: int, agents: int) -> tuple[Person, ...]:
    """List the agents, whatever their state."""
    homes, lines = divisions(seed), queues(seed)
    return tuple(_person(seed, k, homes, lines) for k in range(agents))


def _person(seed: int, k: int, homes: Sequence[Division], lines: Sequence[Queue]) -> Person:
    rng = random.Random(f"{seed}/person/{k}")
    state = _state(k)
    joined = _day(rng, 2022, 2024) if k % 10 == 4 else _day(rng, 2012, 2019)
    weights = rng.choice(
        ((70, 10, 10, 5, 5), (20, 50, 15, 5, 10), (100, 0, 0, 0, 0), (40, 20, 20, 10, 10))
    )
    return Person(
        id=shaped_id(seed, "user", k),
        name=_FIXED_NAMES.get(k) or f"{rng.choice(_FIRST_NAMES)} {rng.choice(_LAST_NAMES)}",
        email=f"agent.{k}@emulator.example",
        state=state,
        division=homes[rng.random() < 0.25],
        joined=joined,
        left=None if state == "active" else max(joined + 90, _day(rng, 2021, 2025)),
        shift=20 if k % 20 == 9 else rng.choice((7, 8, 9, 12)),
        weekdays=frozenset(
            rng.choice(
                (
                    (0, 1, 2, 3, 4),
                    (0, 1, 2, 3, 4),
                    (0, 1, 2, 3, 4),
                    (2, 3, 4, 5, 6),
                    (0, 1, 4, 5, 6),
                )
            )
        ),
        pace=rng.uniform(0.75, 1.35),
        queues=tuple(rng.sample(lines, rng.choice((1, 2, 2, 3)))),
        media=tuple(sum(weights[: n + 1]) for n in range(len(weights))),
    )


def _state(k: int) -> State:
    """Make 8 of 100 agents inactive and 2 deleted, and the first 40 hold some of each."""
    if k % 50 == 13:
        return "deleted"
    return "inactive" if k % 25 in (6, 19) else "active"


def _day(rng: random.Random, first_year: int, last_year: int) -> int:
    low, high = date(first_year, 1, 1), date(last_year + 1, 1, 1)
    return (low - _EPOCH + timedelta(days=rng.randrange((high - low).days))).days
