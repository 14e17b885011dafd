"""What the wire of one connection has done so far. Owns nothing; the lanes count, others read."""

from __future__ import annotations

from dataclasses import astuple, dataclass


@dataclass(slots=True)
class RequestCounts:
    """Counts of a connection, over all of its lanes."""

    #: attempts sent, for tokens too
    requests: int = 0
    #: of these, attempts after a first one that failed
    retries: int = 0
    #: answers 429
    throttled: int = 0
    #: seconds in which a request stood at a lane's throttle, each lane's added up; less the times at which those began that stand there
    waiting: float = 0.0
    #: lanes at whose throttle a request stands
    standing: int = 0
    #: bytes of bodies, the answers' after unpacking
    sent: int = 0
    received: int = 0

    def stand(self, now: float) -> None:
        """Note that a request begins to wait at a throttle; `now` is by the loop's clock, in seconds."""
        self.standing += 1
        self.waiting -= now

    def leave(self, now: float) -> None:
        """Note that it waits no longer."""
        self.standing -= 1
        self.waiting += now

    def waited(self, now: float) -> float:
        """Give the seconds waited so far, those of who stands there included."""
        return self.waiting + self.standing * now

    def __add__(self, other: RequestCounts) -> RequestCounts:
        return RequestCounts(
            *(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True))
        )
