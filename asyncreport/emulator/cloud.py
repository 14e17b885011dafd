"""The emulated API without its socket: one request in, one response out. Pure.

Every call gets the time, in seconds.
"""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from asyncreport.emulator.aggregates import count, write
from asyncreport.emulator.containers import refuse_large, refuse_slow
from asyncreport.emulator.directory import Directory
from asyncreport.emulator.entities import Entities, is_entities
from asyncreport.emulator.fields import MAX_BYTES, json_object
from asyncreport.emulator.labels import LANGUAGES, SKILLS, WRAP_UPS, Label
from asyncreport.emulator.limits import Token, Tokens
from asyncreport.emulator.listings import Listings
from asyncreport.emulator.messages import (
    ApiError,
    Request,
    Response,
    bad_request,
    error_body,
    json_response,
    not_found,
)
from asyncreport.emulator.options import Options
from asyncreport.emulator.people import Division, Queue
from asyncreport.emulator.query import parse_query, until
from asyncreport.emulator.query_jobs import QueryJobs
from asyncreport.emulator.rosters import Rosters
from asyncreport.emulator.user_aggregates import (
    count_statuses,
    parse_user_query,
    write_statuses,
)
from asyncreport.emulator.user_search import search
from asyncreport.emulator.world import World

AGGREGATES = "/api/v2/analytics/conversations/aggregates/query"
JOBS = "/api/v2/analytics/conversations/aggregates/jobs"
USER_AGGREGATES = "/api/v2/analytics/users/aggregates/query"

_CONVERSATIONS = ("analytics:conversationAggregate:view",)
_USERS = ("analytics:userAggregate:view",)
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

#: the code and text of a 403 that names one permission, and of one that names several
_MISSING_ONE = (
    "missing.permissions",
    "Unable to perform the requested action. "
    "You are missing the following permission(s): {permissions}",
)
_MISSING_ANY = (
    "missing.any.permissions",
    "Unable to perform the requested action. "
    "You must have at least one of the following permissions assigned: {permissions}",
)
#: GET /api/v2/users/me of a client that logged in with client credentials
_NO_USER = (
    "This request requires a user context. "
    "Client credentials cannot be used for requests that require a user context."
)

