"""Put together the data of a report's page. Reads the state folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from threading import Event

from asyncreport.config.schema import MULTI_VALUED
from asyncreport.core.job import Job, Query, Team
from asyncreport.core.local_time import local_date
from asyncreport.core.text import first_items
from asyncreport.core.timeline import Interval, iso
from asyncreport.report.coverage import Missing, missing_of
from asyncreport.report.facts import Facts
from asyncreport.report.model import Agent, Gap, Origin, PageData, Quality, Scope, Span, span_of
from asyncreport.report.numbers import numbers_of
from asyncreport.report.periods import Halves, axis_length, halves, steps
from asyncreport.report.restated import Restated, count_restated
from asyncreport.report.rollups import RollUps, Row, read_rollups
from asyncreport.report.scopes import Material
from asyncreport.store.parts import PartReader

#: gaps that the page lists
_MOST_GAPS = 100

#: teams that the title names
_MOST_TEAMS = 3


def page_data(
    facts: Facts, reader: PartReader, stopped: Event, *, of_team: bool = False
) -> PageData:
    """Read the parts and describe the page; `of_team`: the job has one team, on its own page.

    Raise StoreError, and Interrupted once `stopped` is set.
    """
    material = _material(facts, reader, stopped)
    return _page(facts, material, of_team=of_team)


def _material(facts: Facts, reader: PartReader, stopped: Event) -> Material:
    """Read the parts and everything else that is on disk."""
    query, interval = facts.job.query, facts.interval
    every = axis_length(query, interval)
    spans = steps(every, query, interval)
    return Material(
        rollups=read_rollups(facts, interval, reader, stopped),
        interval=interval,
        every=every,
        steps=spans,
        halves=halves(query, interval),
        missing=_missing(facts, interval),
        restated=count_restated(facts, spans),
    )


def _page(facts: Facts, material: Material, *, of_team: bool) -> PageData:
    """Describe the page."""
    job = facts.job
    return PageData(
        job=job.name,
        team=job.teams[0].name if of_team else None,
        title=_title(facts.job, material.interval),
        time_zone=str(job.query.grid.zone),
        range=span_of(job.interval),
        covered=span_of(material.interval),
        every=material.every,
        steps=list(map(span_of, material.steps)),
        halves=_half_spans(material.halves),
        connections=[connection.name for connection in job.connections],
        has_hold=job.query.contract != "entities",
        has_occupancy=job.query.occupancy,
        scopes=_scopes(material, job.teams),
        agents=list(_agents(facts, material)),
        quality=_quality(facts, material),
        origin=_origin(facts),
    )


def _title(job: Job, interval: Interval) -> str:
    """Name the job, its teams and its days: a person may have many such pages."""
    zone = job.query.grid.zone
    names = dict.fromkeys(team.name for team in job.teams)
    teams = first_items(list(names), "team", limit=_MOST_TEAMS)
    # The end is not included.
    first, last = local_date(interval.start, zone), local_date(interval.end - 1, zone)
    return f"{job.name}: {teams}, {first} to {last}"


def _half_spans(found: Halves | None) -> tuple[Span, Span] | None:
    """Write the two halves of the range."""
    if found is None:
        return None
    return span_of(found.earlier), span_of(found.later)


def _missing(facts: Facts, interval: Interval) -> dict[str, Missing]:
    """Find what is missing, by the team's name."""
    parts = {name: facts.parts_until_fetched(name) for name in facts.parts}
    return {
        team.name: missing_of(team, interval, parts[team.connection]) for team in facts.job.teams
    }


def _scopes(material: Material, teams: Sequence[Team]) -> list[Scope]:
    """Describe all teams together, if there are several, then each team."""
    scopes = [material.scope([team]) for team in teams]
    if len(teams) > 1:
        scopes.insert(0, material.scope(teams))
    return scopes


def _agents(facts: Facts, material: Material) -> Iterator[Agent]:
    """Walk the agents of each team."""
    for team in facts.job.teams:
        lacking = material.missing[team.name]
        for row in material.rollups.agents.get(team.name, ()):
            yield _agent(team, row, lacking.concerns(row["user_id"]))


def _agent(team: Team, row: Row, incomplete: bool) -> Agent:
    """Describe an agent in a team."""
    return Agent(
        team=team.name,
        connection=team.connection,
        id=row["user_id"],
        name=row["user_name"],
        numbers=numbers_of(row),
        incomplete=incomplete,
    )


def _quality(facts: Facts, material: Material) -> Quality:
    """Say what the reader must know about the data."""
    gaps = list(_gaps(material.missing))
    restated = sum(material.restated.values(), Restated())
    return Quality(
        gaps=gaps[:_MOST_GAPS],
        more_gaps=max(0, len(gaps) - _MOST_GAPS),
        unknown_teams=list(facts.unknown_teams),
        partial_files=list(facts.partial_files),
        stale=facts.stale,
        restated=restated.steps.total(),
        restated_at=restated.last or None,
        unsettled_from=facts.unsettled_from,
        in_several_teams=_in_several_teams(facts.job.teams, material.rollups),
        counted_twice=_counted_twice(facts.job.query),
    )


def _gaps(missing: Mapping[str, Missing]) -> Iterator[Gap]:
    """Walk the gaps of each team, in order of time."""
    for team, found in missing.items():
        for span in sorted(found.spans):
            yield Gap(team=team, span=span_of(span), agents=found.agents_in(span))


def _in_several_teams(teams: Sequence[Team], rollups: RollUps) -> int:
    """Count the agents who have records in several teams."""
    counts = Counter(agent for agent, _ in rollups.agents_of(teams))
    return sum(number > 1 for number in counts.values())


def _counted_twice(query: Query) -> list[str]:
    """List the dimensions of the split whose records do not add up to the total."""
    return [name for name in query.split_by if name in MULTI_VALUED]


def _origin(facts: Facts) -> Origin:
    """Say how the report was made."""
    return Origin(
        command=facts.command,
        version=facts.version,
        at=iso(facts.now),
        last_run=facts.last_run,
    )
