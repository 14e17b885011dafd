"""A request and a response, as every contract and every transport sees them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import msgspec

from asyncreport.errors import TransientError

T = TypeVar("T")


def read(decoder: msgspec.json.Decoder[T], body: bytes, what: str) -> T:
    """Decode a body; raise TransientError for one that is no such thing: it was cut short, or is somebody else's."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TransientError(f"the answer is no {what} ({error})") from error


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
