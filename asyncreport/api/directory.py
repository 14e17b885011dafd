"""The directory of users, groups, teams and queues: names, members, and all users. Pure.

Membership is today's: the vendor keeps no history of it.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, Literal
from urllib.parse import quote

import msgspec
from msgspec import Struct

from asyncreport.api.invalid_text import check_id
from asyncreport.api.listings import Entity, Listing, decode_page, list_by_cursor, list_entities
from asyncreport.api.wire import Request, read
from asyncreport.core.errors import RejectedError, UnknownTeamError
from asyncreport.core.job import Selector, batches
from asyncreport.core.text import counted, one_line

Kind = Literal["group", "team", "queue"]
#: users on a page, as the vendor's own exporter asks for them:
#: https://github.com/MyPureCloud/terraform-provider-genesyscloud
USERS_PAGE_SIZE = 500

#: ids that one request may name: https://developer.genesys.cloud/useragentman/users/
IDS_PER_REQUEST = 100

#: characters of names and ids in a message
_MAX_TEXT = 200

_USERS = "/api/v2/users"
_PATHS = {"group": "/api/v2/groups", "team": "/api/v2/teams", "queue": "/api/v2/routing/queues"}

#: path that lists the names of each column; all of them filter by id:
#: https://developer.genesys.cloud/devapps/api-explorer
_NAME_PATHS = {
    "queue_name": _PATHS["queue"],
    "wrap_up_name": "/api/v2/routing/wrapupcodes",
    "division_name": "/api/v2/authorization/divisions",
    "skill_name": "/api/v2/routing/skills",
    "language_name": "/api/v2/routing/languages",
}

_ID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


class Roster(Struct, frozen=True, kw_only=True):
    """A group, team or queue and its members."""

    id: str
    name: str
    #: ids, sorted
    users: tuple[str, ...]


def _decode_entity(body: bytes) -> Entity:
    """Decode one entity; raise TransientError if the body is something else."""
    entity = read(_ENTITY, body, "group, team or queue")
    check_id(entity.id)
    return entity


_ENTITY = msgspec.json.Decoder(Entity)


# Users -------------------------------------------------------------------------------------------


def user_count_request() -> Request:
    """Ask for the number of users in any state; None if the server does not say."""
    query = (("pageSize", "1"), ("state", "any"))
    return Request(method="GET", path=_USERS, query=query, decode=_decode_total)


def _decode_total(body: bytes) -> int | None:
    """Decode a page of a listing for its total only."""
    return decode_page(body).reported_total


def all_user_ids() -> Generator[Request, Any, tuple[str, ...]]:
    """List the sorted ids of all users, including users who left and deleted users.

    Raise RejectedError if the vendor does not list all of them. Beyond the 10,000th user, it
    refuses (400) to list users who are not active, whatever pageCount says
    (https://github.com/MyPureCloud/terraform-provider-genesyscloud/pull/1276). Therefore each state
    is listed separately: 10,000 users who left can be listed, and any number of active users.
    """
    found: set[str] = set()
    # In the order of a user's life: a user who leaves in the meantime is seen twice, never missed.
    for state in ("active", "inactive", "deleted"):
        found.update((yield from _user_ids(state)))
    return tuple(sorted(found))


def _user_ids(state: str) -> Generator[Request, Any, list[str]]:
    """List the ids of the users in one state."""
    users = yield from _users_in_state(state)
    return [user.id for user in users]


def _users_in_state(state: str) -> Listing:
    """List the users in one state."""
    try:
        return (yield from list_entities(_USERS, ("state", state), page_size=USERS_PAGE_SIZE))
    except RejectedError as error:
        if error.status != 400:
            raise
        raise _too_many_users(state, error) from error


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


def names(column: str, ids: Iterable[str]) -> Names:
    """Look up the names for a column such as `queue_name`.

    An id that the directory does not know (any more) gets None. So does a wrap-up code that
    is not an id: the vendor has one for timeouts, and might refuse a request with it.
    """
    found: dict[str, str | None] = dict.fromkeys(ids)
    known = [each for each in found if column == "queue_name" or _ID.fullmatch(each)]
    found.update((yield from _names(_NAME_PATHS[column], known)))
    return found


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


# Groups, teams and queues ------------------------------------------------------------------------


def look_up(selector: Selector, listed: Sequence[Entity] | None) -> Generator[Request, Any, Roster]:
    """Find a group, team or queue by id or exact name, and its members.

    `listed` has everything of its kind; None: a filter finds the name.

    Raise UnknownTeamError if there is none or if several have the name, RejectedError if the pages
    go in a circle. Raise UnlistedNameError for an unknown name if only a filter was used.
    """
    if is_id(selector):
        entity = yield from _by_id(selector.kind, selector.value)
    elif listed is None:
        entity = yield from _by_filter(selector.kind, selector.value)
    else:
        entity = _by_name(selector.kind, selector.value, listed)
    users = yield from _members(selector.kind, entity.id)
    return Roster(id=entity.id, name=entity.name or entity.id, users=users)


def is_id(selector: Selector) -> bool:
    """Tell whether a selector gives an id; otherwise it gives a name."""
    return _ID.fullmatch(selector.value) is not None


def has_filter(kind: Kind) -> bool:
    """Tell whether the vendor can look up one name of a kind; groups have no filter."""
    return kind != "group"


def list_all(kind: Kind) -> Listing:
    """List everything of a kind that the client sees."""
    return _list_kind(kind)


#: path of what else can be listed, by its word on the command line; the pages are numbered
_LABEL_PATHS = {
    "divisions": _NAME_PATHS["division_name"],
    "skills": _NAME_PATHS["skill_name"],
    "wrap-up-codes": _NAME_PATHS["wrap_up_name"],
}
_ROSTER_KINDS: dict[str, Kind] = {"groups": "group", "teams": "team", "queues": "queue"}


def list_named(kind: str) -> Listing:
    """List everything of a kind with its name: users, teams, skills, and so on.

    Deleted users are left out. `kind` is a word of the command line; raise KeyError for another.
    """
    if kind == "users":
        return _listed_users()
    if kind in _ROSTER_KINDS:
        return list_all(_ROSTER_KINDS[kind])
    return list_entities(_LABEL_PATHS[kind])


def _listed_users() -> Listing:
    """List the users who are active, then those who are not."""
    found: dict[str, Entity] = {}
    for state in ("active", "inactive"):
        users = yield from _users_in_state(state)
        found.update((user.id, user) for user in users)
    return list(found.values())


class UnlistedNameError(UnknownTeamError):
    """A filter did not find a name; a full list may have similar names to suggest."""


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


def _by_filter(kind: Kind, name: str) -> Generator[Request, Any, Entity]:
    """Find a team or queue by its exact name; raise UnlistedNameError if there is none.

    The vendor's filters are not exact: a team's name begins with the text, a queue's name may
    differ in case.
    """
    listed = yield from _list_kind(kind, ("name", name))
    found = _named(kind, name, listed)
    if found is None:
        raise UnlistedNameError(f"{kind} {name!r}: the directory has no {kind} with this name")
    return found


def _by_name(kind: Kind, name: str, listed: Sequence[Entity]) -> Entity:
    """Find a group, team or queue by its exact name; raise UnknownTeamError."""
    found = _named(kind, name, listed)
    if found is None:
        raise _unknown_name(kind, name, listed)
    return found


def _named(kind: Kind, name: str, listed: Sequence[Entity]) -> Entity | None:
    """Find the one entity of a name; raise UnknownTeamError if several have it."""
    exact = [entity for entity in listed if entity.name == name]
    if len(exact) > 1:
        raise _ambiguous(kind, name, exact)
    if not exact:
        return None
    return exact[0]


def _list_kind(kind: Kind, *query: tuple[str, str], below: str = "") -> Listing:
    """List all entities of a kind, or what is `below` one of them."""
    path = f"{_PATHS[kind]}{below}"
    if kind == "team":
        return list_by_cursor(path, *query)
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
