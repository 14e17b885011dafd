"""The emulated API without its socket: one request in, one response out. Pure.

Every call gets the time, in seconds.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from itertools import chain

from asyncreport.emulator.analytics import JobCalls, Queries
from asyncreport.emulator.directory import Directory
from asyncreport.emulator.directory_routes import directory_routes
from asyncreport.emulator.entities import Entities
from asyncreport.emulator.limits import Token, Tokens
from asyncreport.emulator.listings import Listings
from asyncreport.emulator.messages import (
    ApiError,
    Request,
    Response,
    error_body,
    json_response,
    not_found,
)
from asyncreport.emulator.options import Options
from asyncreport.emulator.organization import Organization
from asyncreport.emulator.people import Division, Queue
from asyncreport.emulator.query_jobs import QueryJobs
from asyncreport.emulator.rosters import Rosters
from asyncreport.emulator.routes import Call, Route
from asyncreport.emulator.view import View
from asyncreport.emulator.world import World

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
        self.tokens = Tokens(self.options)
        self.rosters = Rosters(world, deleted_queues=self.options.deleted_queues)
        self.directory = Directory(world, self.options)
        view = View(world=world, divisions=self.directory.visible_ids, epoch=epoch)
        self.jobs = QueryJobs(view, self.options)
        self._routes = self._all_routes(view)
        self._ids = random.Random(world.seed)

    def _all_routes(self, view: View) -> list[Route]:
        """List what the API knows."""
        entities = Entities(view, self.options, self.directory)
        return [
            *Queries(view, self.options, entities).routes(),
            *JobCalls(self.jobs).routes(),
            *Organization(self.world, self.options).routes(),
            *directory_routes(self.directory, Listings(self.directory, self.rosters)),
        ]

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
        return self.handle(Call(request, token, now))

    def handle(self, call: Call) -> Response:
        """Respond to a request whose token is valid; raise ApiError."""
        return self._route(call.request).handler(call)

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


def _check_names(kind: str, names: Sequence[str], things: Sequence[Division | Queue]) -> None:
    """Refuse options that would silently do nothing."""
    known = [thing.name for thing in things]
    for name in names:
        if name not in known:
            raise ValueError(
                f"the emulated organisation has no {kind} {name!r}; it has {', '.join(known)}"
            )
