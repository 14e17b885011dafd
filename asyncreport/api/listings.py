"""The vendor's listings: pages by number or by cursor, and a list that changes between pages. Pure.

A listing is read page by page, and an entity that is removed in the meantime moves all later ones
forward: the first one of the next page is skipped, and no error says so. So a walk over the pages
notes every sign of a change, and the listing is read again until two walks agree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import UNSET, Struct, UnsetType

from asyncreport.api.invalid_text import check_id
from asyncreport.api.wire import Request, check_empty, follow, read
from asyncreport.core.errors import FOREIGN, RejectedError, RetriesExhausted

Query = tuple[tuple[str, str], ...]

#: entities on a page; the vendor allows no more for members of teams and queues:
#: https://developer.genesys.cloud/routing/routing/
PAGE_SIZE = 100

#: how often a listing is read before it is given up
MAX_WALKS = 6


class Entity(Struct):
    """One user, group, team, queue or division of a listing."""

    id: str
    name: str | None = None
    #: of any type, as the numbers of a page
    member_count: Any = msgspec.field(name="memberCount", default=None)
    #: of users; of any type too, for only `list` shows them, as the division
    email: Any = None
    state: Any = None
    #: of users, teams and queues: an object with the id, and often the name
    division: Any = None

    @property
    def members(self) -> int | None:
        """Return how many members a group, team or queue has; None if the server does not say."""
        return _as_count(self.member_count)

    @property
    def division_id(self) -> str | None:
        """Give the id of the division; None if the server does not say."""
        return self._of_division("id")

    @property
    def division_name(self) -> str | None:
        """Give the name of the division; None if the server does not say."""
        return self._of_division("name")

    def _of_division(self, key: str) -> str | None:
        """Give a text of the division."""
        if not isinstance(self.division, dict):
            return None
        return as_text(self.division.get(key))


class Page(Struct, rename="camel"):
    """One page of a listing. Which field leads to the next page depends on the listing."""

    entities: list[Entity] | UnsetType | None = UNSET
    #: of any type, as the three below: a gateway writes a number as text, or something else
    total: Any = None
    page_count: Any = None
    page_size: Any = None
    page_number: Any = None
    self_uri: Any = None
    next_uri: str | None = None
    #: only in a listing of divisions
    all_divs_permitted: bool = False

    @property
    def reported_total(self) -> int | None:
        """Return how many entities the listing has; None if the server does not say."""
        return _as_count(self.total)

    @property
    def last_number(self) -> int | None:
        """Return the number of the last page; None if the server does not say."""
        # 0 comes with an empty page, which is the last one anyway.
        return _as_count(self.page_count) or None

    @property
    def names_itself(self) -> bool:
        """Tell whether a body without `entities` is an empty page: the vendor may leave it out."""
        return any(field is not None for field in (self.total, self.page_number, self.self_uri))


Listing = Generator[Request, Any, list[Entity]]


def decode_page(body: bytes) -> Page:
    """Decode a page of a listing; raise RejectedError or TransientError if it is something else."""
    page = read(_PAGE, body, _WHAT)
    if page.entities is UNSET:
        # The object of one entity has a `selfUri` too.
        check_empty(body, "entities", _WHAT)
        if not page.names_itself:
            raise RejectedError(
                f"the response is not a valid {_WHAT} (it has no entities)", code=FOREIGN
            )
    check_id(page.next_uri)
    for entity in page.entities or ():
        check_id(entity.id)
    return page


_WHAT = "page of a listing"
_PAGE = msgspec.json.Decoder(Page)


def as_text(value: object) -> str | None:
    """Give a text; None for anything else."""
    if not isinstance(value, str):
        return None
    return value


def _as_count(value: object) -> int | None:
    """Read a whole number that is not negative, also from text; None for anything else."""
    if isinstance(value, str | int | float) and _COUNT.fullmatch(str(value)):
        return int(float(value))
    return None


#: at most so many digits that a float is exact
_COUNT = re.compile(r"[0-9]{1,15}(?:\.0)?")


# Ways to page ------------------------------------------------------------------------------------


def list_entities(path: str, *query: tuple[str, str], page_size: int = PAGE_SIZE) -> Listing:
    """Read a listing whose pages have numbers, from page 1 to its `pageCount`.

    Without a `pageCount`, the last page is an empty one, or one that is not full and has no
    `nextUri`. Raise RejectedError if the pages go in a circle, RetriesExhausted if the listing
    changes all the time.
    """
    base = (*query, ("pageSize", str(page_size)))

    def next_query(page: Page, number: int) -> Query | None:
        if _is_last(page, number, page_size):
            return None
        if page.last_number is None and page.next_uri:
            return _with_query_of(page.next_uri, base)
        return _with_number(base, number + 1)

    return _read_until_stable(path, _with_number(base, 1), next_query)


def _with_number(base: Query, number: int) -> Query:
    """Ask for the page of this number, which counts from 1."""
    return (*base, ("pageNumber", str(number)))


def _is_last(page: Page, number: int, page_size: int) -> bool:
    """Tell whether a page is the last; `number` is its own and `page_size` what was asked for."""
    if page.last_number is not None:
        return number >= page.last_number
    if not page.entities:
        return True
    if page.next_uri:
        return False
    return len(page.entities) < _full_size(page, page_size)


def _full_size(page: Page, requested: int) -> int:
    """Return how many entities a full page has: a server may use a smaller size than requested.

    The vendor's default is 25.
    """
    reported = page.page_size
    if isinstance(reported, int) and reported > 0:
        return min(reported, requested)
    return requested


def list_by_cursor(path: str, *query: tuple[str, str]) -> Listing:
    """Read a listing whose pages have a `nextUri` and no numbers. An empty page does not end it.

    Raise RejectedError if the pages go in a circle, RetriesExhausted if the listing changes all the
    time.
    """
    base = (*query, ("pageSize", str(PAGE_SIZE)))

    def next_query(page: Page, _: int) -> Query | None:
        if not page.next_uri:
            return None
        return _with_query_of(page.next_uri, base)

    return _read_until_stable(path, base, next_query)


def _with_query_of(next_uri: str, base: Query) -> Query:
    """Take the query of a `nextUri` and nothing else.

    So no response sends our token to another host or path. What the `nextUri` does not repeat of
    our own query is kept: it may leave out the filter.
    """
    query = next_uri.partition("?")[2].partition("#")[0]
    following = parse_qsl(query, keep_blank_values=True)
    repeated = dict(following)
    own = [(key, value) for key, value in base if key not in repeated]
    return (*own, *following)


# A list that changes -----------------------------------------------------------------------------

#: leads from a page, and its number, to the next one; None on the last one
_NextQuery = Callable[[Page, int], Query | None]


class _Walk:
    """What one walk over the pages of a listing found."""

    def __init__(self) -> None:
        #: by id: an entity that is on two pages counts once
        self.found: dict[str, Entity] = {}
        self._totals: set[int | None] = set()
        self._last_numbers: set[int | None] = set()
        self._pages = 0
        self._listed = 0

    def add(self, page: Page) -> int:
        """Add the next page; return its number."""
        entities = page.entities or []
        self.found.update((entity.id, entity) for entity in entities)
        self._totals.add(page.reported_total)
        self._last_numbers.add(page.last_number)
        self._pages += 1
        self._listed += len(entities)
        return self._pages

    @property
    def is_certain(self) -> bool:
        """Tell whether the listing cannot have changed between two pages.

        The total says so, if it is the same on each page and equal to what was found. A listing
        without a total never says so.
        """
        if self._pages == 1:
            return True
        return self._totals == {self._listed} == {len(self.found)} and len(self._last_numbers) == 1


def _read_until_stable(path: str, first: Query, next_query: _NextQuery) -> Listing:
    """Read a listing; if it may have changed on the way, read it until two walks agree."""
    last = yield from _walk(path, first, next_query)
    if last.is_certain:
        return list(last.found.values())
    for _ in range(MAX_WALKS - 1):
        walk = yield from _walk(path, first, next_query)
        if walk.found.keys() == last.found.keys():
            return list(walk.found.values())
        last = walk
    raise RetriesExhausted(
        f"GET {path}: the list was read {MAX_WALKS} times and was different each time, "
        "so that an entry may be missing; run it again later"
    )


def _walk(path: str, first: Query, next_query: _NextQuery) -> Generator[Request, Any, _Walk]:
    """Read the pages of a listing once."""
    walk = _Walk()

    def next_request(page: Page) -> Request | None:
        query = next_query(page, walk.add(page))
        return _page_request(path, query) if query else None

    yield from follow(_page_request(path, first), next_request)
    return walk


def _page_request(path: str, query: Query) -> Request:
    """Ask for one page of a listing."""
    return Request(method="GET", path=path, query=query, decode=decode_page)
