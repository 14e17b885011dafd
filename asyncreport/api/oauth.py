"""The token endpoint: the request for a token, and how its response is read. Pure.

https://developer.genesys.cloud/authorization/platform-auth/use-client-credentials
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from asyncreport.api.wire import Request
from asyncreport.core.errors import TransientError
from asyncreport.core.job import Client
from asyncreport.core.secret import Secret

#: seconds; how long a token lives unless the owner of the OAuth client changed it:
#: https://help.mypurecloud.com/articles/create-an-oauth-client/
DEFAULT_LIFETIME = 86_400.0


class Grant(Struct, frozen=True):
    """A token and how long it lives."""

    access_token: Secret
    #: seconds from when it was issued
    expires_in: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest(Request):
    """A request for a token."""

    #: what to check if the server refuses the client, for messages
    hint: str = field(default="", repr=False)


def token_request(client: Client, *, login_url: str = "", in_form: bool = False) -> TokenRequest:
    """Ask for a token with the client credentials grant.

    The credentials go into HTTP Basic, as the vendor wants them, or into the form. `login_url` is
    for messages.
    """
    form = {"grant_type": "client_credentials"}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if in_form:
        form["client_id"] = client.client_id
        form["client_secret"] = client.client_secret.reveal()
    else:
        headers["Authorization"] = _basic(client)
    # The secret may hold bytes that are not UTF-8: it comes from the environment.
    body = urlencode(form, errors="surrogateescape").encode()
    return TokenRequest(
        method="POST",
        host="login",
        path="/oauth/token",
        body=body,
        headers=headers,
        decode=decode_grant,
        hint=_what_to_check(client, login_url),
    )


def _what_to_check(client: Client, login_url: str) -> str:
    """Say what may be wrong if the server refuses a client."""
    names = ""
    if client.client_secret.variables:
        names = f" ({', '.join(client.client_secret.variables)})"
    place = login_url or "this region"
    return f"check the client id and the client secret{names}, and that they belong to {place}"


def _basic(client: Client) -> str:
    """Write the credentials for HTTP Basic."""
    secret = client.client_secret.reveal()
    pair = f"{client.client_id}:{secret}".encode("utf-8", "surrogateescape")
    encoded = base64.b64encode(pair)
    return f"Basic {encoded.decode('ascii')}"


class _TokenResponse(Struct):
    access_token: str
    #: of any type, because a wrong one does not matter
    expires_in: Any = None


_DECODER = msgspec.json.Decoder(_TokenResponse)


def decode_grant(body: bytes) -> Grant:
    """Decode a grant. A body without a token raises TransientError; its text is never quoted."""
    try:
        response = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # Without its cause: the decoder's own error may quote the token.
        raise TransientError("the response of the token endpoint has no valid token") from None
    token = response.access_token
    if not _fits_header(token):
        raise TransientError("the response of the token endpoint has a token that cannot be sent")
    return Grant(Secret(token), _lifetime(response.expires_in))


def _fits_header(token: str) -> bool:
    """Tell whether a token can be sent in an Authorization header."""
    return bool(token) and token.isascii() and token.isprintable() and " " not in token


def _lifetime(reported: object) -> float:
    """Accept a valid lifetime, else take the default: a token that expires sooner is renewed."""
    seconds = _as_seconds(reported)
    if math.isfinite(seconds) and seconds > 0:
        return seconds
    return DEFAULT_LIFETIME


def _as_seconds(reported: object) -> float:
    """Turn a number into seconds; 0 for what is not a number."""
    if not isinstance(reported, int | float) or isinstance(reported, bool):
        return 0.0
    try:
        return float(reported)
    except OverflowError:  # an integer of hundreds of digits
        return 0.0
