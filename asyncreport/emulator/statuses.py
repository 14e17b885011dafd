"""The routing status of an agent through a day, laid over the presences and the work of that day. Pure.

As believed: who is on queue is idle until an interaction is answered, and interacts until its after-call work ends, even during
a meal; who missed an alert does not respond for a while; a call that no queue offered is communication.
https://help.mypurecloud.com/articles/agent-status-glossary/
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from asyncreport.emulator.work import Session, Stretch, Workday

#: of several that hold at once the last one shows
STATUSES = ("OFF_QUEUE", "IDLE", "NOT_RESPONDING", "COMMUNICATING", "INTERACTING")


def statuses(day: Workday) -> tuple[Stretch, ...]:
    """List a day's routing statuses, one after another, no two neighbours alike."""
    found: list[Stretch] = []
    for status, start, end in _pieces(day):
        if found and (found[-1][0], found[-1][2]) == (status, start):
            found[-1] = (status, found[-1][1], end)
        else:
            found.append((status, start, end))
    return tuple(found)


def _pieces(day: Workday) -> Iterator[Stretch]:
    """Sweep over the instants at which something begins or ends."""
    stretches = [
        ("IDLE" if presence == "ON_QUEUE" else "OFF_QUEUE", start, end)
        for presence, start, end in day.presences
    ]
    stretches += [_busy(session) for session in day.sessions]
    edges = sorted(
        [(start, 1, status) for status, start, _ in stretches]
        + [(end, -1, status) for status, _, end in stretches]
    )
    holding = dict.fromkeys(STATUSES, 0)
    for (at, change, status), (until, _, _) in pairwise(edges):
        holding[status] += change
        if at < until:
            yield next(name for name in reversed(STATUSES) if holding[name]), at, until


def _busy(session: Session) -> Stretch:
    at = {metric: moment for moment, metric, _ in session.events}
    if "tNotResponding" in at:
        return "NOT_RESPONDING", at["tAlert"], at["tNotResponding"]
    begin = at["nOutbound"] if "nOutbound" in at else at["tAlert"]
    return "INTERACTING" if session.queue_id else "COMMUNICATING", begin, at["tHandle"]
