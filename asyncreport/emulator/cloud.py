"""The emulated API without its socket: one Ask in, one Answer out. Pure: every call is told the time, in seconds."""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from asyncreport.emulator.analytics import evaluate
from asyncreport.emulator.answers import (
    Answer,
    Ask,
    Refused,
    as_json,
    bad_request,
    error_body,
    not_found,
)
from asyncreport.emulator.containers import refuse_late
from asyncreport.emulator.directory import Directory
from asyncreport.emulator.entities import Entities, is_entities
from asyncreport.emulator.limits import Token, Tokens, Verdict
from asyncreport.emulator.listings import Listings
from asyncreport.emulator.options import Options
from asyncreport.emulator.query import parse_query
from asyncreport.emulator.query_jobs import QueryJobs
from asyncreport.emulator.rosters import Rosters
from asyncreport.emulator.shape import MOST_BYTES, body_of
from asyncreport.emulator.user_aggregates import evaluate_users, parse_user_query
from asyncreport.emulator.world import World

AGGREGATES = "/api/v2/analytics/conversations/aggregates/query"
JOBS = "/api/v2/analytics/conversations/aggregates/jobs"
USER_AGGREGATES = "/api/v2/analytics/users/aggregates/query"

#: what a route is given: the request, the token that it bears, and the time
Route = Callable[[Ask, Token, float], Answer]
#: what a request for data is answered with
Look = Callable[[Ask], dict[str, Any]]


class Cloud:
    """One emulated organisation's API and its state: tokens, rate windows, query jobs, memberships."""

    def __init__(self, world: World, options: Options | None = None, *, epoch: float = 0.0) -> None:
        """Begin anew; `epoch` is what the time 0 is in seconds since 1970. Raise ValueError for names that the world does not know."""
        self.world = world
        self.options = options or Options()
        _check(world, self.options)
        #: what the limit is now; a fault may lower it
        self.allowed = self.options.requests_per_minute
        self.tokens = Tokens(
            life=self.options.token_life,
            told=self.options.token_life_told,
            per_minute=self.options.tokens_per_minute,
            window=self.options.window,
            clients=self.options.clients,
        )
        self.rosters = Rosters(world, deleted_queues=self.options.deleted_queues)
        directory = Directory(world, self.options)
        self._divisions = (
            frozenset(division.id for division in directory.visible)
            if self.options.divisions
            else None
        )
        self.jobs = QueryJobs(world, self.options, divisions=self._divisions, epoch=epoch)
        self._entities = Entities(world, self.options, directory, divisions=self._divisions)
        self._ids = random.Random(world.seed)
        listings = Listings(directory, self.rosters, most_per_page=self.options.most_per_page)
        self._routes = tuple(
            (methods, re.compile(path), permissions, route)
            for methods, path, permissions, route in (
                *self._computed(),
                *_looked_up(directory, listings),
            )
        )

    def _computed(self) -> Iterator[tuple[str, str, tuple[str, ...], Route]]:
        """List the routes that are more than a look at the directory: methods, path, permissions of which one is needed, route."""
        conversations = ("analytics:conversationAggregate:view",)
        yield "POST", AGGREGATES, conversations, self._aggregates
        yield (
            "POST",
            JOBS,
            conversations,
            lambda ask, _, now: as_json(self.jobs.submit(_body(ask), now), 202),
        )
        yield (
            "GET",
            f"{JOBS}/[^/]+",
            conversations,
            lambda ask, _, now: as_json(self.jobs.status(_last(ask.path), now)),
        )
        yield "DELETE", f"{JOBS}/[^/]+", conversations, self._delete_job
        yield "GET", f"{JOBS}/[^/]+/results", conversations, self._results
        yield "POST", USER_AGGREGATES, ("analytics:userAggregate:view",), self._user_aggregates
        yield "GET", "/api/v2/organizations/limits/namespaces/[^/]+(/defaults)?", (), self._limits
        yield "HEAD|GET", "/api/v2/tokens/me", (), self._token
        yield "DELETE", "/api/v2/tokens/me", (), self._revoke

    def answer(self, ask: Ask, now: float) -> Answer:
        """Answer one request."""
        correlation_id = str(uuid.UUID(int=self._ids.getrandbits(128), version=4))
        headers = {"inin-correlation-id": correlation_id}
        try:
            answer = self._answer(ask, now, headers)
        except Refused as refused:
            answer = as_json(error_body(refused, correlation_id), refused.status)
            if (
                refused.status == 429
            ):  # since 2021 none goes without: forum/t/normalized-platform-api-429-responses/12028
                headers.setdefault("retry-after", "1")
        return Answer(status=answer.status, headers={**answer.headers, **headers}, body=answer.body)

    def _answer(self, ask: Ask, now: float, headers: dict[str, str]) -> Answer:
        """Let a request pass the token endpoint or token, limit and route; add the headers that every answer bears."""
        if (ask.method, ask.path) == ("POST", "/oauth/token"):
            return self.tokens.answer(ask, now)
        if not ask.path.startswith("/api/"):
            raise not_found()
        token = self.tokens.check(ask, now)
        if self.allowed:
            verdict = token.window.count(now, self.allowed)
            headers |= verdict.headers
            if verdict.refused:
                headers["retry-after"] = str(verdict.reset)
                raise _too_many(verdict)
        return self._route(ask)(ask, token, now)

    def _route(self, ask: Ask) -> Route:
        fitting = [
            (methods, needed, route)
            for methods, path, needed, route in self._routes
            if path.fullmatch(ask.path)
        ]
        if not fitting:
            raise not_found()
        for methods, needed, route in fitting:
            if ask.method in methods.split("|"):
                self._permit(needed)
                return route
        raise Refused(405, "method.not.allowed", "HTTP 405 Method Not Allowed")

    def _permit(self, any_of: tuple[str, ...]) -> None:
        if any_of and all(permission in self.options.denied for permission in any_of):
            code = "missing.permissions" if len(any_of) == 1 else "missing.any.permissions"
            text = "Unable to perform the requested action. You are missing the following permission(s): {permissions}"
            raise Refused(403, code, text, {"permissions": ", ".join(any_of)})

    def _aggregates(self, ask: Ask, _: Token, __: float) -> Answer:
        asked, options = _body(ask), self.options
        if is_entities(asked):
            return as_json(self._entities.answer(asked))
        query = parse_query(asked)
        refuse_late(options.slow_above, query, len(self.world.people))
        found = evaluate(
            query,
            self.world,
            divisions=self._divisions,
            max_rows=options.max_rows,
            split_groups=options.split_groups,
        )
        return as_json(found)

    def _user_aggregates(self, ask: Ask, _: Token, __: float) -> Answer:
        options = self.options
        query = parse_user_query(_body(ask), half_hours_only=options.half_hours_only)
        refuse_late(options.slow_above, query, len(self.world.people))
        found = evaluate_users(
            query,
            self.world,
            divisions=self._divisions,
            max_rows=options.max_rows,
            split_groups=options.split_groups,
        )
        return as_json(found)

    def _results(self, ask: Ask, _: Token, now: float) -> Answer:
        for name, _value in ask.query:
            if name != "cursor":
                raise bad_request("The parameter {field} is unknown", field=name)
        return as_json(
            self.jobs.results(_last(ask.path.removesuffix("/results")), ask.one("cursor"), now)
        )

    def _delete_job(self, ask: Ask, _: Token, __: float) -> Answer:
        self.jobs.delete(_last(ask.path))
        return Answer(status=204)

    def _limits(self, ask: Ask, _: Token, __: float) -> Answer:
        """Answer with the limits of a namespace: keys as documented, the list's form as the vendor's SDK reads it."""
        namespace = ask.path.removesuffix("/defaults").rpartition("/")[2]
        now = self.options.requests_per_minute if ask.path.endswith("/defaults") else self.allowed
        known = {
            "platform.api": {
                "client.credentials.token.rate.per.minute": now,
                "token.rate.per.minute": now,
                "request.bytes.max": MOST_BYTES,
            },
            "analytics": {},
            "auth.api": {},
        }
        if namespace not in known:
            raise not_found()
        return as_json(
            {
                "entities": [
                    {"key": key, "namespace": namespace, "value": value}
                    for key, value in known[namespace].items()
                ]
            }
        )

    def _token(self, _: Ask, token: Token, __: float) -> Answer:
        home = {"id": self.world.id, "name": "Emulated"}
        client: dict[str, Any] = {"id": token.client, "name": "asyncreport", "organization": home}
        return as_json(
            {
                "organization": home,
                "homeOrganization": home,
                "authorizedScope": [],
                "OAuthClient": client,
            }
        )

    def _revoke(self, _: Ask, token: Token, __: float) -> Answer:
        token.revoked = True
        return Answer()


