"""The directory of users: names by id, and how many there are. Pure.

https://developer.genesys.cloud/useragentman/users/
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from itertools import islice

import msgspec
from msgspec import Struct

from asyncreport.api.wire import Request, read

#: ids in one call, at most
IDS_PER_CALL = 100


class User(Struct):
    """What is read of a user."""

    id: str
    name: str | None = None


class Listing(Struct, rename="camel"):
    """One page of users."""

    #: has no default: a body without it is no empty page
    entities: list[User] | None
    total: int | None = None
    page_count: int | None = None


def decode(body: bytes) -> Listing:
    """Read a page of users; raise TransientError for a body that is none."""
    return read(_DECODER, body, "page of users")


_DECODER = msgspec.json.Decoder(Listing)


def named(ids: Sequence[str], page: int = 1) -> Request:
    """Ask for the users of at most 100 ids; leavers and deleted ones too, who did handle calls once."""
    query = (
        *(("id", user) for user in ids),
        ("pageSize", "100"),
        ("pageNumber", str(page)),
        ("state", "any"),
    )
    return Request(method="GET", path="/api/v2/users", query=query, decode=decode)


def counted() -> Request:
    """Ask how many users there are, in any state."""
    return Request(
        method="GET",
        path="/api/v2/users",
        query=(("pageSize", "1"), ("state", "any")),
        decode=decode,
    )


def names(ids: Iterable[str]) -> Generator[Request, Listing, dict[str, str | None]]:
    """Ask for names, 100 ids a call; an id that the directory does not know gets None."""
    found: dict[str, str | None] = {}
    rest = iter(sorted(ids))
    while batch := list(islice(rest, IDS_PER_CALL)):
        found.update(dict.fromkeys(batch))
        page, pages = 0, 1
        # One page should hold them all; a server that cuts its pages shorter than asked says so by their number.
        while page < pages:
            page += 1
            listing = yield named(batch, page)
            # However many it says there are: each page but an empty one holds one of them at least.
            pages = min(listing.page_count or 1, len(batch))
            found.update(
                (user.id, user.name) for user in listing.entities or () if user.id in found
            )
    return found
