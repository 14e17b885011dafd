"""The organisation: its rate limits, and which of its divisions the OAuth client can see. Pure."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

import msgspec
from msgspec import Struct

from asyncreport.api.listings import Entity, Page, decode_page, list_entities
from asyncreport.api.wire import Request, read
from asyncreport.core.errors import RejectedError

#: the limit of requests a minute with one token of a client credentials grant
TOKEN_RATE_LIMIT = "client.credentials.token.rate.per.minute"  # noqa: S105  # a limit, not a secret

#: the permission that the handle times need
AGGREGATE_PERMISSION = "analytics:conversationAggregate:view"

_LIMITS = "/api/v2/organizations/limits/namespaces/platform.api"
_ALL_DIVISIONS = "/api/v2/authorization/divisions"
_PERMITTED_DIVISIONS = "/api/v2/authorization/divisionspermitted/paged/me"


class PlatformLimit(Struct):
    """One limit."""

    key: str | None = None
    value: int | float | None = None


class PlatformLimits(Struct):
    """The limits of a namespace."""

    entities: list[PlatformLimit] | None = None

    def value(self, key: str) -> int | None:
        """Return the value of a limit, None if the server does not name it."""
        for limit in self.entities or ():
            if limit.key == key and limit.value is not None:
                return int(limit.value)
        return None


def limits_request() -> Request:
    """Ask for the limits of the platform's API. This needs no permission.

    https://developer.genesys.cloud/organization/organization/limits
    """
    return Request(method="GET", path=_LIMITS, decode=decode_limits)


def decode_limits(body: bytes) -> PlatformLimits:
    """Decode the limits; raise TransientError if the body is something else."""
    return read(_DECODER, body, "list of limits")


_DECODER = msgspec.json.Decoder(PlatformLimits)


def visible_divisions(
    permission: str = AGGREGATE_PERMISSION,
) -> Generator[Request, Any, tuple[tuple[str, ...], tuple[str, ...] | None]]:
    """Return the sorted names of all divisions, and of those in which the client has a permission.

    The second value is None if the server does not report it: the request is about a current user,
    and the vendor does not say whether a client is one. Neither request needs a permission.

    The server leaves data of other divisions out of each response, without an error:
    https://help.mypurecloud.com/?p=169702
    """
    everything = _names((yield from list_entities(_ALL_DIVISIONS)))
    try:
        permitted = yield from _permitted_divisions(permission)
    except RejectedError:
        return everything, None
    if permitted is None:
        return everything, everything
    return everything, _names(permitted)


def _permitted_divisions(permission: str) -> Generator[Request, Any, list[Entity] | None]:
    """List the divisions in which the client has a permission; None: all of them."""
    narrowed = ("permission", permission)
    page: Page = yield Request(
        method="GET",
        path=_PERMITTED_DIVISIONS,
        query=(narrowed, ("pageSize", "1")),
        decode=decode_page,
    )
    if page.all_divs_permitted:
        return None
    return (yield from list_entities(_PERMITTED_DIVISIONS, narrowed))


def _names(divisions: Iterable[Entity]) -> tuple[str, ...]:
    """Return the sorted names; the id of a division without a name."""
    return tuple(sorted(division.name or division.id for division in divisions))


# The organisation of a token ----------------------------------------------------------------------

_TOKEN = "/api/v2/tokens/me"  # noqa: S105  # a path, not a secret


class _Organization(Struct):
    id: str | None = None


class _TokenOwner(Struct):
    organization: _Organization | None = None


def organization_request() -> Request:
    """Ask for the id of the organisation that a token belongs to. This needs no permission."""
    return Request(method="GET", path=_TOKEN, decode=decode_organization)


def decode_organization(body: bytes) -> str | None:
    """Decode the id; None for any other body: a gateway need not know this call."""
    try:
        owner = _OWNER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if owner.organization is None:
        return None
    return owner.organization.id or None


_OWNER = msgspec.json.Decoder(_TokenOwner)
