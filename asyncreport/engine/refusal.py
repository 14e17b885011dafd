"""What happens when the last lane of a connection is lost. Owns nothing."""

from __future__ import annotations

from collections.abc import Callable

from asyncreport.core.errors import AuthError
from asyncreport.engine.lane_pool import LaneError

#: take note of the error of the last lane, or raise it
GiveUp = Callable[[LaneError], None]


def raise_refusal(error: LaneError) -> None:
    """Raise the error of the last lane if it was refused: it is refused in a later run too."""
    if isinstance(error, AuthError):
        raise error