def _looked_up(
    directory: Directory, listings: Listings
) -> Iterator[tuple[str, str, tuple[str, ...], Route]]:
    """List the routes of the directory; `.../queues/{id}/members` needs any one of its permissions."""
    members = (
        "routing:queue:view",
        "routing:queue:edit",
        "routing:queue:readonly",
        "routing:queueMember:manage",
    )
    looks: tuple[tuple[str, tuple[str, ...], Look], ...] = (
        ("users", (), directory.users),
        ("users/[^/]+", (), directory.user),
        ("authorization/divisions", (), directory.divisions),
        ("authorization/divisionspermitted/paged/me", (), directory.permitted),
        ("authorization/subjects/me", (), lambda _: directory.subject()),
        ("organizations/me", (), lambda _: directory.organization()),
        ("groups", (), listings.groups),
        ("groups/[^/]+", (), partial(listings.one, "group")),
        ("groups/[^/]+/members", (), listings.group_members),
        ("groups/[^/]+/individuals", (), listings.individuals),
        ("teams", ("groups:team:view",), listings.teams),
        ("teams/[^/]+", ("groups:team:view",), partial(listings.one, "team")),
        ("teams/[^/]+/members", ("groups:team:view",), listings.team_members),
        ("routing/queues", ("routing:queue:view",), listings.queues),
        ("routing/queues/[^/]+", ("routing:queue:view",), partial(listings.one, "queue")),
        ("routing/queues/[^/]+/members", members, listings.queue_members),
    )
    for path, permissions, look in looks:
        yield "GET", f"/api/v2/{path}", permissions, partial(_answered, look)


def _answered(look: Look, ask: Ask, _: Token, __: float) -> Answer:
    return as_json(look(ask))


def _body(ask: Ask) -> dict[str, Any]:
    kind = ask.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, "unsupported.media.type", "HTTP 415 Unsupported Media Type")
    return body_of(ask.body)


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _check(world: World, options: Options) -> None:
    """Refuse options that would silently do nothing."""
    for kind, named, known in (
        ("division", options.divisions, world.divisions),
        ("queue", options.deleted_queues, world.queues),
    ):
        for name in named:
            if name not in {one.name for one in known}:
                raise ValueError(
                    f"the emulated organisation has no {kind} {name!r}; it has {', '.join(one.name for one in known)}"
                )


def _too_many(verdict: Verdict) -> Refused:
    """Make the 429 of https://developer.genesys.cloud/forum/t/normalized-platform-api-429-responses/12028."""
    text = f"Rate limit exceeded the maximum. Retry the request in [{verdict.reset}] seconds"
    return Refused(429, "too.many.requests.retry.after", text)
