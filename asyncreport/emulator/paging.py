"""Pages by number and by cursor, and the opaque tokens that lead from one to the next. Pure."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from asyncreport.emulator.messages import Request, bad_request

T = TypeVar("T")

#: entities on one page, at most
MAX_PAGE_SIZE = 500
_PLACE = ("pageSize", "pageNumber", "after", "before")


def page_size(request: Request, largest: int = MAX_PAGE_SIZE) -> int:
    """Read pageSize (25); raise ApiError for one that the vendor does not accept."""
    size = request.integer("pageSize", 25)
    if not 1 <= size <= largest:
        template = "The value [{value}] of {field} is not within 1 to {max}"
        raise bad_request(template, field="pageSize", value=str(size), max=str(largest))
    return size


def page_number(request: Request) -> int:
    """Read pageNumber (1); raise ApiError for one that the vendor does not accept."""
    number = request.integer("pageNumber", 1)
    if number < 1:
        template = "The value [{value}] of {field} is less than 1"
        raise bad_request(template, field="pageNumber", value=str(number))
    return number


def numbered_page(
    request: Request, entities: Sequence[dict[str, Any]], size: int, number: int
) -> dict[str, Any]:
    """Write one page with the fields that most of the vendor's listings have."""
    page = uncounted_page(request, entities, size, number)
    last = max(1, -(-len(entities) // size))
    page["total"] = len(entities)
    page["pageCount"] = last if entities else 0
    page["firstUri"] = _number_link(request, size, 1)
    page["lastUri"] = _number_link(request, size, last)
    return page


def uncounted_page(
    request: Request, entities: Sequence[dict[str, Any]], size: int, number: int
) -> dict[str, Any]:
    """Write one page of a listing that reports no total."""
    page: dict[str, Any] = {
        "entities": entities[(number - 1) * size : number * size],
        "pageSize": size,
        "pageNumber": number,
        "selfUri": _number_link(request, size, number),
    }
    if number > 1:
        page["previousUri"] = _number_link(request, size, number - 1)
    if number * size < len(entities):
        page["nextUri"] = _number_link(request, size, number + 1)
    return page


def cursor_page(request: Request, entities: Sequence[dict[str, Any]], size: int) -> dict[str, Any]:
    """Write the page that the parameter `after` leads to; raise ApiError for an unknown cursor."""
    after = request.param("after")
    number = page_of(after, request.path, "after") if after else 0
    page: dict[str, Any] = {
        "entities": entities[number * size : (number + 1) * size],
        "selfUri": _cursor_link(request, size, after),
    }
    if (number + 1) * size < len(entities):
        page["nextUri"] = _cursor_link(request, size, token_of(number + 1, request.path))
    return page


def token_of(number: int, subject: str) -> str:
    """Make the opaque token of one page of a subject; it needs encoding in a URL."""
    digest = hashlib.sha256(f"{number} of {subject}".encode()).digest()
    return f"{number:x}+{base64.b64encode(digest[:16]).decode()}"


def page_of(token: str, subject: str, field: str) -> int:
    """Return the number of a token's page; raise ApiError for a token of another subject."""
    match = re.match(r"[0-9a-f]{1,7}(?=[+])", token)
    number = -1 if match is None else int(match[0], 16)
    if match is None or token != token_of(number, subject):
        template = "The value [{value}] of {field} is unknown or belongs to another request"
        raise bad_request(template, field=field, value=token)
    return number


def token_after(number: int, pages: int, subject: str, *, repeat: bool) -> str | None:
    """Make the token of the next page; None on the last one.

    With `repeat` every page but the first leads to itself.
    """
    if repeat and number:
        return token_of(number, subject)
    if number + 1 < pages:
        return token_of(number + 1, subject)
    return None


def pages_of(items: Sequence[T], size: int, *, empty: bool) -> list[Sequence[T]]:
    """Cut a list into one or more pages; with `empty` an empty page comes before the last one."""
    pages = [items[at : at + size] for at in range(0, len(items), size)]
    if not pages:
        pages = [[]]
    if empty:
        pages.insert(len(pages) - 1, [])
    return pages


def _number_link(request: Request, size: int, number: int) -> str:
    return _link(request, [("pageSize", str(size)), ("pageNumber", str(number))])


def _cursor_link(request: Request, size: int, token: str) -> str:
    place = [("after", token)] if token else []
    return _link(request, [*place, ("pageSize", str(size))])


def _link(request: Request, place: list[tuple[str, str]]) -> str:
    """Write a link to another page of the same listing."""
    rest = [(key, value) for key, value in request.query if key not in _PLACE]
    return f"{request.path}?" + urlencode([*place, *rest], quote_via=quote)
