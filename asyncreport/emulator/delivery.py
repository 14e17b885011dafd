"""How a response with a fault travels: in which pieces, and how the connection ends. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal

from asyncreport.emulator.faults import Fault, ResetPoint
from asyncreport.emulator.messages import Response


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A response cut into what is written, piece by piece, and how the connection then ends."""

    pieces: tuple[bytes, ...]
    #: seconds before each piece but the first
    pause: float = 0.0
    end: Literal["close", "reset", "hang"]


def delivery(fault: Fault, response: Response) -> Delivery | None:
    """Cut a response into pieces; None if it travels as usual."""
    head, body = _head(response), response.body
    if fault.hang:
        return Delivery(pieces=(), end="hang")
    if fault.reset is not None:
        return Delivery(pieces=_before_reset(fault.reset, head, body), end="reset")
    if fault.truncate == "length":
        return Delivery(pieces=(head, _half(body)), end="close")
    if fault.drip is not None:
        return Delivery(pieces=(head, *_tenths(body)), pause=fault.drip, end="close")
    return None


def _before_reset(at: ResetPoint, head: bytes, body: bytes) -> tuple[bytes, ...]:
    """Give what is sent before a reset: nothing, half of the headers, or half of the body."""
    match at:
        case "before":
            return ()
        case "headers":
            return (_half(head),)
        case "body":
            return (head, _half(body))


def _half(text: bytes) -> bytes:
    return text[: len(text) // 2]


def _tenths(body: bytes) -> list[bytes]:
    step = len(body) // 10 + 1
    return [body[at : at + step] for at in range(0, len(body), step)]


def _head(response: Response) -> bytes:
    """Write the status line and headers as HTTP/1.1 does."""
    known = response.status in HTTPStatus.__members__.values()
    phrase = HTTPStatus(response.status).phrase if known else "Unknown"
    lines = [
        f"HTTP/1.1 {response.status} {phrase}",
        f"content-length: {len(response.body)}",
        "connection: close",
    ]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()
