"""Pages: by number, by cursor, and the tokens that lead from one to the next. Pure."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from asyncreport.emulator.answers import Ask, bad_request

T = TypeVar("T")

MOST_PER_PAGE = 500


def numbered(ask: Ask, most: int = MOST_PER_PAGE) -> tuple[int, int]:
    """Read pageSize (25, at most `most`) and pageNumber (1); raise Refused for what the vendor does not take."""
    size, number = page_size(ask, most), ask.number("pageNumber", 1)
    if number < 1:
        raise bad_request(
            "The value [{value}] of {field} is less than 1", field="pageNumber", value=str(number)
        )
    return size, number


def page_size(ask: Ask, most: int) -> int:
    """Read pageSize (25); raise Refused for what the vendor does not take."""
    size = ask.number("pageSize", 25)
    if not 1 <= size <= most:
        raise bad_request(
            "The value [{value}] of {field} is not within 1 to {max}",
            field="pageSize",
            value=str(size),
            max=str(most),
        )
    return size


def page(ask: Ask, entities: Sequence[dict[str, Any]], size: int, number: int) -> dict[str, Any]:
    """Wrap one page in the envelope that the vendor's listings share."""
    last = max(1, -(-len(entities) // size))
    links = {"firstUri": 1, "lastUri": last}
    envelope = uncounted(ask, entities, size, number) | {
        "total": len(entities),
        "pageCount": last if entities else 0,
    }
    return envelope | {name: _link(ask, size, to) for name, to in links.items()}


def uncounted(
    ask: Ask, entities: Sequence[dict[str, Any]], size: int, number: int
) -> dict[str, Any]:
    """Wrap one page in the envelope of the listings that tell no total."""
    found: dict[str, Any] = {
        "entities": entities[(number - 1) * size : number * size],
        "pageSize": size,
        "pageNumber": number,
    }
    links = {"selfUri": number}
    if number > 1:
        links["previousUri"] = number - 1
    if number * size < len(entities):
        links["nextUri"] = number + 1
    return found | {name: _link(ask, size, to) for name, to in links.items()}


def followed(ask: Ask, entities: Sequence[dict[str, Any]], size: int) -> dict[str, Any]:
    """Wrap the page that the parameter `after` leads to; raise Refused where it leads nowhere."""
    after = ask.one("after")
    number = page_of(after, ask.path, "after") if after else 0
    found: dict[str, Any] = {
        "entities": entities[number * size : (number + 1) * size],
        "selfUri": _after(ask, size, after),
    }
    if (number + 1) * size < len(entities):
        found["nextUri"] = _after(ask, size, token_of(number + 1, ask.path))
    return found


def token_of(number: int, subject: str) -> str:
    """Make the opaque token of a page of something; it must be encoded to survive a URL."""
    digest = hashlib.sha256(f"{number} of {subject}".encode()).digest()
    return f"{number:x}+{base64.b64encode(digest[:16]).decode()}"


def page_of(token: str, subject: str, field: str) -> int:
    """Give the number of the page that a token leads to; raise Refused where it is none of this subject's."""
    number = re.match(r"[0-9a-f]{1,7}(?=[+])", token)
    if number is None or token != token_of(int(number[0], 16), subject):
        raise bad_request(
            "The value [{value}] of {field} is unknown or belongs to another request",
            field=field,
            value=token,
        )
    return int(number[0], 16)


def token_after(number: int, pages: int, subject: str, *, repeat: bool) -> str | None:
    """Make the token that a page hands out, None on the last one; with `repeat` every page but the first hands out its own."""
    if repeat and number:
        return token_of(number, subject)
    return token_of(number + 1, subject) if number + 1 < pages else None


def pages_of(items: Sequence[T], size: int, *, empty: bool) -> list[Sequence[T]]:
    """Cut a list into pages, at least one; with `empty` one more, of nothing, stands before the last."""
    pages: list[Sequence[T]] = [items[at : at + size] for at in range(0, len(items), size)] or [[]]
    if empty:
        pages.insert(len(pages) - 1, [])
    return pages


def _link(ask: Ask, size: int, number: int) -> str:
    return _uri(ask, [("pageSize", str(size)), ("pageNumber", str(number))])


def _after(ask: Ask, size: int, token: str) -> str:
    return _uri(ask, [*([("after", token)] if token else []), ("pageSize", str(size))])


def _uri(ask: Ask, place: list[tuple[str, str]]) -> str:
    kept = [
        (key, value)
        for key, value in ask.query
        if key not in ("pageSize", "pageNumber", "after", "before")
    ]
    return f"{ask.path}?" + urlencode([*place, *kept], quote_via=quote)
