"""The token endpoint: what is asked of it and what it grants. Pure.

https://developer.genesys.cloud/authorization/platform-auth/use-client-credentials
"""

from __future__ import annotations

import base64
import math
from typing import Any
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from asyncreport.api.wire import Request
from asyncreport.core.errors import TransientError
from asyncreport.core.job import Client, Secret

#: seconds; the lifetime that a client has unless its owner changed it: https://help.mypurecloud.com/articles/create-an-oauth-client/
USUAL_LIFETIME = 86_400.0


class Grant(Struct, frozen=True):
    """A token and how long it lives."""

    access_token: Secret
    #: seconds from when it was issued
    expires_in: float


def token_request(client: Client, *, in_form: bool = False) -> Request:
    """Ask for a token by the client credentials grant, credentials in HTTP Basic as the vendor wants them, or in the form."""
    form = {"grant_type": "client_credentials"}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    if in_form:
        form |= {"client_id": client.client_id, "client_secret": client.client_secret.reveal()}
    else:
        credentials = f"{client.client_id}:{client.client_secret.reveal()}".encode(
            "utf-8", "surrogateescape"
        )
        headers["Authorization"] = f"Basic {base64.b64encode(credentials).decode('ascii')}"
    body = urlencode(form, errors="surrogateescape").encode()
    return Request(
        method="POST", host="login", path="/oauth/token", body=body, headers=headers, decode=decode
    )


def decode(body: bytes) -> Grant:
    """Read a grant; raise TransientError for a body that holds none, without a word of that body."""
    try:
        answer = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # The decoder's own words may quote the token.
        raise TransientError("the answer of the token endpoint is no grant") from None
    token = answer.access_token
    # A token with a space or a line break in it would not survive the header that it travels in.
    if not (token.isascii() and token.isprintable() and token and " " not in token):
        raise TransientError("the answer of the token endpoint holds no token that can be sent")
    return Grant(Secret(token), _lifetime(answer.expires_in))


def _lifetime(given: object) -> float:
    """Believe a lifetime that is one; a token that dies sooner than the usual one is renewed on its first 401."""
    if not isinstance(given, int | float) or isinstance(given, bool):
        return USUAL_LIFETIME
    try:
        seconds = float(given)
    except OverflowError:  # a whole number of hundreds of digits
        return USUAL_LIFETIME
    return seconds if math.isfinite(seconds) and seconds > 0 else USUAL_LIFETIME


class _Answer(Struct):
    access_token: str
    expires_in: Any = None


_DECODER = msgspec.json.Decoder(_Answer)
