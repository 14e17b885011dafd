"""The data of a report's page, as its script reads it. Pure.

Instants are texts in UTC; times are in seconds.
"""

from __future__ import annotations

from msgspec import Struct

from asyncreport.core.timeline import Interval, iso
from asyncreport.report.distribution import Distribution
from asyncreport.report.facts import LastRun
from asyncreport.report.numbers import Numbers


class Span(Struct, frozen=True):
    """A half-open span between two instants."""

    start: str
    end: str


def span_of(interval: Interval) -> Span:
    """Write an interval."""
    return Span(iso(interval.start), iso(interval.end))


class Step(Struct, frozen=True, kw_only=True):
    """The numbers of one step of the time axes."""

    #: None: nothing was fetched
    numbers: Numbers | None
    #: share of the agents' time that was not fetched, from 0 to 1
    missing: float
    #: number of values that the vendor changed later
    restated: int


class Cell(Struct, frozen=True, kw_only=True):
    """The numbers of one hour of the week, added up over the range."""

    #: None: nothing was fetched
    handled: int | None
    #: in seconds; None if nothing was handled
    aht: float | None
    #: something of this hour was not fetched
    incomplete: bool


class Change(Struct, frozen=True, kw_only=True):
    """The second half of the range against the first; shares, as 0.05 for 5 %."""

    earlier: Numbers
    later: Numbers
    #: None: it cannot be divided
    handled: float | None
    aht: float | None
    #: a difference of two shares
    occupancy: float | None


class Scope(Struct, frozen=True, kw_only=True):
    """One team, or all teams together."""

    #: None: all teams
    team: str | None
    #: name of the organisation's connection; None: all teams
    connection: str | None
    #: agents who have records; work that nobody did does not count
    agents: int
    total: Numbers
    #: share of the agents' time that was not fetched, from 0 to 1
    missing: float
    #: None: the range has no halves, or data is missing in one of them
    change: Change | None
    steps: list[Step]
    #: Monday to Sunday, 24 hours each; None: the job's buckets are longer than an hour
    week: list[list[Cell]] | None
    #: None: no agent handled anything
    distribution: Distribution | None


class Agent(Struct, frozen=True, kw_only=True):
    """The row of an agent in a team."""

    team: str
    connection: str
    #: None: work that no agent did
    id: str | None
    #: None: the directory does not know the name
    name: str | None
    numbers: Numbers
    #: something of this agent was not fetched
    incomplete: bool


class Gap(Struct, frozen=True, kw_only=True):
    """A span that was not fetched."""

    team: str
    span: Span
    #: number of agents; None: everyone
    agents: int | None


class Quality(Struct, frozen=True, kw_only=True):
    """What the reader must know about the data."""

    gaps: list[Gap]
    #: gaps that are not listed
    more_gaps: int
    #: teams that the last run could not look up
    unknown_teams: list[str]
    #: names of output files that lack records
    partial_files: list[str]
    #: number of chunks whose values are those of an earlier fetch, because a new one failed
    stale: int
    #: number of values that the vendor changed later
    restated: int
    #: when the last of them was found; None without any
    restated_at: str | None
    #: the first instant whose numbers may still change; None: all are settled
    unsettled_from: str | None
    #: agents who are in several teams: all teams together count them several times
    in_several_teams: int
    #: dimensions by which one interaction is counted several times
    counted_twice: list[str]


class Origin(Struct, frozen=True, kw_only=True):
    """How the report was made."""

    command: str
    version: str
    at: str
    #: the last run that finished; None: no run has finished
    last_run: LastRun | None


class PageData(Struct, frozen=True, kw_only=True):
    """All that the page shows."""

    job: str
    #: the page of one team
    team: str | None
    #: of the browser's tab, and of a bookmark
    title: str
    #: IANA name
    time_zone: str
    #: the range of the job
    range: Span
    #: what the numbers cover: the range up to the last fetch
    covered: Span
    #: P1D, P1W, P1M or none
    every: str
    steps: list[Span]
    #: the spans that are compared; None: there are none
    halves: tuple[Span, Span] | None
    #: names of the connections
    connections: list[str]
    has_hold: bool
    has_occupancy: bool
    #: all teams together first, if there are several
    scopes: list[Scope]
    agents: list[Agent]
    quality: Quality
    origin: Origin
