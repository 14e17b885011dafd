"""The emulated API without its socket: one Ask in, one Answer out. Pure: every call is told the time, in seconds."""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from asyncreport.emulator import analytics, directory
from asyncreport.emulator.answers import Answer, Ask, Refused, as_json, error_body
from asyncreport.emulator.limits import CLIENT_ID, Token, Tokens, Verdict
from asyncreport.emulator.query import MOST_BYTES, parse_query
from asyncreport.emulator.world import World

AGGREGATES = "/api/v2/analytics/conversations/aggregates/query"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the emulated organisation behaves."""

    #: of one token; 0: no limit and no rate headers
    requests_per_minute: int = 300
    #: how that minute is measured
    window: Literal["sliding", "fixed"] = "sliding"
    #: tokens the client may fetch in a minute; 0: any number
    tokens_per_minute: int = 60
    #: seconds a token lives
    token_life: int = 86_400
    #: seconds before an API answer
    latency: float = 0.0
    #: rows in one aggregates answer, beyond which it is refused as too large; 0: any number
    max_rows: int = 0
    #: write some groups of an aggregates answer in several pieces
    split_groups: bool = True
    #: permissions that the client lacks, such as `analytics:conversationAggregate:view`
    denied: tuple[str, ...] = ()


#: what a route is given: the request and the token that it bears
Route = Callable[[Ask, Token], Answer]


class Cloud:
    """One emulated organisation's API and its state: tokens, rate windows."""

    def __init__(self, world: World, options: Options | None = None) -> None:
        self.world = world
        self.options = options or Options()
        #: what the limit is now; a fault may lower it
        self.allowed = self.options.requests_per_minute
        self.tokens = Tokens(life=self.options.token_life, per_minute=self.options.tokens_per_minute, window=self.options.window)
        self._ids = random.Random(world.seed)
        self._routes: tuple[tuple[str, re.Pattern[str], Route], ...] = tuple(
            (method, re.compile(path), route)
            for method, path, route in (
                ("POST", AGGREGATES, self._aggregates),
                ("GET", "/api/v2/users", lambda ask, _: as_json(directory.users(world, ask))),
                ("GET", "/api/v2/users/[^/]+", lambda ask, _: as_json(directory.user(world, ask))),
                ("GET", "/api/v2/authorization/divisions", lambda ask, _: as_json(directory.divisions(world, ask))),
                ("GET", "/api/v2/organizations/me", lambda _, __: as_json(directory.organization(world))),
                ("GET", "/api/v2/organizations/limits/namespaces/[^/]+(/defaults)?", self._limits),
                ("HEAD|GET", "/api/v2/tokens/me", self._token),
                ("DELETE", "/api/v2/tokens/me", self._revoke),
            )
        )

    def answer(self, ask: Ask, now: float) -> Answer:
        """Answer one request."""
        correlation_id = str(uuid.UUID(int=self._ids.getrandbits(128), version=4))
        headers = {"inin-correlation-id": correlation_id}
        try:
            answer = self._answer(ask, now, headers)
        except Refused as refused:
            answer = as_json(error_body(refused, correlation_id), refused.status)
        return Answer(status=answer.status, headers={**answer.headers, **headers}, body=answer.body)

    def _answer(self, ask: Ask, now: float, headers: dict[str, str]) -> Answer:
        """Let a request pass the token endpoint or token, limit and route; add the headers that every answer bears."""
        if (ask.method, ask.path) == ("POST", "/oauth/token"):
            return self.tokens.answer(ask, now)
        if not ask.path.startswith("/api/"):
            raise _not_found()
        token = self.tokens.check(ask, now)
        if self.allowed:
            verdict = token.window.count(now, self.allowed)
            headers |= verdict.headers
            if verdict.refused:
                headers["retry-after"] = str(verdict.reset)
                raise _too_many(verdict)
        return self._route(ask)(ask, token)

    def _route(self, ask: Ask) -> Route:
        fitting = [(method, route) for method, path, route in self._routes if path.fullmatch(ask.path)]
        if not fitting:
            raise _not_found()
        for method, route in fitting:
            if ask.method in method.split("|"):
                return route
        raise Refused(405, "method.not.allowed", "HTTP 405 Method Not Allowed")

    def _aggregates(self, ask: Ask, _: Token) -> Answer:
        self._permit("analytics:conversationAggregate:view")
        kind = ask.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise Refused(415, "unsupported.media.type", "HTTP 415 Unsupported Media Type")
        options = self.options
        found = analytics.evaluate(parse_query(ask.body), self.world, max_rows=options.max_rows, split_groups=options.split_groups)
        return as_json(found)

    def _permit(self, permission: str) -> None:
        if permission in self.options.denied:
            text = "Unable to perform the requested action. You are missing the following permission(s): {permissions}"
            raise Refused(403, "missing.permissions", text, {"permissions": permission})

    def _limits(self, ask: Ask, _: Token) -> Answer:
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
            raise _not_found()
        return as_json({"entities": [{"key": key, "namespace": namespace, "value": value} for key, value in known[namespace].items()]})

    def _token(self, _: Ask, __: Token) -> Answer:
        home = {"id": self.world.id, "name": "Emulated"}
        client: dict[str, Any] = {"id": CLIENT_ID, "name": "asyncreport", "organization": home}
        return as_json({"organization": home, "homeOrganization": home, "authorizedScope": [], "OAuthClient": client})

    def _revoke(self, _: Ask, token: Token) -> Answer:
        token.revoked = True
        return Answer()


def _not_found() -> Refused:
    return Refused(404, "not.found", "The requested resource was not found")


def _too_many(verdict: Verdict) -> Refused:
    """Make the 429 of https://developer.genesys.cloud/forum/t/normalized-platform-api-429-responses/12028."""
    text = f"Rate limit exceeded the maximum. Retry the request in [{verdict.reset}] seconds"
    return Refused(429, "too.many.requests.retry.after", text)
