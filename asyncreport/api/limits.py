"""The organisation's limits, as the platform tells them to anybody. Pure.

https://developer.genesys.cloud/organization/organization/limits
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from asyncreport.api.wire import Request, read

#: requests a minute with one token of a client credentials grant
PER_TOKEN = "client.credentials.token.rate.per.minute"  # noqa: S105  # a limit, not a secret


class Limit(Struct):
    """One limit."""

    key: str | None = None
    value: int | float | None = None


class Limits(Struct):
    """The limits of a namespace."""

    entities: list[Limit] | None = None

    def value(self, key: str) -> int | None:
        """Find a limit's value."""
        values = (limit.value for limit in self.entities or () if limit.key == key)
        return next((int(value) for value in values if value is not None), None)


def asked() -> Request:
    """Ask for the limits of the platform's API, which needs no permission."""
    return Request(
        method="GET", path="/api/v2/organizations/limits/namespaces/platform.api", decode=decode
    )


def decode(body: bytes) -> Limits:
    """Read limits; raise TransientError for a body that holds none."""
    return read(_DECODER, body, "list of limits")


_DECODER = msgspec.json.Decoder(Limits)
