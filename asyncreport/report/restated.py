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
    found = {team.name: Restated() for team in facts.job.teams}
    for connection in facts.job.connections:
        teams = [team for team in facts.job.teams if team.connection == connection.name]
        members = [(found[team.name], _Members.of(team)) for team in teams]
        for step, user, at in _changes(facts, connection.name, steps):
            for restated, each in members:
                if user in each:
                    restated.add(step, at)
    return found


@dataclass(frozen=True, slots=True)
class _Members:
    """Who belongs to a team."""

    everyone: bool
    users: frozenset[str | None]

    @classmethod
    def of(cls, team: Team) -> _Members:
        """List the members of a team."""
        return cls(team.everyone, frozenset(team.users))

    def __contains__(self, user: str | None) -> bool:
        return self.everyone or user in self.users


def _changes(
    facts: Facts, connection: str, steps: Sequence[Interval]
) -> Iterator[tuple[int, str | None, str]]:
    """Walk the changes that lie in a step: its number, the user, and when it was found."""
    starts = [step.start for step in steps]
    end = steps[-1].end
    for change in read_restatements(facts.job.parts_folder / connection):
        at = parse_iso(change.interval_start)
        if starts[0] <= at < end:
            yield bisect_right(starts, at) - 1, change.user_id, change.at
