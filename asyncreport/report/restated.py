"""How many values the vendor changed after they were fetched, by team and step. Reads the list."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from asyncreport.core.job import Team
from asyncreport.core.timeline import Interval, parse_iso
from asyncreport.report.facts import Facts
from asyncreport.store.restatements import read_restatements

#: the number of its step, the user, and when it was found
_Change = tuple[int, str | None, str]


@dataclass(slots=True)
class Restated:
    """Changed values of records that lie in the steps."""

    #: by the number of the step
    steps: Counter[int] = field(default_factory=Counter)
    #: when the last of them was found, an instant in UTC, as text; empty without any
    last: str = ""

    def __add__(self, other: Restated) -> Restated:
        return Restated(self.steps + other.steps, max(self.last, other.last))

    def add(self, step: int, at: str) -> None:
        """Count a value."""
        self.steps[step] += 1
        self.last = max(self.last, at)


def count_restated(facts: Facts, steps: Sequence[Interval]) -> dict[str, Restated]:
    """Count the changed values of each team, by its name; raise StoreError."""
    counts = [_TeamCount.of(team) for team in facts.job.teams]
    for connection in facts.job.connections:
        of_connection = [each for each in counts if each.team.connection == connection.name]
        for change in _changes(facts, connection.name, steps):
            _add(change, of_connection)
    return {count.team.name: count.restated for count in counts}


def _add(change: _Change, counts: Sequence[_TeamCount]) -> None:
    """Count a change in each team that has its user."""
    for count in counts:
        count.add(*change)


@dataclass(frozen=True, slots=True)
class _TeamCount:
    """The changed values of a team."""

    team: Team
    users: frozenset[str | None]
    restated: Restated

    @classmethod
    def of(cls, team: Team) -> _TeamCount:
        """Begin to count."""
        return cls(team, frozenset(team.users), Restated())

    def add(self, step: int, user: str | None, at: str) -> None:
        """Count a value if it is of a member."""
        if self.team.everyone or user in self.users:
            self.restated.add(step, at)


def _changes(facts: Facts, connection: str, steps: Sequence[Interval]) -> Iterator[_Change]:
    """Walk the changes that lie in a step."""
    starts = [step.start for step in steps]
    end = steps[-1].end
    for change in read_restatements(facts.job.parts_folder / connection):
        at = parse_iso(change.interval_start)
        if starts[0] <= at < end:
            yield bisect_right(starts, at) - 1, change.user_id, change.at