#: what a handler gets: the request, its token, and the time
Handler = Callable[[Request, Token, float], Response]
#: how a request for data of the directory is answered
LookUp = Callable[[Request], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Route:
    """A method and path, and how they are answered."""

    method: str
    path: re.Pattern[str]
    #: the client needs any one of them
    permissions: tuple[str, ...]
    handler: Handler

    def fits(self, request: Request) -> bool:
        """Tell whether a request is for this route."""
        return request.method == self.method and self.path.fullmatch(request.path) is not None


class Cloud:
    """One emulated organisation's API and its state: tokens, rate limits, query jobs, members."""

    def __init__(
        self, world: World, options: Options | None = None, *, epoch: float | None = None
    ) -> None:
        """Start without tokens and jobs; the time 0 is `epoch` in seconds since 1970.

        Nothing is reported after the time of a request; with None for the epoch, everything is.

        Raise ValueError for names in the options that the world does not know.
        """
        self.world = world
        self.options = options or Options()
        _check_names("division", self.options.divisions, world.divisions)
        _check_names("queue", self.options.deleted_queues, world.queues)
        self._epoch = epoch
        self.tokens = Tokens(self.options)
        self.rosters = Rosters(world, deleted_queues=self.options.deleted_queues)
        self.directory = Directory(world, self.options)
        self._divisions = self.directory.visible_ids
        self.jobs = QueryJobs(world, self.options, divisions=self._divisions, epoch=epoch)
        self._entities = Entities(world, self.options, self.directory, divisions=self._divisions)
        self._ids = random.Random(world.seed)
        listings = Listings(self.directory, self.rosters)
        self._routes = [*self._own_routes(), *_directory_routes(self.directory, listings)]

    @property
    def permissions(self) -> list[str]:
        """List the permissions that requests need, sorted."""
        needed = chain.from_iterable(route.permissions for route in self._routes)
        return sorted(set(needed))

    def respond(self, request: Request, now: float) -> Response:
        """Respond to one request."""
        correlation_id = str(uuid.UUID(int=self._ids.getrandbits(128), version=4))
        headers = {"inin-correlation-id": correlation_id}
        try:
            response = self._respond(request, now, headers)
        except ApiError as error:
            response = json_response(error_body(error, correlation_id), error.status)
        headers = {**response.headers, **headers}
        return Response(status=response.status, headers=headers, body=response.body)

    def _respond(self, request: Request, now: float, headers: dict[str, str]) -> Response:
        """Check token, limit and permission, then respond; add to the headers of any response."""
        if (request.method, request.path) == ("POST", "/oauth/token"):
            return self.tokens.respond(request, now)
        if not request.path.startswith("/api/"):
            raise not_found()
        token = self.tokens.check(request, now)
        self._count(token, now, headers)
        return self._route(request).handler(request, token, now)

    def _count(self, token: Token, now: float, headers: dict[str, str]) -> None:
        """Count a request; raise the ApiError 429 if it is over the limit.

        https://developer.genesys.cloud/forum/t/normalized-platform-api-429-responses/12028
        """
        if not self.options.requests_per_minute:
            return
        verdict = token.window.count(now, self.options.requests_per_minute)
        headers.update(verdict.headers)
        if verdict.refused:
            headers["retry-after"] = str(verdict.reset)
            wait = f"Retry the request in [{verdict.reset}] seconds"
            message = f"Rate limit exceeded the maximum. {wait}"
            raise ApiError(429, "too.many.requests.retry.after", message)

    def _route(self, request: Request) -> Route:
        for route in self._routes:
            if route.fits(request):
                self._check_permission(route.permissions)
                return route
        raise not_found()

    def _check_permission(self, any_of: tuple[str, ...]) -> None:
        if not any_of or not set(any_of) <= set(self.options.denied):
            return
        code, template = _MISSING_ONE if len(any_of) == 1 else _MISSING_ANY
        raise ApiError(403, code, template, {"permissions": ", ".join(any_of)})

    def _own_routes(self) -> Iterator[Route]:
        """List the routes that are more than a look-up in the directory."""
        job = re.compile(f"{JOBS}/[^/]+")
        results = re.compile(f"{JOBS}/[^/]+/results")
        limits = re.compile("/api/v2/organizations/limits/namespaces/platform[.]api")
        yield Route("POST", re.compile(AGGREGATES), _CONVERSATIONS, self._aggregates)
        yield Route("POST", re.compile(USER_AGGREGATES), _USERS, self._user_aggregates)
        yield Route("POST", re.compile(JOBS), _CONVERSATIONS, self._submit_job)
        yield Route("GET", job, _CONVERSATIONS, self._job_status)
        yield Route("GET", results, _CONVERSATIONS, self._job_results)
        yield Route("DELETE", job, _CONVERSATIONS, self._delete_job)
        yield Route("GET", limits, (), self._limits)
        yield Route("POST", re.compile("/api/v2/users/search"), _SEARCH, self._search_users)
        yield Route("GET", re.compile("/api/v2/tokens/me"), (), self._token)
        yield Route("GET", re.compile("/api/v2/users/me"), (), _refuse_user)

    def _horizon(self, now: float) -> int | None:
        """Return the instant (ms) after which nothing has happened yet."""
        return None if self._epoch is None else int((self._epoch + now) * 1000)

    def _aggregates(self, request: Request, _: Token, now: float) -> Response:
        body = _json_body(request)
        if is_entities(body):
            return json_response(self._entities.respond(body, self._horizon(now)))
        query = parse_query(body)
        refuse_slow(self.options.slow_above, query, len(self.world.people))
        groups = count(until(query, self._horizon(now)), self.world, self._divisions)
        refuse_large(self.options.max_rows, groups)
        return json_response(write(query, groups))

    def _user_aggregates(self, request: Request, _: Token, now: float) -> Response:
        half_hours_only = self.options.half_hours_only
        query = parse_user_query(_json_body(request), half_hours_only=half_hours_only)
        refuse_slow(self.options.slow_above, query, len(self.world.people))
        known = until(query, self._horizon(now))
        groups = count_statuses(known, self.world, self._divisions)
        refuse_large(self.options.max_rows, groups)
        return json_response(write_statuses(query, self.world, groups))

    def _submit_job(self, request: Request, _: Token, now: float) -> Response:
        return json_response(self.jobs.submit(_json_body(request), now), 202)

    def _job_status(self, request: Request, _: Token, now: float) -> Response:
        return json_response(self.jobs.status(_last(request.path), now))

    def _job_results(self, request: Request, _: Token, now: float) -> Response:
        for name, _value in request.query:
            if name != "cursor":
                raise bad_request("The parameter {field} is unknown", field=name)
        job_id = _last(request.path.removesuffix("/results"))
        return json_response(self.jobs.results(job_id, request.param("cursor"), now))

    def _delete_job(self, request: Request, _: Token, __: float) -> Response:
        self.jobs.delete(_last(request.path))
        return Response(status=204)

    def _search_users(self, request: Request, _: Token, __: float) -> Response:
        return json_response(search(_json_body(request), self.directory.people))

    def _limits(self, _: Request, __: Token, ___: float) -> Response:
        """List the organisation's limits in the form that the vendor's SDK reads."""
        per_minute = self.options.requests_per_minute
        values = {
            "client.credentials.token.rate.per.minute": per_minute,
            "token.rate.per.minute": per_minute,
            "request.bytes.max": MAX_BYTES,
        }
        namespace = "platform.api"
        entities = [
            {"key": key, "namespace": namespace, "value": value} for key, value in values.items()
        ]
        return json_response({"entities": entities})

    def _token(self, _: Request, token: Token, __: float) -> Response:
        home = {"id": self.world.id, "name": "Emulated"}
        client: dict[str, Any] = {"id": token.client, "name": "asyncreport", "organization": home}
        return json_response(
            {
                "organization": home,
                "homeOrganization": home,
                "authorizedScope": [],
                "OAuthClient": client,
            }
        )


def _directory_routes(directory: Directory, listings: Listings) -> Iterator[Route]:
    """List the routes that look something up in the directory."""
    look_ups: tuple[tuple[str, tuple[str, ...], LookUp], ...] = (
        ("users", (), directory.users),
        ("authorization/divisions", (), directory.divisions),
        ("authorization/divisionspermitted/paged/me", (), directory.permitted),
        ("groups", (), listings.groups),
        ("groups/[^/]+", (), partial(listings.one, "group")),
        ("groups/[^/]+/members", (), listings.group_members),
        ("teams", _TEAMS, listings.teams),
        ("teams/[^/]+", _TEAMS, partial(listings.one, "team")),
        ("teams/[^/]+/members", _TEAMS, listings.team_members),
        ("routing/queues", _QUEUES, listings.queues),
        ("routing/queues/[^/]+", _QUEUES, partial(listings.one, "queue")),
        ("routing/queues/[^/]+/members", _QUEUE_MEMBERS, listings.queue_members),
    )
    named: tuple[tuple[str, tuple[str, ...], Sequence[Label]], ...] = (
        ("routing/wrapupcodes", _WRAP_UPS, WRAP_UPS),
        ("routing/skills", _SKILLS, SKILLS),
        # Believed to need no permission: none of a live organisation names languages.
        ("routing/languages", (), LANGUAGES),
    )
    for path, permissions, labels in named:
        of_labels = partial(listings.labels, f"/api/v2/{path}", labels)
        answer = partial(_looked_up, of_labels)
        yield Route("GET", re.compile(f"/api/v2/{path}"), permissions, answer)
    for path, permissions, look_up in look_ups:
        yield Route("GET", re.compile(f"/api/v2/{path}"), permissions, partial(_looked_up, look_up))


def _refuse_user(_: Request, __: Token, ___: float) -> Response:
    raise ApiError(400, "bad.request", _NO_USER)


def _looked_up(look_up: LookUp, request: Request, _: Token, __: float) -> Response:
    return json_response(look_up(request))


def _json_body(request: Request) -> dict[str, Any]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise ApiError(415, "unsupported.media.type", f"Unsupported Media Type - {kind or 'none'}")
    return json_object(request.body)


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _check_names(kind: str, names: Sequence[str], things: Sequence[Division | Queue]) -> None:
    """Refuse options that would silently do nothing."""
    known = [thing.name for thing in things]
    for name in names:
        if name not in known:
            raise ValueError(
                f"the emulated organisation has no {kind} {name!r}; it has {', '.join(known)}"
            )
