"""The directory of users, groups, teams and queues: names, members, and all users. Pure.

Membership is today's: the vendor keeps no history of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Sequence
from difflib import get_close_matches
from itertools import count
from typing import Any, Literal
from urllib.parse import parse_qsl, quote

import msgspec
from msgspec import Struct

from asyncreport.api.wire import Request, follow, read
from asyncreport.core.errors import RejectedError, UnknownTeamError
from asyncreport.core.job import Selector, batches
from asyncreport.core.text import counted, one_line

Kind = Literal["group", "team", "queue"]
Query = tuple[tuple[str, str], ...]

#: entities on a page; the vendor allows no more for members of teams and queues:
#: https://developer.genesys.cloud/routing/routing/
PAGE_SIZE = 100

#: users on a page, as the vendor's own exporter asks for them:
#: https://github.com/MyPureCloud/terraform-provider-genesyscloud
USERS_PAGE_SIZE = 500

#: ids that one request may name: https://developer.genesys.cloud/useragentman/users/
IDS_PER_REQUEST = 100

#: characters of names and ids in a message
_MAX_TEXT = 200

_USERS = "/api/v2/users"
_PATHS = {"group": "/api/v2/groups", "team": "/api/v2/teams", "queue": "/api/v2/routing/queues"}

_ID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


class Roster(Struct, frozen=True, kw_only=True):
    """A group, team or queue and its members."""

    id: str
    name: str
    #: ids, sorted
    users: tuple[str, ...]


class Entity(Struct):
    """One user, group, team, queue or division of a listing."""

    id: str
    name: str | None = None


class Page(Struct, rename="camel"):
    """One page of a listing. Which field leads to the next page depends on the listing."""

    #: has no default: a body without it is not an empty page
    entities: list[Entity] | None
    total: int | None = None
    page_count: int | None = None
    #: of any type, because little depends on it
    page_size: Any = None
    next_uri: str | None = None
    #: only in a listing of divisions
    all_divs_permitted: bool = False


Listing = Generator[Request, Any, list[Entity]]


def decode_page(body: bytes) -> Page:
    """Decode a page of a listing; raise TransientError if the body is something else."""
    return read(_PAGE, body, "page of a listing")


def _decode_entity(body: bytes) -> Entity:
    """Decode one entity; raise TransientError if the body is something else."""
    return read(_ENTITY, body, "group, team or queue")


_PAGE = msgspec.json.Decoder(Page)
_ENTITY = msgspec.json.Decoder(Entity)


# Users -------------------------------------------------------------------------------------------


def user_count_request() -> Request:
    """Ask for a page whose `total` is the number of users, in any state."""
    query = (("pageSize", "1"), ("state", "any"))
    return Request(method="GET", path=_USERS, query=query, decode=decode_page)


def all_user_ids() -> Generator[Request, Any, tuple[str, ...]]:
    """List the ids of all users, sorted; users who left and deleted users too.

    Raise RejectedError if the vendor does not list all of them. It refuses, with a 400, to list
    users who are not active beyond the 10,000th, whatever pageCount says
    (https://github.com/MyPureCloud/terraform-provider-genesyscloud/pull/1276). Therefore each state
    is listed by itself: then 10,000 users who left can be listed, with any number of active users.
    """
    found: set[str] = set()
    # People leave in this order. A user who leaves in the meantime is seen twice, and not missed.
    for state in ("active", "inactive", "deleted"):
        found.update((yield from _user_ids(state)))
    return tuple(sorted(found))


def _user_ids(state: str) -> Generator[Request, Any, list[str]]:
    """List the ids of the users in one state."""
    try:
        users = yield from list_entities(_USERS, ("state", state), page_size=USERS_PAGE_SIZE)
    except RejectedError as error:
        if error.status != 400:
            raise
        raise _too_many_users(state, error) from error
    return [user.id for user in users]


def _too_many_users(state: str, error: RejectedError) -> RejectedError:
    """Say what a 400 to a later page of users means."""
    message = (
        f"GET {_USERS}: the vendor lists no more than 10,000 users who are {state}; "
        "give every team of the job its users, group, team or queue, "
        "so that no team means everyone"
    )
    return RejectedError(message, status=error.status, code=error.code)


# Names -------------------------------------------------------------------------------------------

Names = Generator[Request, Any, dict[str, str | None]]


def user_names(ids: Iterable[str]) -> Names:
    """Look up the names of users in any state, because users who left have records too.

    An id that the directory does not know gets None.
    """
    return _names(_USERS, ids, ("state", "any"))


def queue_names(ids: Iterable[str]) -> Names:
    """Look up the names of queues; an id that the directory does not know (any more) gets None."""
    return _names(_PATHS["queue"], ids)


def _names(path: str, ids: Iterable[str], *query: tuple[str, str]) -> Names:
    """Look up names a hundred at a time."""
    names: dict[str, str | None] = {}
    for batch in batches(sorted(set(ids)), IDS_PER_REQUEST):
        names.update((yield from _names_of(path, batch, *query)))
    return names


def _names_of(path: str, ids: Sequence[str], *query: tuple[str, str]) -> Names:
    """Look up the names of at most `IDS_PER_REQUEST` ids with one listing."""
    id_query = [("id", each) for each in ids]
    entities = yield from list_entities(path, *id_query, *query)
    found = {entity.id: entity.name for entity in entities}
    return {each: found.get(each) for each in ids}


# Listings ----------------------------------------------------------------------------------------


def list_entities(path: str, *query: tuple[str, str], page_size: int = PAGE_SIZE) -> Listing:
    """Read a listing whose pages have numbers, from page 1 to its `pageCount`.

    Without a `pageCount`, the last page is an empty one, or one that is not full and has no
    `nextUri`. Raise RejectedError if the pages go in a circle.
    """
    base = (*query, ("pageSize", str(page_size)))
    numbers = count(1)

    def next_query(page: Page) -> Query | None:
        number = next(numbers)
        if _is_last(page, number, page_size):
            return None
        if page.page_count is None and page.next_uri:
            return _with_query_of(page.next_uri, base)
        return _with_number(base, number + 1)

    return _pages(path, _with_number(base, 1), next_query)


def _with_number(base: Query, number: int) -> Query:
    """Ask for the page of this number, which counts from 1."""
    return (*base, ("pageNumber", str(number)))


def _is_last(page: Page, number: int, page_size: int) -> bool:
    """Tell whether a page is the last; `number` is its own and `page_size` what was asked for."""
    if page.page_count is not None:
        return number >= page.page_count
    if not page.entities:
        return True
    if page.next_uri:
        return False
    return len(page.entities) < _full_size(page, page_size)


def _list_by_cursor(path: str, *query: tuple[str, str]) -> Listing:
    """Read a listing whose pages have a `nextUri` and no numbers. An empty page does not end it.

    Raise RejectedError if the pages go in a circle.
    """
    base = (*query, ("pageSize", str(PAGE_SIZE)))

    def next_query(page: Page) -> Query | None:
        if not page.next_uri:
            return None
        return _with_query_of(page.next_uri, base)

    return _pages(path, base, next_query)


def _pages(path: str, first: Query, next_query: Callable[[Page], Query | None]) -> Listing:
    """Read the pages of a listing; `next_query` leads from each page to the next one."""
    # By id: an entity that is on two pages, because the list changed in the meantime, counts once.
    found: dict[str, Entity] = {}

    def next_request(page: Page) -> Request | None:
        found.update((entity.id, entity) for entity in page.entities or ())
        query = next_query(page)
        return _page_request(path, query) if query else None

    yield from follow(_page_request(path, first), next_request)
    return list(found.values())


def _page_request(path: str, query: Query) -> Request:
    """Ask for one page of a listing."""
    return Request(method="GET", path=path, query=query, decode=decode_page)


def _full_size(page: Page, requested: int) -> int:
    """Return how many entities a full page has: a server may use a smaller size than requested.

    The vendor's default is 25.
    """
    reported = page.page_size
    if isinstance(reported, int) and reported > 0:
        return min(reported, requested)
    return requested


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


# Groups, teams and queues ------------------------------------------------------------------------


def look_up(selector: Selector) -> Generator[Request, Any, Roster]:
    """Find a group, team or queue by id or exact name, and its members.

    Raise UnknownTeamError if there is none or if several have the name, RejectedError if the pages
    go in a circle.
    """
    if _ID.fullmatch(selector.value):
        entity = yield from _by_id(selector.kind, selector.value)
    else:
        entity = yield from _by_name(selector.kind, selector.value)
    users = yield from _members(selector.kind, entity.id)
    return Roster(id=entity.id, name=entity.name or entity.id, users=users)


def _by_id(kind: Kind, entity_id: str) -> Generator[Request, Any, Entity]:
    """Find a group, team or queue by its id; raise UnknownTeamError if there is none."""
    path = f"{_PATHS[kind]}/{entity_id}"
    try:
        entity: Entity = yield Request(method="GET", path=path, decode=_decode_entity)
    except RejectedError as error:
        if error.status != 404:
            raise
        raise _unknown_id(kind, entity_id) from error
    return entity


def _by_name(kind: Kind, name: str) -> Generator[Request, Any, Entity]:
    """Find a group, team or queue by its exact name.

    The vendor's filters are not exact: a team's name begins with the text, a queue's name may
    differ in case. Groups have no filter.
    """
    filters = [] if kind == "group" else [("name", name)]
    listed = yield from _list_kind(kind, *filters)
    exact = [entity for entity in listed if entity.name == name]
    if len(exact) == 1:
        return exact[0]
    if exact:
        raise _ambiguous(kind, name, exact)
    if filters:
        # Only the whole list has the names that are nearly right.
        listed = yield from _list_kind(kind)
    raise _unknown_name(kind, name, listed)


def _list_kind(kind: Kind, *query: tuple[str, str], below: str = "") -> Listing:
    """List all entities of a kind, or what is `below` one of them."""
    path = f"{_PATHS[kind]}{below}"
    if kind == "team":
        return _list_by_cursor(path, *query)
    return list_entities(path, *query)


def _members(kind: Kind, entity_id: str) -> Generator[Request, Any, tuple[str, ...]]:
    """List the sorted ids of the members; raise UnknownTeamError if the entity is gone."""
    members = f"/{quote(entity_id, safe='')}/members"
    try:
        users = yield from _list_kind(kind, below=members)
    except RejectedError as error:
        if error.status != 404:
            raise
        raise _unknown_id(kind, entity_id) from error
    return tuple(sorted(user.id for user in users))


def _unknown_id(kind: str, entity_id: str) -> UnknownTeamError:
    """Make the error for an id that the directory does not have, or does not show."""
    return UnknownTeamError(
        f"{kind} {one_line(entity_id, _MAX_TEXT)}: the directory has no {kind} with this id, "
        "or it is in a division that the OAuth client cannot see; "
        f"check the id, or use the exact name of the {kind}"
    )


def _ambiguous(kind: str, name: str, found: Sequence[Entity]) -> UnknownTeamError:
    """Make the error for a name that several entities have."""
    found_ids = sorted(entity.id for entity in found)
    ids = one_line(", ".join(found_ids), _MAX_TEXT)
    return UnknownTeamError(
        f"{kind} {name!r}: {counted(len(found), kind)} have this name ({ids}); "
        "use the id of the right one"
    )


def _unknown_name(kind: str, name: str, listed: Sequence[Entity]) -> UnknownTeamError:
    """Make the error for a name that no listed entity has."""
    hint = _did_you_mean(name, listed) or f"check the name, or use the id of the {kind}"
    return UnknownTeamError(
        f"{kind} {name!r}: the OAuth client sees {counted(len(listed), kind)}, "
        f"but none has exactly this name (upper and lower case count); {hint}"
    )


def _did_you_mean(name: str, listed: Sequence[Entity]) -> str | None:
    """Suggest names that are nearly right; None if there are none."""
    folded_names = {entity.name.casefold(): entity.name for entity in listed if entity.name}
    close = get_close_matches(name.casefold(), folded_names)
    if not close:
        return None
    quoted = [repr(folded_names[folded]) for folded in close]
    return f"did you mean {one_line(' or '.join(quoted), _MAX_TEXT)}?"
