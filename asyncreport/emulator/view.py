"""What a client sees of an organisation's data: of its divisions, until now. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from asyncreport.emulator import aggregates, user_aggregates
from asyncreport.emulator.containers import Key
from asyncreport.emulator.query import Query, until
from asyncreport.emulator.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The data behind the queries of a client."""

    world: World
    #: ids of the divisions that the client's roles cover; None: all
    divisions: frozenset[str] | None = None
    #: the time 0, in seconds since 1970; None: everything has happened already
    epoch: float | None = None

    def until_now(self, query: Query, now: float) -> Query:
        """Cut a query off at the time of its request, in seconds: later, nothing has happened."""
        if self.epoch is None:
            return query
        return until(query, int((self.epoch + now) * 1000))

    def count(self, query: Query) -> dict[Key, aggregates.Cells]:
        """Add up what the conversations of the divisions emit."""
        return aggregates.count(query, self.world, self.divisions)

    def count_statuses(self, query: Query) -> dict[Key, user_aggregates.Cells]:
        """Add up the routing statuses of the users of the divisions."""
        return user_aggregates.count_statuses(query, self.world, self.divisions)
