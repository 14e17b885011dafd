"""Who belongs to which group, team and queue today. Pure data; `Rosters` owns what tests change.

As with the vendor, nobody is in two teams, groups and queues overlap, and people who left are
still members. The first members in a world of 1,000 agents are the members in a world of 40.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec
from msgspec import Struct

from asyncreport.emulator.people import Division, Person, shaped_id
from asyncreport.emulator.world import World

Kind = Literal["group", "team", "queue"]

#: two with the same name, and sizes from a few members to all users
_GROUPS: tuple[tuple[str, Callable[[int, Person], bool]], ...] = (
    ("Everyone", lambda _, __: True),
    ("Night Shift", lambda _, person: person.by_night),
    ("Pilot", lambda k, _: k < 3),
    ("Quality Circle", lambda k, _: k % 7 == 0),
    ("Quality Circle", lambda k, _: k % 9 == 4),
    ("Équipe d'accueil", lambda k, _: k % 2 == 0),
    ("Leavers of Long Ago", lambda _, __: False),
)
#: the name of one is the beginning of another one's
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
    #: ids of users, also of deleted ones
    members: tuple[str, ...]


class _Change(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """New members of one group, team or queue."""

    group: str = ""
    team: str = ""
    queue: str = ""
    members: tuple[str, ...]


class Rosters:
    """All groups, teams and queues that the directory lists."""

    def __init__(self, world: World, *, deleted_queues: Sequence[str] = ()) -> None:
        self._all: dict[tuple[Kind, str], Roster] = {}
        for made in (_groups(world), _teams(world), _queues(world, deleted_queues)):
            self._all.update(((roster.kind, roster.id), roster) for roster in made)

    def find(self, kind: Kind, roster_id: str) -> Roster | None:
        """Find one by id."""
        return self._all.get((kind, roster_id))

    def of(self, kind: Kind) -> list[Roster]:
        """List those of one kind, sorted by name."""
        found = [roster for roster in self._all.values() if roster.kind == kind]
        return sorted(found, key=lambda roster: (roster.name, roster.id))

    def change(self, order: object) -> None:
        """Replace members: `{"group": id, "members": [user id, ...]}`, or "team" or "queue".

        Raise ValueError for any other order, and if the group, team or queue does not exist.
        """
        change = msgspec.convert(order, _Change)
        roster = (
            self.find("group", change.group)
            or self.find("team", change.team)
            or self.find("queue", change.queue)
        )
        if roster is None:
            raise ValueError(f"{order} names no group, team or queue that exists")
        roster.members = change.members


def _groups(world: World) -> Iterator[Roster]:
    for number, (name, belongs) in enumerate(_GROUPS):
        yield Roster(
            kind="group",
            id=shaped_id(world.seed, "group", number, name),
            name=name,
            members=tuple(person.id for k, person in enumerate(world.people) if belongs(k, person)),
        )


def _teams(world: World) -> Iterator[Roster]:
    for name, belongs in _TEAMS:
        yield Roster(
            kind="team",
            id=shaped_id(world.seed, "team", name),
            name=name,
            division=world.divisions[name == "Billing West"],
            members=tuple(person.id for k, person in enumerate(world.people) if belongs(k)),
        )


def _queues(world: World, deleted: Sequence[str]) -> Iterator[Roster]:
    for queue in world.queues:
        if queue.name not in deleted:
            yield Roster(
                kind="queue",
                id=queue.id,
                name=queue.name,
                division=queue.division,
                members=tuple(person.id for person in world.people if queue in person.queues),
            )
    yield _new_queue(world)


def _new_queue(world: World) -> Roster:
    """Make a queue that has no work yet, and the name of another one."""
    return Roster(
        kind="queue",
        id=shaped_id(world.seed, "queue", "Sales", 2),
        name="Sales",
        division=world.divisions[1],
        members=tuple(person.id for k, person in enumerate(world.people) if k % 10 == 1),
    )
