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
from itertools import chain
from urllib.parse import parse_qs, quote, quote_plus, unquote, urlsplit

from asyncreport.api.wire import Request

#: replaces a secret
MASK = "***"


def credentials(request: Request) -> frozenset[str]:
    """Collect the secrets that a request carries: its token, or the secret of the OAuth client."""
    found = set(_header_secrets(request.headers.get("Authorization", "")))
    if request.host == "login":
        found.update(_form_secrets(request.body or b""))
    return frozenset(found - {""})


def _form_secrets(body: bytes) -> list[str]:
    """Read the secret of the OAuth client from the form of a token request, if it is there."""
    form = parse_qs(body.decode("ascii", "replace"), errors="surrogateescape")
    return form.get("client_secret", [])


def _header_secrets(value: str) -> Iterator[str]:
    """Walk the secrets of an Authorization header, as sent and decoded."""
    scheme, _, token = value.rpartition(" ")
    yield token
    if scheme == "Basic":
        yield _basic_password(token)


def _basic_password(token: str) -> str:
    """Read the password of HTTP Basic; empty if the token is something else."""
    try:
        pair = base64.b64decode(token).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        return ""
    return pair.partition(":")[2]


def proxy_credentials(proxy: str) -> frozenset[str]:
    """Collect the secrets in a proxy's address: the password, and user and password in base64."""
    url = urlsplit(proxy)
    if not url.password:
        return frozenset()
    password = unquote(url.password)
    user = unquote(url.username or "")
    return frozenset({password, url.password, *_proxy_tokens(f"{user}:{password}")})


def _proxy_tokens(pair: str) -> Iterator[str]:
    """Walk the base64 forms of `user:password`.

    aiohttp sends it as Latin-1; other clients, which a proxy may imitate, as UTF-8.
    """
    for encoding in ("latin-1", "utf-8"):
        yield _base64(pair.encode(encoding, "replace"))


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
    if pattern is None:
        return False
    return bool(pattern.search(body.decode("utf-8", "replace")))


def _pattern(secrets: Collection[str]) -> re.Pattern[str] | None:
    """Compile a pattern that finds the secrets; None if there are none."""
    spellings = set(chain.from_iterable(map(_spellings, secrets))) - {""}
    if not spellings:
        return None
    # The longest first, because one spelling may begin with another. In any case: %2f is %2F.
    ordered = sorted(spellings, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, ordered)), re.IGNORECASE)


def _spellings(secret: str) -> set[str]:
    """Give the ways in which a server may write a secret."""
    # A server may leave out the padding of base64.
    plain = {spelling.rstrip("=") or spelling for spelling in _encodings(secret)}
    escaped = set(chain.from_iterable(map(_in_json, plain)))
    # Text in JSON may be JSON itself. Sets: of a plain token, most of these texts are equal.
    return plain | escaped | set(chain.from_iterable(map(_in_json, escaped)))


def _encodings(secret: str) -> Iterator[str]:
    """Walk the forms of a secret that are not JSON: plain, in a URL, in a form, in base64."""
    in_bytes = secret.encode("utf-8", "surrogateescape")
    yield secret
    yield quote(in_bytes, safe="")
    yield quote(in_bytes)
    yield quote_plus(in_bytes)
    yield _base64(in_bytes)
    yield base64.urlsafe_b64encode(in_bytes).decode()


def _in_json(text: str) -> Iterator[str]:
    """Walk the ways to write a text within a JSON string."""
    for ensure_ascii in (True, False):
        escaped = json.dumps(text, ensure_ascii=ensure_ascii)[1:-1]
        yield escaped
        # Browsers and PHP escape the slash too.
        yield escaped.replace("/", "\\/")


def _base64(value: bytes) -> str:
    """Encode as HTTP Basic does."""
    return base64.b64encode(value).decode()
