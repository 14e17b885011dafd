"""What the headers of a response say about pace: the rate budget, and when to try again. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from msgspec import Struct

#: seconds; the vendor counts requests per minute, so no count starts again later than that
_WINDOW = 60


class Budget(Struct, frozen=True):
    """What the server says about one token's requests in its current minute."""

    allowed: int
    #: requests so far; 0 if the server does not say
    count: int
    #: seconds until the count starts again; 0 if the server does not say
    reset: int


def budget(headers: Mapping[str, str]) -> Budget | None:
    """Read the `inin-ratelimit-*` headers; None without a limit, as in responses of gateways.

    `reset` is a number of seconds and not an instant:
    https://developer.genesys.cloud/forum/t/normalized-platform-api-429-responses/12028
    """
    allowed = _number(headers, "inin-ratelimit-allowed")
    if not allowed:
        return None
    reset = _number(headers, "inin-ratelimit-reset")
    return Budget(
        allowed=allowed,
        count=_number(headers, "inin-ratelimit-count"),
        reset=min(_WINDOW, reset),
    )


def _number(headers: Mapping[str, str], name: str) -> int:
    """Read a whole number; 0 if the header is absent or something else."""
    text = headers.get(name, "").strip()
    if re.fullmatch("[0-9]{1,15}", text):
        return int(text)
    return 0


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read in how many seconds to try again, from a number or a date; None if there is neither.

    A date is compared with the response's own clock, because ours may be wrong:
    https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
    """
    text = headers.get("retry-after", "")
    try:
        seconds = float(text)
    except ValueError:
        return _seconds_until(text, headers.get("date", ""))
    if not math.isfinite(seconds):
        return None
    return max(0.0, seconds)


def _seconds_until(text: str, now_text: str) -> float | None:
    """Count the seconds between two dates; None if one of them is not a date."""
    then = _date(text)
    now = _date(now_text)
    if then is None or now is None:
        return None
    return max(0.0, (then - now).total_seconds())


def _date(text: str) -> datetime | None:
    """Read a date as HTTP writes it; one without a zone is in UTC."""
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    return moment
