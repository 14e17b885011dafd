"""The directory of groups, teams and queues: which one is meant, who is in it today, and who there is at all. Pure.

Membership is today's: the vendor keeps no history of it.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Sequence
from difflib import get_close_matches
from itertools import count, islice
from typing import Any, Literal
from urllib.parse import parse_qsl, quote

import msgspec
from msgspec import Struct

from asyncreport.api.pages import check_pages
from asyncreport.api.users import IDS_PER_CALL
from asyncreport.api.wire import Request, read
from asyncreport.core.errors import RejectedError, UnknownTeamError
from asyncreport.core.job import Selector
from asyncreport.core.text import one_line

Kind = Literal["group", "team", "queue"]
Query = tuple[tuple[str, str], ...]

#: on one page; members of teams and queues come in no larger ones: https://developer.genesys.cloud/routing/routing/
PAGE_SIZE = 100

#: users on one page, as the vendor's own exporter asks: https://github.com/MyPureCloud/terraform-provider-genesyscloud
USERS_PAGE_SIZE = 500

#: characters of names and ids that a message shows
_SHOWN = 200

_PATHS = {"group": "/api/v2/groups", "team": "/api/v2/teams", "queue": "/api/v2/routing/queues"}

_ID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


class Roster(Struct, frozen=True, kw_only=True):
    """A group, team or queue and who is in it."""

    id: str
    name: str
    #: ids, sorted
    users: tuple[str, ...]


class Entity(Struct):
    """What is read of anything that the directory lists."""

    id: str
    name: str | None = None


class Page(Struct, rename="camel"):
    """One page of a listing; which of the two ways lead on depends on the listing."""

    #: has no default: a body without it is no empty page
    entities: list[Entity] | None
    page_count: int | None = None
    #: of any type, for little depends on it
    page_size: Any = None
    next_uri: str | None = None
    #: of divisions alone
    all_divs_permitted: bool = False


Steps = Generator[Request, Any, list[Entity]]


def look_up(selector: Selector) -> Generator[Request, Any, Roster]:
    """Find a group, team or queue by id or exact name, and its members.

    Raise UnknownTeamError where there is none or the name is that of several, RejectedError for pages that lead in a circle.
    """
    found = yield from (_by_id(selector) if _ID.fullmatch(selector.value) else _by_name(selector))
    try:
        users = yield from _members(selector.kind, found.id)
    except RejectedError as error:
        if error.status != 404:
            raise
        raise _unknown(selector.kind, found.id) from error
    return Roster(
        id=found.id, name=found.name or found.id, users=tuple(sorted(user.id for user in users))
    )


def queue_names(ids: Iterable[str]) -> Generator[Request, Any, dict[str, str | None]]:
    """Ask for the names of queues, 100 ids a call; one that the directory does not know (any more) gets None."""
    found: dict[str, str | None] = {}
    rest = iter(sorted(set(ids)))
    while batch := list(islice(rest, IDS_PER_CALL)):
        listed = yield from numbered(_PATHS["queue"], *(("id", queue) for queue in batch))
        known = {queue.id: queue.name for queue in listed}
        found.update((queue, known.get(queue)) for queue in batch)
    return found


def everyone() -> Generator[Request, Any, tuple[str, ...]]:
    """List the ids of all users, sorted: leavers and deleted ones too.

    Raise RejectedError where that cannot be had. The vendor refuses, with a 400, whatever pageCount says, to list users who are
    not active beyond the 10,000th (https://github.com/MyPureCloud/terraform-provider-genesyscloud/pull/1276), hence state by
    state: 10,000 leavers may be had beside any number of active users, and a shorter list would be a silent hole.
    """
    found: set[str] = set()
    # In the order in which people go, so that who goes meanwhile is met again and not missed.
    for state in ("active", "inactive", "deleted"):
        try:
            users = yield from numbered("/api/v2/users", ("state", state), size=USERS_PAGE_SIZE)
        except RejectedError as error:
            if error.status != 400:
                raise
            message = (
                f"GET /api/v2/users: the vendor lists no more than 10,000 users who are {state}; "
                "give every team of the job its users, group, team or queue, so that not everyone is asked for"
            )
            raise RejectedError(message, status=error.status, code=error.code) from error
        found.update(user.id for user in users)
    return tuple(sorted(found))


def numbered(path: str, *query: tuple[str, str], size: int = PAGE_SIZE) -> Steps:
    """Walk a listing by pageNumber to its pageCount; without one to an empty page, or one that is not full and has no nextUri.

    What is on two pages, because the list changed meanwhile, is listed once. Raise RejectedError for pages that lead in a circle.
    """
    found: dict[str, Entity] = {}
    seen: set[str] = set()
    narrowed = (*query, ("pageSize", str(size)))
    for number in count(1):
        page: Page = yield Request(
            method="GET", path=path, query=(*narrowed, ("pageNumber", str(number))), decode=decode
        )
        entities = page.entities or []
        found.update((entity.id, entity) for entity in entities)
        if page.page_count is not None:
            if number >= page.page_count:
                break
        elif not entities or (not page.next_uri and len(entities) < _full(page, size)):
            break
        elif page.next_uri:
            _mark(path, page.next_uri, seen)
        check_pages(f"GET {path}", number)
    return list(found.values())


def _full(page: Page, asked: int) -> int:
    """Count what a full page holds: a server may give shorter ones than it was asked for, and 25 is the vendor's default."""
    told = page.page_size
    return min(told, asked) if isinstance(told, int) and told > 0 else asked


def _followed(path: str, *query: tuple[str, str]) -> Steps:
    """Walk a listing by its nextUri, of which the query alone is taken: no answer sends our token to another host or path.

    A page of nothing is not the end. Raise RejectedError for pages that lead in a circle.
    """
    found: dict[str, Entity] = {}
    seen: set[str] = set()
    narrowed = (*query, ("pageSize", str(PAGE_SIZE)))
    step: Query = narrowed
    while True:
        page: Page = yield Request(method="GET", path=path, query=step, decode=decode)
        found.update((entity.id, entity) for entity in page.entities or ())
        if not page.next_uri:
            return list(found.values())
        _mark(path, page.next_uri, seen)
        step = _onward(narrowed, page.next_uri)


def _onward(query: Query, next_uri: str) -> Query:
    """Lay the query of a nextUri over our own, for it need not repeat what the list was narrowed to."""
    onward = parse_qsl(next_uri.partition("?")[2].partition("#")[0], keep_blank_values=True)
    named = {key for key, _ in onward}
    return (*(each for each in query if each[0] not in named), *onward)


def _mark(path: str, next_uri: str, seen: set[str]) -> None:
    place = next_uri.partition("?")[2]
    if place in seen:
        raise RejectedError(
            f"GET {path}: page {len(seen) + 1} leads back to one already read; run it again later, or tell the vendor"
        )
    seen.add(place)
    check_pages(f"GET {path}", len(seen))


def _by_id(selector: Selector) -> Generator[Request, Any, Entity]:
    try:
        entity: Entity = yield Request(
            method="GET", path=f"{_PATHS[selector.kind]}/{selector.value}", decode=_decode_one
        )
    except RejectedError as error:
        if error.status != 404:
            raise
        raise _unknown(selector.kind, selector.value) from error
    return entity


def _by_name(selector: Selector) -> Generator[Request, Any, Entity]:
    kind, name = selector.kind, selector.value
    # Neither filter is exact: a team's name begins so, a queue's may differ in case.
    seen = yield from _listed(kind, name)
    match [entity for entity in seen if entity.name == name]:
        case [entity]:
            return entity
        case []:
            everything = seen if kind == "group" else (yield from _listed(kind))
            raise _unnamed(kind, name, everything)
        case several:
            ids = one_line(", ".join(sorted(entity.id for entity in several)), _SHOWN)
            raise UnknownTeamError(
                f"{kind} {name!r}: {len(several)} {kind}s bear this name ({ids}); give the id of the one that is meant"
            )


def _listed(kind: Kind, name: str = "") -> Steps:
    """List what there is of a kind; groups cannot be narrowed to a name."""
    narrowed = (("name", name),) if name and kind != "group" else ()
    return (_followed if kind == "team" else numbered)(_PATHS[kind], *narrowed)


def _members(kind: Kind, entity_id: str) -> Steps:
    return (_followed if kind == "team" else numbered)(
        f"{_PATHS[kind]}/{quote(entity_id, safe='')}/members"
    )


def _unknown(kind: str, entity_id: str) -> UnknownTeamError:
    return UnknownTeamError(
        f"{kind} {one_line(entity_id, _SHOWN)}: the directory knows no {kind} of this id, or the OAuth client's divisions do not cover it; "
        f"check the id, or give the {kind}'s exact name"
    )


def _unnamed(kind: str, name: str, seen: Sequence[Entity]) -> UnknownTeamError:
    by_folded = {entity.name.casefold(): entity.name for entity in seen if entity.name}
    close = [by_folded[folded] for folded in get_close_matches(name.casefold(), by_folded)]
    hint = (
        f"did you mean {one_line(' or '.join(map(repr, close)), _SHOWN)}?"
        if close
        else f"check the name, or give the {kind}'s id"
    )
    return UnknownTeamError(
        f"{kind} {name!r}: none of the {len(seen):,} {kind}s that the OAuth client sees bears exactly this name, case included; {hint}"
    )


def decode(body: bytes) -> Page:
    """Read a page of a listing; raise TransientError for a body that is none."""
    return read(_PAGE, body, "page of a listing")


def _decode_one(body: bytes) -> Entity:
    return read(_ONE, body, "group, team or queue")


_PAGE = msgspec.json.Decoder(Page)
_ONE = msgspec.json.Decoder(Entity)
