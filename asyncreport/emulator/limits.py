"""Tokens and the rate limit that the vendor counts by token. Pure: every method is told the time, in seconds.

https://developer.genesys.cloud/platform/api/rate-limits
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs

from asyncreport.emulator.answers import Answer, Ask, Refused, as_json

WINDOW_S = 60.0

#: the first OAuth client; its secret must be encoded to survive a form or an URL
CLIENT_ID = "5e1f7a2c-0d3b-4c8e-9a64-d1b2c3e4f506"
CLIENT_SECRET = "em+ulator/secret=%41&x"  # noqa: S105  it opens nothing but an emulator on loopback


def credentials(clients: int) -> tuple[tuple[str, str], ...]:
    """Give the (id, secret) of so many OAuth clients."""
    others = ((f"{CLIENT_ID[:-2]}{6 + n:02x}", f"{CLIENT_SECRET}{n}") for n in range(1, clients))
    return ((CLIENT_ID, CLIENT_SECRET), *others)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How one request stands to the limit."""

    #: requests of this token in the window, this one included
    count: int
    allowed: int
    #: whole seconds until a request would be let through again
    reset: int

    @property
    def headers(self) -> dict[str, str]:
        """Write the vendor's headers; its reset is seconds to go and no epoch."""
        return {
            "inin-ratelimit-count": str(self.count),
            "inin-ratelimit-allowed": str(self.allowed),
            "inin-ratelimit-reset": str(self.reset),
        }

    @property
    def refused(self) -> bool:
        """Tell whether the request was one too many."""
        return self.count > self.allowed


class Window:
    """The requests of one token within a minute: any sliding one, or one after another beginning at the first request.

    A refused request counts like any other.
    """

    def __init__(self, kind: Literal["sliding", "fixed"]) -> None:
        self._fixed = kind == "fixed"
        self._times: deque[float] = deque()

    def count(self, now: float, allowed: int) -> Verdict:
        """Count a request."""
        if self._fixed and self._times and now - self._times[0] >= WINDOW_S:
            self._times.clear()
        while self._times and now - self._times[0] >= WINDOW_S:
            self._times.popleft()
        self._times.append(now)
        first = 0 if self._fixed else max(0, len(self._times) - allowed)
        reset = math.ceil(WINDOW_S - (now - self._times[min(first, len(self._times) - 1)]))
        return Verdict(count=len(self._times), allowed=allowed, reset=max(1, reset))


@dataclass(slots=True)
class Token:
    """A token at large."""

    #: counts up from 1; what logs show instead of the token
    number: int
    text: str = field(repr=False)
    #: the id of the OAuth client that it was granted to
    client: str
    expires: float
    window: Window
    revoked: bool = False


class Tokens:
    """Hands out tokens and knows them again."""

    def __init__(
        self,
        *,
        life: int,
        told: int = 0,
        per_minute: int,
        window: Literal["sliding", "fixed"],
        clients: int = 1,
    ) -> None:
        self._clients = dict(credentials(clients))
        self._life = life
        self._told = told or life
        self._per_minute = per_minute
        self._kind = window
        self._issued = {client: Window("sliding") for client in self._clients}
        self._tokens: dict[str, Token] = {}

    def answer(self, ask: Ask, now: float) -> Answer:
        """Answer `POST /oauth/token`, whose errors have a form of their own."""
        form = parse_qs(ask.body.decode("utf-8", "replace"))
        client_id, secret = _credentials(ask.headers.get("authorization", ""), form)
        if client_id not in self._clients:
            return _oauth_error(400, "invalid_client", f"client not found: {client_id}")
        if self._per_minute and self._issued[client_id].count(now, self._per_minute).refused:
            return _oauth_error(
                400,
                "invalid_request",
                "rate limit exceeded; please wait before requesting another token",
            )
        if secret != self._clients[client_id]:
            return _oauth_error(401, "invalid_client", "authentication failed")
        grant = form.get("grant_type", [""])[0]
        if grant != "client_credentials":
            return _oauth_error(400, "unsupported_grant_type", f"grant type not supported: {grant}")
        token = self._issue(client_id, now)
        return as_json(
            {"access_token": token.text, "token_type": "bearer", "expires_in": self._told}
        )

    def check(self, ask: Ask, now: float) -> Token:
        """Find the token of a request; raise Refused where it has none or one that is not, or no longer, good."""
        kind, _, text = ask.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not text:
            raise Refused(
                401,
                "authentication.required",
                "No authentication bearer token specified in authorization header.",
            )
        token = self._tokens.get(text.strip())
        if token is None or token.revoked or now >= token.expires:
            raise Refused(401, "bad.credentials", "Invalid login credentials.")
        return token

    def borne(self, ask: Ask) -> Token | None:
        """Give the token that a request bears, good or not."""
        return self._tokens.get(ask.headers.get("authorization", "").partition(" ")[2].strip())

    def deactivate(self, client: str) -> None:
        """End a client's tokens and grant it no further one."""
        self._clients.pop(client, None)
        for token in self._tokens.values():
            token.revoked |= token.client == client

    def revoke(self) -> None:
        """End all tokens at large."""
        for token in self._tokens.values():
            token.revoked = True

    def expire(self, now: float) -> None:
        """Let all tokens at large reach the end of their life."""
        for token in self._tokens.values():
            token.expires = min(token.expires, now)

    def _issue(self, client: str, now: float) -> Token:
        number = len(self._tokens) + 1
        text = hashlib.sha256(f"emulated token {number}".encode()).hexdigest()
        token = self._tokens[text] = Token(
            number, text, client, now + self._life, Window(self._kind)
        )
        return token


def _credentials(header: str, form: dict[str, list[str]]) -> tuple[str, str]:
    """Read the credentials as the vendor's clients send them, or from the form as those of the entities contract do."""
    if header:
        return _basic(header)
    return form.get("client_id", [""])[0], form.get("client_secret", [""])[0]


def _basic(header: str) -> tuple[str, str]:
    """Read HTTP Basic credentials, which the vendor takes as they are (RFC 6749 would have them form-encoded first)."""
    kind, _, text = header.partition(" ")
    try:
        client_id, _, secret = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return (client_id, secret) if kind.lower() == "basic" else ("", "")


def _oauth_error(status: int, error: str, description: str) -> Answer:
    body: dict[str, Any] = {
        "error": error,
        "description": description,
        "error_description": description,
    }
    return as_json(body, status)
