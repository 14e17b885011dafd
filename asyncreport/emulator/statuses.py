"""The routing statuses of an agent's day: the hours on duty with the sessions laid over them. Pure.

Believed: an agent on queue is idle until an interaction is answered and interacts until its
after-call work ends, also during a meal; after a missed alert the agent does not respond for a
while; a call that no queue offered is communication.
https://help.mypurecloud.com/articles/agent-status-glossary/
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from asyncreport.emulator.sessions import Session
from asyncreport.emulator.work import Stretch, Workday

#: if several hold at the same time, the last one of this list counts
STATUSES = ("OFF_QUEUE", "IDLE", "NOT_RESPONDING", "COMMUNICATING", "INTERACTING")


def statuses(day: Workday) -> tuple[Stretch, ...]:
    """List a day's routing statuses in order; neighbours differ."""
    found: list[Stretch] = []
    for status, start, end in _pieces(day):
        if found and found[-1][0] == status and found[-1][2] == start:
            found[-1] = (status, found[-1][1], end)
        else:
            found.append((status, start, end))
    return tuple(found)


def _pieces(day: Workday) -> Iterator[Stretch]:
    """Walk over the instants at which a stretch begins or ends."""
    stretches = [*day.on_duty, *map(_busy, day.sessions)]
    holding = dict.fromkeys(STATUSES, 0)
    for (at, change, status), (until, _, _) in pairwise(_changes(stretches)):
        holding[status] += change
        if at < until:
            yield _strongest(holding), at, until


def _changes(stretches: list[Stretch]) -> list[tuple[int, int, str]]:
    """List the instants at which a status begins to hold (1) or ends (-1), in order."""
    begins = [(start, 1, status) for status, start, _ in stretches]
    ends = [(end, -1, status) for status, _, end in stretches]
    return sorted([*begins, *ends])


def _strongest(holding: dict[str, int]) -> str:
    return [status for status in STATUSES if holding[status]][-1]


def _busy(session: Session) -> Stretch:
    at = {metric: moment for moment, metric, _ in session.events}
    if "tNotResponding" in at:
        return "NOT_RESPONDING", at["tAlert"], at["tNotResponding"]
    status = "COMMUNICATING" if session.queue_id is None else "INTERACTING"
    begin = at["nOutbound"] if "nOutbound" in at else at["tAlert"]
    return status, begin, at["tHandle"]
