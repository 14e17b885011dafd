"""Tokens, and the rate limit that the vendor counts per token. Pure.

Every method gets the time, in seconds.
https://developer.genesys.cloud/platform/api/rate-limits
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
from collections import deque
from dataclasses import dataclass, field
from urllib.parse import parse_qs

from asyncreport.emulator.messages import ApiError, Request, Response, json_response
from asyncreport.emulator.options import Options

WINDOW_S = 60.0

#: the first OAuth client; its secret needs encoding in a form or a URL
CLIENT_ID = "5e1f7a2c-0d3b-4c8e-9a64-d1b2c3e4f506"
CLIENT_SECRET = "em+ulator/secret=%41&x"  # noqa: S105  it opens nothing but an emulator on loopback


def credentials(clients: int) -> tuple[tuple[str, str], ...]:
    """Return the (id, secret) of a number of OAuth clients."""
    others = [
        (f"{CLIENT_ID[:-2]}{6 + number:02x}", f"{CLIENT_SECRET}{number}")
        for number in range(1, clients)
    ]
    return ((CLIENT_ID, CLIENT_SECRET), *others)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One request compared with the limit."""

    #: requests of this token in the window, this one included
    count: int
    allowed: int
    #: whole seconds until a request would be accepted again
    reset: int

    @property
    def headers(self) -> dict[str, str]:
        """Write the vendor's headers; reset is a number of seconds, not a point in time."""
        return {
            "inin-ratelimit-count": str(self.count),
            "inin-ratelimit-allowed": str(self.allowed),
            "inin-ratelimit-reset": str(self.reset),
        }

    @property
    def refused(self) -> bool:
        """Tell whether the request is over the limit."""
        return self.count > self.allowed


class Window:
    """The requests of one token in the last minute; a refused request counts too."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def count(self, now: float, allowed: int) -> Verdict:
        """Count a request."""
        while self._times and now - self._times[0] >= WINDOW_S:
            self._times.popleft()
        self._times.append(now)
        count = len(self._times)
        # The request that must leave the window before another one is accepted.
        leaving = min(max(0, count - allowed), count - 1)
        reset = math.ceil(WINDOW_S - (now - self._times[leaving]))
        return Verdict(count=count, allowed=allowed, reset=max(1, reset))


@dataclass(slots=True)
class Token:
    """A token that was issued."""

    #: counts up from 1; logs show it instead of the token
    number: int
    text: str = field(repr=False)
    #: the id of its OAuth client
    client: str
    expires: float
    window: Window = field(default_factory=Window)
    revoked: bool = False


class Tokens:
    """Issue tokens and check them."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._clients = dict(credentials(options.clients))
        self._issued = {client: Window() for client in self._clients}
        self._tokens: dict[str, Token] = {}

    def respond(self, request: Request, now: float) -> Response:
        """Respond to `POST /oauth/token`; its errors have a form of their own."""
        form = parse_qs(request.body.decode("utf-8", "replace"))
        client_id, secret = _credentials(request.headers.get("authorization", ""), form)
        refusal = self._refusal(client_id, secret, now)
        if refusal is not None:
            return refusal
        grant = form.get("grant_type", [""])[0]
        if grant != "client_credentials":
            return _oauth_error(400, "unsupported_grant_type", f"grant type not supported: {grant}")
        token = self.issue(client_id, now)
        life = self._options.token_life_reported or self._options.token_life
        return json_response(
            {"access_token": token.text, "token_type": "bearer", "expires_in": life}
        )

    def _refusal(self, client_id: str, secret: str, now: float) -> Response | None:
        if client_id not in self._clients:
            return _oauth_error(400, "invalid_client", f"client not found: {client_id}")
        per_minute = self._options.tokens_per_minute
        if per_minute and self._issued[client_id].count(now, per_minute).refused:
            description = "rate limit exceeded; please wait before requesting another token"
            return _oauth_error(400, "invalid_request", description)
        if secret != self._clients[client_id]:
            return _oauth_error(401, "invalid_client", "authentication failed")
        return None

    def issue(self, client_id: str, now: float) -> Token:
        """Issue a token."""
        number = len(self._tokens) + 1
        text = hashlib.sha256(f"emulated token {number}".encode()).hexdigest()
        token = Token(number, text, client_id, now + self._options.token_life)
        self._tokens[text] = token
        return token

    def check(self, request: Request, now: float) -> Token:
        """Find the token of a request; raise ApiError if it has none or an invalid one."""
        kind, _, text = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not text:
            message = "No authentication bearer token specified in authorization header."
            raise ApiError(401, "authentication.required", message)
        token = self._tokens.get(text.strip())
        if token is None or token.revoked or now >= token.expires:
            raise ApiError(401, "bad.credentials", "Invalid login credentials.")
        return token

    def sent_with(self, request: Request) -> Token | None:
        """Return the token of a request, valid or not."""
        text = request.headers.get("authorization", "").partition(" ")[2]
        return self._tokens.get(text.strip())

    def deactivate(self, client: str) -> None:
        """Revoke a client's tokens and refuse it new ones."""
        self._clients.pop(client, None)
        for token in self._tokens.values():
            token.revoked |= token.client == client

    def revoke(self) -> None:
        """Revoke all tokens."""
        for token in self._tokens.values():
            token.revoked = True

    def expire(self, now: float) -> None:
        """Let all tokens expire."""
        for token in self._tokens.values():
            token.expires = min(token.expires, now)


def _credentials(header: str, form: dict[str, list[str]]) -> tuple[str, str]:
    """Read the credentials from the header, as the vendor does, or from the form.

    Clients of the entities contract use the form.
    """
    if header:
        return _basic(header)
    return form.get("client_id", [""])[0], form.get("client_secret", [""])[0]


def _basic(header: str) -> tuple[str, str]:
    """Read HTTP Basic credentials.

    The vendor takes them as they are; RFC 6749 wants them form-encoded first.
    """
    kind, _, text = header.partition(" ")
    if kind.lower() != "basic":
        return "", ""
    try:
        decoded = base64.b64decode(text, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    client_id, _, secret = decoded.partition(":")
    return client_id, secret


def _oauth_error(status: int, error: str, description: str) -> Response:
    return json_response(
        {"error": error, "description": description, "error_description": description}, status
    )
