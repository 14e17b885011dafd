"""What a report is made from: a job and what is known about its export. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from msgspec import Struct

from asyncreport.core.job import Job, Part
from asyncreport.core.timeline import Interval, iso, parse_iso
from asyncreport.store.rollup_lines import until_fetched


class LastRun(Struct, frozen=True, kw_only=True):
    """The last run that finished."""

    #: an instant in UTC, as text
    started: str
    requests: int
    #: an instant in UTC, as text; None: a version before did not say it
    settled_until: str | None
    #: chunks whose values are those of an earlier fetch, because a new one failed
    stale: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """A job with its parts, and what the people who read the report must know about them."""

    #: with the members of its teams
    job: Job
    #: by the connection's name
    parts: Mapping[str, Sequence[Part]]
    #: names of users by id, by the connection's name
    names: Mapping[str, Mapping[str, str | None]]
    #: teams that the last run could not look up, also those that are not in the job for that reason
    unknown_teams: Sequence[str] = ()
    #: names of output files that were written although data was missing
    partial_files: Sequence[str] = ()
    #: None: no run has finished
    last_run: LastRun | None = None
    #: that makes the report again
    command: str
    version: str
    #: an instant
    now: int

    def parts_until_fetched(self, connection: str) -> list[Part]:
        """List the parts of a connection that overlap the range, without what was in the future."""
        found = filter(None, map(until_fetched, self.parts[connection]))
        return [part for part in found if part.interval.overlaps(self.job.interval)]

    @property
    def interval(self) -> Interval:
        """Give the range up to the last fetch: nothing is known about later times."""
        whole = self.job.interval
        if self._last_fetch <= whole.start:
            return whole
        return Interval(whole.start, min(whole.end, self._last_fetch))

    @property
    def stale(self) -> int:
        """Count the chunks whose values are those of an earlier fetch."""
        if self.last_run is None:
            return 0
        return self.last_run.stale

    @property
    def unsettled_from(self) -> str | None:
        """Give the instant from which on numbers may still change; None: there is none."""
        if self.last_run is None or self.last_run.settled_until is None:
            return None
        settled = parse_iso(self.last_run.settled_until)
        if settled >= self.interval.end:
            return None
        return iso(max(settled, self.interval.start))

    @property
    def shown(self) -> Iterator[object]:
        """Walk all that a page depends on, except when and how it was made; as JSON can write it.

        What was changed later is not read for it: then a part has changed too.
        """
        job = self.job
        yield self.version, job.name, str(job.interval), str(self.interval), job.teams
        for connection in job.connections:
            yield connection.name, job.query.fingerprint(connection.identity)
            yield from self._shown_of(connection.name)
        yield self.unknown_teams, self.partial_files, self.unsettled_from, self.stale

    def _shown_of(self, connection: str) -> Iterator[object]:
        """Walk what a page shows of a connection."""
        yield sorted(self.names[connection].items())
        yield list(map(_identity, self.parts[connection]))

    @property
    def _last_fetch(self) -> int:
        """Give the start of the last run, also of one that did not finish: an instant."""
        times = [part.fetched_at for part in chain.from_iterable(self.parts.values())]
        times += self._last_start
        return max(times, default=self.now)

    @property
    def _last_start(self) -> list[int]:
        """Give the start of the last run that finished, if there is one."""
        if self.last_run is None:
            return []
        return [parse_iso(self.last_run.started)]


def _identity(part: Part) -> tuple[int, str, int]:
    """Give what tells a part of a connection from all others."""
    return part.number, part.sha256, part.fetched_at
