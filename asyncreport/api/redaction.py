"""Secrets that a server or a proxy sends back: recognized in a body, and replaced in text. Pure.

The text of a response is shown only if it comes in the platform's JSON form, and never if it comes
from the login host (see `problems`). What is shown goes through `redact` before it is cut.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Collection, Iterator
from urllib.parse import parse_qs, quote, quote_plus, unquote, urlsplit

from asyncreport.api.wire import Request

#: replaces a secret
MASK = "***"


def credentials(request: Request) -> frozenset[str]:
    """Collect the secrets that a request carries: its token, or the secret of the OAuth client."""
    found = set(_header_secrets(request.headers.get("Authorization", "")))
    if request.host == "login":
        form = (request.body or b"").decode("ascii", "replace")
        found.update(parse_qs(form, errors="surrogateescape").get("client_secret", ()))
    return frozenset(found - {""})


def _header_secrets(value: str) -> Iterator[str]:
    scheme, _, token = value.rpartition(" ")
    yield token
    if scheme == "Basic":
        try:
            pair = base64.b64decode(token).decode("utf-8", "surrogateescape")
        except (binascii.Error, ValueError):
            return
        yield pair.partition(":")[2]


def proxy_credentials(proxy: str) -> frozenset[str]:
    """Collect the secrets in a proxy's address: the password, and user and password in base64."""
    url = urlsplit(proxy)
    if not url.password:
        return frozenset()
    password = unquote(url.password)
    pair = f"{unquote(url.username or '')}:{password}"
    # aiohttp sends it as Latin-1; other clients, which a proxy may imitate, as UTF-8.
    encoded = [_base64(pair.encode(encoding, "replace")) for encoding in ("latin-1", "utf-8")]
    return frozenset({password, url.password, *encoded})


def redact(text: str, secrets: Collection[str]) -> str:
    """Replace every secret in a text: plain, URL-encoded, JSON-escaped and in base64.

    Must come before the text is cut: a part of a secret is not recognized.
    """
    pattern = _pattern(secrets)
    if pattern is None:
        return text
    return pattern.sub(MASK, text)


def holds_secret(body: bytes, secrets: Collection[str]) -> bool:
    """Tell whether a body, which may be JSON, holds a secret in one of these spellings."""
    pattern = _pattern(secrets)
    return pattern is not None and bool(pattern.search(body.decode("utf-8", "replace")))


def _pattern(secrets: Collection[str]) -> re.Pattern[str] | None:
    spellings = {spelling for secret in secrets for spelling in _spellings(secret)} - {""}
    if not spellings:
        return None
    # The longest first, because one spelling may begin with another. In any case: %2f is %2F.
    ordered = sorted(spellings, key=len, reverse=True)
    return re.compile("|".join(re.escape(spelling) for spelling in ordered), re.IGNORECASE)


def _spellings(secret: str) -> Iterator[str]:
    in_bytes = secret.encode("utf-8", "surrogateescape")
    for spelling in (
        secret,
        quote(in_bytes, safe=""),
        quote(in_bytes),
        quote_plus(in_bytes),
        _base64(in_bytes),
        base64.urlsafe_b64encode(in_bytes).decode(),
    ):
        # A server may leave out the padding of base64.
        plain = spelling.rstrip("=") or spelling
        yield plain
        for escaped in _in_json(plain):
            yield escaped
            # Text in JSON may be JSON itself.
            yield from _in_json(escaped)


def _in_json(text: str) -> Iterator[str]:
    for ensure_ascii in (True, False):
        escaped = json.dumps(text, ensure_ascii=ensure_ascii)[1:-1]
        yield escaped
        # Browsers and PHP escape the slash too.
        yield escaped.replace("/", "\\/")


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
