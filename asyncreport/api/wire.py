"""A request and a response, as contracts and the transport see them; how to follow pages. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import msgspec

from asyncreport.api.invalid_text import with_valid_unicode
from asyncreport.core.errors import FOREIGN, RejectedError, TransientError
from asyncreport.core.text import one_line

T = TypeVar("T")

#: pages of one listing: a million entities or ten million groups fit into so many
MAX_PAGES = 10_000

#: what a correlation id may look like; other text in its header is not shown
_CORRELATION_ID = re.compile(r"[A-Za-z0-9._:-]{1,80}")


def _unmeasured(_: int, __: float) -> None:
    """Measure nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request: where it goes, what it carries and how its response is decoded.

    `decode` turns the body of a success into what the contract needs. It raises TransientError if
    the body is cut or not JSON: another attempt is worth it. It raises RejectedError if a value is
    wrong in itself, with the code OFF_GRID or FOREIGN if the response is to another question.
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
    #: attempts that may time out, before a smaller request is better; None: no bound of its own
    max_timeouts: int | None = None
    #: bytes of a success, decompressed; a longer one is dropped while it is read. The default is
    #: far more than any listing has
    most_bytes: int = 64 * 2**20
    #: called with the bytes of a decoded response, and the seconds that the server took
    measure: Callable[[int, float], None] = field(default=_unmeasured, repr=False)
    #: 202 and 206 are successes too; otherwise the response must be whole and final
    asynchronous: bool = False

    def succeeded(self, status: int) -> bool:
        """Tell whether a response of this status may hold what was requested."""
        if status in {202, 206}:
            return self.asynchronous
        return 200 <= status < 300


@dataclass(frozen=True, slots=True)
class Wait:
    """What a contract yields to let time pass before its next request."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One whole response."""

    status: int
    #: names in lower case
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    #: from the request to the last byte, without what this process waited for memory
    seconds: float = 0.0

    @property
    def correlation_id(self) -> str | None:
        """Return the id that the vendor's support asks for, if the response has one."""
        return correlation_id(self.headers)


def correlation_id(headers: Mapping[str, str]) -> str | None:
    """Read the id that the vendor's support asks for; None if there is none."""
    text = headers.get("inin-correlation-id") or headers.get("genesys-correlation-id")
    return as_correlation_id(text or "")


def as_correlation_id(text: str) -> str | None:
    """Return a text if it looks like an id; other text in its place is not shown."""
    if _CORRELATION_ID.fullmatch(text):
        return text
    return None


#: in msgspec's message, before the path of a value that is inside the body: ` - at `$.total``
_NESTED = " - at `$"


def read(decoder: msgspec.json.Decoder[T], body: bytes, what: str) -> T:
    """Decode a body; raise TransientError if it is cut short or not JSON.

    Raise RejectedError for a value of a wrong type. If the body as a whole is something else, such
    as `null`, it is the response to another question.
    """
    try:
        return _decode(decoder, body)
    except msgspec.ValidationError as error:
        code = ""
        if _NESTED not in str(error):
            code = FOREIGN
        raise RejectedError(f"the response is not a valid {what} ({error})", code=code) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TransientError(f"the response is not a valid {what} ({error})") from error


def read_nested(decoder: msgspec.json.Decoder[T], raw: bytes, what: str) -> T:
    """Decode a part of a body that is JSON; raise RejectedError for a value of a wrong type."""
    try:
        return _decode(decoder, raw)
    except msgspec.ValidationError as error:
        raise RejectedError(f"the response has an invalid {what} ({error})") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TransientError(f"the response is not a valid {what} ({error})") from error


def _decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode a body; text that is not valid Unicode does not spoil what is next to it."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError):
        # Of a `msgspec.Raw` too, which is not bytes.
        repaired = with_valid_unicode(bytes(body))
        if repaired == body:
            raise
    return decoder.decode(repaired)


#: keys of a response that are not its data:
#: https://developer.genesys.cloud/analyticsdatamanagement/analytics/aggregate/conversation-query
_OTHER_KEYS = frozenset(
    {
        "systemToOrganizationMappings",
        "allDivsPermitted",
        "dataAvailabilityDate",
        "cursor",
        "nextPage",
        "total",
        "pageSize",
        "pageNumber",
        "pageCount",
        "firstUri",
        "previousUri",
        "selfUri",
        "nextUri",
        "lastUri",
    }
)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)


def check_empty(body: bytes, key: str, what: str) -> None:
    """Raise TransientError if a body without its `key` holds something else.

    Otherwise an error with the status of a success would look like a day without activity.
    """
    for name in read(_OBJECT, body, what) or ():
        if name != key and name not in _OTHER_KEYS:
            raise _foreign_key(name, key, what)


def _foreign_key(name: str, key: str, what: str) -> TransientError:
    """Make the error for a body that has a foreign key in place of its own."""
    shown = repr(one_line(name, 40))
    return TransientError(f"the response is not a valid {what} (it has {shown}, but no {key})")


def follow(
    first: Request,
    next_request: Callable[[T], Request | None],
) -> Generator[Request, Any, None]:
    """Send a request, then the request that `next_request` makes of each page, until it is None.

    Raise RejectedError if the pages go in a circle, or if there are more than `MAX_PAGES`.
    """
    sent: set[_Target] = set()
    request: Request | None = first
    while request is not None:
        _check_new(request, sent)
        sent.add(_target(request))
        request = next_request((yield request))


#: what tells the pages of a listing apart
_Target = tuple[object, bytes | None]


def _target(request: Request) -> _Target:
    """Return what tells a page from the others: a number or a cursor, in the query or the body."""
    return request.query, request.body


def _check_new(request: Request, sent: Collection[_Target]) -> None:
    """Raise RejectedError for a page that was already read, and for too many pages."""
    number = len(sent)
    if _target(request) in sent:
        raise _endless(request, f"page {number} leads back to a page that was already read")
    if number >= MAX_PAGES:
        raise _endless(request, f"there are more than {MAX_PAGES:,} pages")


def _endless(request: Request, fact: str) -> RejectedError:
    """Make the error for a listing that does not end."""
    return RejectedError(
        f"{request.method} {request.path}: {fact}; run it again later, or report it to the vendor"
    )
