"""What the requests of one connection have cost so far. Owns nothing: lanes count, others read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field


@dataclass(slots=True)
class RequestCounts:
    """Counts of a connection, over all of its lanes."""

    #: attempts sent, for tokens too
    requests: int = 0
    #: of these, attempts after a first one that failed
    retries: int = 0
    #: responses with status 429
    throttled: int = 0
    #: seconds in which a request waited at a lane's throttle, summed over the lanes; a wait in
    #: progress counts as minus the time when it began
    waiting: float = 0.0
    #: lanes with a request that waits at the throttle
    waiters: int = 0
    #: requests that the server has not answered yet
    in_flight: int = 0
    #: why requests wait before their next attempt: `retry 3 of 8: 503`
    retrying: list[str] = field(default_factory=list)
    #: bytes of bodies; those of responses are counted after decompression
    sent: int = 0
    received: int = 0

    def add_attempt(self, size: int, *, retry: bool) -> None:
        """Count an attempt with a body of `size` bytes; `retry`: not its request's first one."""
        self.requests += 1
        self.retries += retry
        self.sent += size

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Count a request as in flight while the body runs."""
        self.in_flight += 1
        try:
            yield
        finally:
            self.in_flight -= 1

    @contextmanager
    def retry(self, why: str) -> Iterator[None]:
        """Note why a request waits before its next attempt while the body runs."""
        self.retrying.append(why)
        try:
            yield
        finally:
            self.retrying.remove(why)

    def begin_wait(self, now: float) -> None:
        """Note that a request begins to wait; `now` is in seconds of the event loop's clock."""
        self.waiters += 1
        self.waiting -= now

    def end_wait(self, now: float) -> None:
        """Note that it no longer waits."""
        self.waiters -= 1
        self.waiting += now

    def waited(self, now: float) -> float:
        """Give the seconds waited so far, including the waits in progress."""
        return self.waiting + self.waiters * now

    def __add__(self, other: RequestCounts) -> RequestCounts:
        pairs = zip(astuple(self), astuple(other), strict=True)
        return RequestCounts(*(mine + theirs for mine, theirs in pairs))
