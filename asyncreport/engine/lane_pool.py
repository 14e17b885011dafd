"""The lanes of one connection: which one works, rests or is lost. Owns their state.

A lane is one OAuth client. If it is refused, or cannot send its requests, the others do its work.
Chunks, look-ups and the queries of `verify` all change lanes by these rules.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeGuard, TypeVar

from asyncreport.core.errors import AsyncReportError, AuthError, RetriesExhausted

T = TypeVar("T")

#: an error after which another lane may succeed
LaneError = AuthError | RetriesExhausted
#: reasons of a request that the server never saw
_UNSENT_REASONS = frozenset({"lane", "unreachable"})
#: reasons that are not the request's fault: another lane, or the same one later, may succeed
_LANE_REASONS = _UNSENT_REASONS | {"down"}
#: say which lane was lost, and why
Report = Callable[[int, LaneError], None]

#: least and most seconds without work for a lane that got no valid response
_SHORTEST_REST = 1.0
_LONGEST_REST = 60.0


def is_unsent(error: LaneError) -> bool:
    """Tell whether the server did not process the request, so that its chunk is not to blame."""
    return isinstance(error, AuthError) or error.reason in _UNSENT_REASONS


def is_lane_error(error: AsyncReportError) -> TypeGuard[LaneError]:
    """Tell whether the lane failed, and not the request: another lane may succeed."""
    if isinstance(error, RetriesExhausted):
        return error.reason in _LANE_REASONS
    return isinstance(error, AuthError)


@dataclass(slots=True)
class LaneState:
    """The state of one lane; times are in seconds of the event loop's clock."""

    #: chunks that it is fetching
    active: int = 0
    #: since when it has got no valid response; None: it works
    stalled_since: float | None = None
    #: its last request failed, and the server has never responded
    unreachable: bool = False
    rests_until: float = 0.0
    lost: bool = False

    @property
    def rests(self) -> bool:
        """Tell whether it may not start a chunk yet."""
        return _now() < self.rests_until

    @property
    def ready(self) -> bool:
        """Tell whether it may start a chunk."""
        # One chunk at a time finds out whether a stalled lane works again; the others wait for it.
        if self.stalled_since is None:
            return True
        return not (self.rests or self.active)

    def stall(self, error: RetriesExhausted) -> float:
        """Note a request without a valid response; give the seconds since the last one."""
        if self.stalled_since is None:
            self.stalled_since = _now() - error.lasted
        self.unreachable = error.reason == "unreachable"
        return _now() - self.stalled_since


class LanePool:
    """Lanes by number, the preferred one first.

    `report` is called for a lane that is lost while others remain. `patience`: seconds for which a
    lane may have no valid response before it is lost.
    """

    def __init__(self, lanes: Iterable[int], report: Report, *, patience: float = 900.0) -> None:
        self._lanes = {lane: LaneState() for lane in lanes}
        self._report = report
        self._patience = patience

    @property
    def left(self) -> list[int]:
        """Give the lanes that are not lost, in order of preference."""
        return [lane for lane, state in self._lanes.items() if not state.lost]

    @property
    def active(self) -> bool:
        """Tell whether any lane is fetching a chunk."""
        return any(state.active for state in self._lanes.values())

    def lost(self, lane: int) -> bool:
        """Tell whether a lane is lost."""
        return self._lanes[lane].lost

    def stalled(self, lane: int) -> bool:
        """Tell whether a lane's last request got no valid response, nor has any other since."""
        return self._lanes[lane].stalled_since is not None

    async def ask(self, question: Callable[[int], Awaitable[T]], *, own: int | None = None) -> T:
        """Call `question` with lane `own`, and with another lane if that one is lost.

        A lane is lost at its first lane error: a single question does not wait until a lane works
        again. Raise the error of the last lane.
        """
        while True:
            lane = self._choose(own)
            try:
                return await question(lane)
            except (AuthError, RetriesExhausted) as error:
                if not is_lane_error(error):
                    raise
                self.lose(lane, error)
                # Other tasks use this pool too: their errors may have left no lane.
                if not self.left:
                    raise

    def _choose(self, own: int | None) -> int:
        """Give lane `own` if it is not lost, else the preferred one."""
        if own is not None and not self.lost(own):
            return own
        return self.left[0]

    def ready(self, lane: int) -> bool:
        """Tell whether a lane may start a chunk."""
        return self._lanes[lane].ready

    def rest_ends(self, lane: int) -> float | None:
        """Give the end of a lane's rest, None if it does not rest."""
        state = self._lanes[lane]
        if state.rests:
            return state.rests_until
        return None

    def start(self, lane: int) -> None:
        """Note that a lane starts a chunk."""
        self._lanes[lane].active += 1

    def finish(self, lane: int) -> None:
        """Note that a lane got a response to its chunk, whether data or a refusal."""
        state = self.release(lane)
        # A chunk that ends during the rest was sent before the lane stalled, and proves nothing.
        if not state.rests:
            state.stalled_since = None

    def release(self, lane: int) -> LaneState:
        """Note that a lane has ended a chunk in a way that says nothing about the lane."""
        state = self._lanes[lane]
        state.active -= 1
        return state

    def fail(self, lane: int, error: LaneError) -> None:
        """Note a lane's failure: a refused lane is lost, one without a valid response rests."""
        self.release(lane)
        if isinstance(error, AuthError):
            self.lose(lane, error)
        else:
            self._rest(lane, error)

    def _rest(self, lane: int, error: RetriesExhausted) -> None:
        """Let a lane rest, or lose it after `patience` seconds without success."""
        state = self._lanes[lane]
        stalled_for = state.stall(error)
        patience_left = self._patience - stalled_for
        state.rests_until = _now() + min(_rest_after(error, stalled_for), patience_left)
        if self._unreachable():
            self._lose_all(error)
        elif patience_left <= 0:
            self.lose(lane, error)

    def _lose_all(self, error: LaneError) -> None:
        """Lose every lane for the same reason."""
        for lane in self.left:
            self.lose(lane, error)

    def lose(self, lane: int, error: LaneError) -> None:
        """Give a lane no more work; report it once, and only if other lanes remain."""
        state = self._lanes[lane]
        if state.lost:
            return
        # Before the report: the last lane's error is raised by the caller, not reported.
        state.lost = True
        if self.left:
            self._report(lane, error)

    def _unreachable(self) -> bool:
        """Tell whether no lane that is left has ever reached the server: waiting would not help."""
        return all(self._lanes[lane].unreachable for lane in self.left)


def _rest_after(error: RetriesExhausted, stalled_for: float) -> float:
    """Give the seconds of a lane's rest."""
    if is_unsent(error):
        return _LONGEST_REST
    # As long again as it has failed so far: short after a single failure, which may be the fault of
    # its chunk, and up to a minute if the server is down.
    return min(max(_SHORTEST_REST, stalled_for), _LONGEST_REST)


def _now() -> float:
    """Give the time of the event loop's clock."""
    return asyncio.get_running_loop().time()
