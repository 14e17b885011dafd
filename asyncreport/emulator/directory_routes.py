"""The routes that look something up in the directory, and the permission of each. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any

from asyncreport.emulator.directory import Directory
from asyncreport.emulator.labels import LANGUAGES, SKILLS, WRAP_UPS, Label
from asyncreport.emulator.listings import Listings
from asyncreport.emulator.messages import Request, Response, json_response
from asyncreport.emulator.routes import Call, Route
from asyncreport.emulator.user_search import search

_SEARCH = ("directory:user:view",)
_TEAMS = ("groups:team:view",)
_QUEUES = ("routing:queue:view",)
_WRAP_UPS = ("routing:wrapupCode:view",)
#: believed
_SKILLS = ("routing:skill:view",)
_QUEUE_MEMBERS = (
    "routing:queue:view",
    "routing:queue:edit",
    "routing:queue:readonly",
    "routing:queueMember:manage",
)

#: how a request for data of the directory is answered
LookUp = Callable[[Request], dict[str, Any]]


def directory_routes(directory: Directory, listings: Listings) -> Iterator[Route]:
    """List all of them."""
    yield Route.of("POST", "/api/v2/users/search", partial(_search_users, directory), _SEARCH)
    yield from chain(
        _user_and_division_routes(directory),
        _label_routes(listings),
        _group_routes(listings),
        _team_routes(listings),
        _queue_routes(listings),
    )


def _user_and_division_routes(directory: Directory) -> Iterator[Route]:
    yield _look_up("users", directory.users)
    yield _look_up("authorization/divisions", directory.divisions)
    yield _look_up("authorization/divisionspermitted/paged/me", directory.permitted)


def _label_routes(listings: Listings) -> Iterator[Route]:
    yield _labels(listings, "routing/wrapupcodes", WRAP_UPS, _WRAP_UPS)
    yield _labels(listings, "routing/skills", SKILLS, _SKILLS)
    # Believed to need no permission: none of a live organisation names languages.
    yield _labels(listings, "routing/languages", LANGUAGES)


def _group_routes(listings: Listings) -> Iterator[Route]:
    yield _look_up("groups", listings.groups)
    yield _look_up("groups/[^/]+", partial(listings.one, "group"))
    yield _look_up("groups/[^/]+/members", listings.group_members)


def _team_routes(listings: Listings) -> Iterator[Route]:
    yield _look_up("teams", listings.teams, _TEAMS)
    yield _look_up("teams/[^/]+", partial(listings.one, "team"), _TEAMS)
    yield _look_up("teams/[^/]+/members", listings.team_members, _TEAMS)


def _queue_routes(listings: Listings) -> Iterator[Route]:
    yield _look_up("routing/queues", listings.queues, _QUEUES)
    yield _look_up("routing/queues/[^/]+", partial(listings.one, "queue"), _QUEUES)
    yield _look_up("routing/queues/[^/]+/members", listings.queue_members, _QUEUE_MEMBERS)


def _labels(
    listings: Listings, path: str, labels: Sequence[Label], permissions: tuple[str, ...] = ()
) -> Route:
    """Make the route that lists labels."""
    return _look_up(path, partial(listings.labels, f"/api/v2/{path}", labels), permissions)


def _look_up(path: str, look_up: LookUp, permissions: tuple[str, ...] = ()) -> Route:
    """Make a route below /api/v2 that looks something up."""
    return Route.of("GET", f"/api/v2/{path}", partial(_looked_up, look_up), permissions)


def _looked_up(look_up: LookUp, call: Call) -> Response:
    return json_response(look_up(call.request))


def _search_users(directory: Directory, call: Call) -> Response:
    return json_response(search(call.json_body(), directory.people))
