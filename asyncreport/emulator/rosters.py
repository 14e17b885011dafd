"""Who belongs to which group, team and queue today. Pure data; a `Rosters` owns what tests change.

Nobody is in two teams, as with the vendor; groups and queues overlap, and whoever left is still a member. As with agents, an
organisation of 1,000 begins with the members of one of 40.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
from msgspec import Struct

from asyncreport.emulator.people import Division, Person, Queue, shaped_id
from asyncreport.emulator.world import World

Kind = Literal["group", "team", "queue"]

#: two of one name, and sizes from a handful to everybody
_GROUPS: tuple[tuple[str, Callable[[int, Person], bool]], ...] = (
    ("Everyone", lambda _, __: True),
    ("Night Shift", lambda _, person: person.by_night),
    ("Pilot", lambda k, _: k < 3),
    ("Quality Circle", lambda k, _: k % 7 == 0),
    ("Quality Circle", lambda k, _: k % 9 == 4),
    ("Équipe d'accueil", lambda k, _: k % 2 == 0),
    ("Leavers of Long Ago", lambda _, __: False),
)
#: one is how another begins
_TEAMS: tuple[tuple[str, Callable[[int], bool]], ...] = (
    ("Customer Care", lambda k: k % 8 in (0, 2, 4, 6)),
    ("Billing East", lambda k: k % 8 == 1),
    ("Billing West", lambda k: k % 8 == 3),
    ("Sales", lambda k: k % 8 == 5),
    ("Sales Nights", lambda k: k in (7, 15, 23)),
    ("Nobody Yet", lambda _: False),
)


@dataclass(slots=True, kw_only=True)
class Roster:
    """A group, team or queue."""

    kind: Kind
    id: str
    name: str
    #: None: groups have none
    division: Division | None = None
    #: user ids, of deleted users too
    members: tuple[str, ...]


class _Change(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is to belong to what."""

    group: str = ""
    team: str = ""
    queue: str = ""
    members: tuple[str, ...]


class Rosters:
    """Every group, team and queue of an organisation that the directory still lists."""

    def __init__(self, world: World, *, deleted_queues: Sequence[str] = ()) -> None:
        people = list(enumerate(world.people))
        listed = [queue for queue in world.queues if queue.name not in deleted_queues]
        found = [
            *_groups(world, people),
            *_teams(world, people),
            *(_queue(queue, people) for queue in listed),
            *_newest(world, people),
        ]
        self._all = {(roster.kind, roster.id): roster for roster in found}

    def find(self, kind: Kind, roster_id: str) -> Roster | None:
        """Find one by id."""
        return self._all.get((kind, roster_id))

    def of(self, kind: Kind) -> list[Roster]:
        """List those of one kind, by name."""
        return sorted(
            (roster for roster in self._all.values() if roster.kind == kind),
            key=lambda roster: (roster.name, roster.id),
        )

    def change(self, order: object) -> None:
        """Let other users be the members from now on: `{"group": id, "members": [user id, ...]}`, or team or queue instead of group.

        Raise ValueError for an order that is none, and where there is no such group, team or queue.
        """
        change = msgspec.convert(order, _Change)
        named = [
            self.find("group", change.group),
            self.find("team", change.team),
            self.find("queue", change.queue),
        ]
        roster = next(filter(None, named), None)
        if roster is None:
            raise ValueError(f"no group, team or queue is what {order} names")
        roster.members = change.members


def _groups(world: World, people: Sequence[tuple[int, Person]]) -> list[Roster]:
    return [
        Roster(
            kind="group",
            id=shaped_id(world.seed, "group", n, name),
            name=name,
            members=tuple(person.id for k, person in people if belongs(k, person)),
        )
        for n, (name, belongs) in enumerate(_GROUPS)
    ]


def _teams(world: World, people: Sequence[tuple[int, Person]]) -> list[Roster]:
    return [
        Roster(
            kind="team",
            id=shaped_id(world.seed, "team", name),
            name=name,
            division=world.divisions[name == "Billing West"],
            members=tuple(person.id for k, person in people if belongs(k)),
        )
        for name, belongs in _TEAMS
    ]


def _queue(queue: Queue, people: Sequence[tuple[int, Person]]) -> Roster:
    members = tuple(person.id for _, person in people if queue in person.queues)
    return Roster(
        kind="queue", id=queue.id, name=queue.name, division=queue.division, members=members
    )


def _newest(world: World, people: Sequence[tuple[int, Person]]) -> list[Roster]:
    """List the queue that has had no work yet, and bears the name of another."""
    members = tuple(person.id for k, person in people if k % 10 == 1)
    return [
        Roster(
            kind="queue",
            id=shaped_id(world.seed, "queue", "Sales", 2),
            name="Sales",
            division=world.divisions[1],
            members=members,
        )
    ]
