"""A request and a response, as every contract and every transport sees them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import msgspec

from asyncreport.core.errors import TransientError
from asyncreport.core.text import one_line

T = TypeVar("T")


def read(decoder: msgspec.json.Decoder[T], body: bytes, what: str) -> T:
    """Decode a body; raise TransientError for one that is no such thing: it was cut short, or is somebody else's."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TransientError(f"the answer is no {what} ({error})") from error


#: what answers hold beside what they report: https://developer.genesys.cloud/analyticsdatamanagement/analytics/aggregate/conversation-query
_BESIDE = frozenset(
    {
        "systemToOrganizationMappings",
        "cursor",
        "nextPage",
        "dataAvailabilityDate",
        "total",
        "pageSize",
        "pageNumber",
        "pageCount",
    }
    | {"firstUri", "previousUri", "selfUri", "nextUri", "lastUri"}
)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)


def check_bare(body: bytes, key: str, what: str) -> None:
    """Raise TransientError for a body without its `key` that says something else: an error with a success's status is no quiet day."""
    for name in read(_OBJECT, body, what) or ():
        if name != key and name not in _BESIDE:
            raise TransientError(
                f"the answer is no {what} (it holds {one_line(name, 40)!r} and no {key})"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question: where it goes, what it carries and how its answer is read.

    `decode` turns the body of a success into what the contract wants, and raises TransientError for a body that is
    no such thing: a cut or foreign body is worth another attempt.
    """

    method: str
    #: which of the connection's two hosts
    host: Literal["api", "login"] = "api"
    #: from the host on: `/api/v2/users`
    path: str
    #: repeated keys are allowed: `id=a&id=b`
    query: tuple[tuple[str, str], ...] = ()
    #: JSON or a form, ready to send
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    decode: Callable[[bytes], Any] = bytes
    #: attempts that may time out before a smaller question is the better one; None: all that the limits allow
    timeouts: int | None = None
    #: 202 and 206 are no answer to it: it is answered whole, and now
    at_once: bool = True

    def answered(self, status: int) -> bool:
        """Tell whether an answer of this status may hold what was asked for."""
        return 200 <= status < 300 and not (self.at_once and status in {202, 206})


@dataclass(frozen=True, slots=True)
class Wait:
    """What a contract yields to let time pass before its next request."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One answer, whole."""

    status: int
    #: names in lower case
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def correlation_id(self) -> str | None:
        """Give the id that the vendor's support asks for, where the answer bears one."""
        return self.headers.get("inin-correlation-id") or self.headers.get("genesys-correlation-id")
