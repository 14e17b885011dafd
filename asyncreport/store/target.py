"""What belongs in an output file: parts, names and teams. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import orjson

from asyncreport.core.job import Part, Team
from asyncreport.core.timeline import Interval

_QUEUE = re.compile(rb'"queue_id":(null|"(?:[^"\\]|\\.)*")')


@dataclass(slots=True, frozen=True)
class Source:
    """One connection's parts and names; made by `Source.of`."""

    #: by month, each in order of time
    months: Mapping[str, Sequence[Part]]
    #: by user id
    names: Mapping[str, str | None]
    #: of all names
    names_digest: str
    #: names by queue id; None: the rows have no queue
    queues: Mapping[str, str | None] | None = None

    @classmethod
    def of(
        cls,
        parts: Iterable[Part],
        names: Mapping[str, str | None],
        queues: Mapping[str, str | None] | None = None,
    ) -> Source:
        """Sort parts by month and time."""
        months = defaultdict(list)
        for part in sorted(parts, key=lambda part: part.interval):
            months[part.month].append(part)
        return cls(months, names, _names_digest(names, queues), queues)

    def with_queue_names(self, block: bytes) -> bytes:
        """Put a `queue_name` after every `queue_id`, if the rows have queues."""
        queues = self.queues
        if queues is None:
            return block

        def named(match: re.Match[bytes]) -> bytes:
            name = queues.get(orjson.loads(match[1]))
            return b'%b,"queue_name":%b' % (match[0], orjson.dumps(name))

        return _QUEUE.sub(named, block)


def _names_digest(names: Mapping[str, str | None], queues: Mapping[str, str | None] | None) -> str:
    """Hash all names, sorted: the order in which they were looked up must not matter."""
    hashed = [sorted(names.items()), None]
    if queues is not None:
        hashed[1] = sorted(queues.items())
    return sha256(orjson.dumps(hashed)).hexdigest()


@dataclass(slots=True, frozen=True, kw_only=True)
class Target:
    """One output file: its path and what belongs in it."""

    #: absolute: the file is remembered under this name
    path: Path
    #: the range; rows outside it are left out
    interval: Interval
    #: in order of time
    months: tuple[str, ...]
    #: in the job's order
    teams: tuple[Team, ...]
    #: by the connection's name
    sources: Mapping[str, Source]

    def parts(self, connection: str, month: str) -> list[Part]:
        """List a connection's parts that overlap the range, in order of time."""
        parts = self.sources[connection].months.get(month, ())
        return [part for part in parts if part.interval.overlaps(self.interval)]

    @property
    def has_data(self) -> bool:
        """Tell whether there is a part that may hold records of this file."""
        for team in self.teams:
            for month in self.months:
                for part in self.parts(team.connection, month):
                    if _may_hold(part, team):
                        return True
        return False


def _may_hold(part: Part, team: Team) -> bool:
    """Tell whether a part may hold records of a team."""
    if part.users is None or team.everyone:
        return True
    return not set(part.users).isdisjoint(team.users)
