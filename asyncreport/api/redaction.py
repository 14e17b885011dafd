"""Credentials that come back: a server or a proxy may say what it was sent, in whatever spelling. Pure."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from html import unescape
from urllib.parse import parse_qs, unquote, unquote_plus, urlsplit

from asyncreport.api.wire import Request, Response

#: bytes of an answer that are searched; the words of a longer one are not shown
SEARCHED = 1 << 18

#: headers that a message shows
_HEADERS = ("inin-correlation-id", "genesys-correlation-id", "location")

#: how often words may have been escaped, one way in another
_DEPTH = 2

#: characters of a credential that are a part of it: fewer may be anything
PART = 12

_BLANKS = re.compile(r"[\s\0]+")

#: without any of these nothing is escaped
_MARKS = re.compile(rb"[%+&\\]")

_SHORT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)


def credentials(request: Request) -> frozenset[str]:
    """Collect what a request proves itself with: its token, or the client's secret."""
    found = set(_of_header(request.headers.get("Authorization", "")))
    if request.host == "login":
        form = (request.body or b"").decode("ascii", "replace")
        found.update(parse_qs(form, errors="surrogateescape").get("client_secret", []))
    return frozenset(filter(None, found))


def proxy_credentials(proxy: str) -> frozenset[str]:
    """Collect what a proxy's address holds before its host."""
    url = urlsplit(proxy)
    pair = f"{unquote(url.username or '')}:{unquote(url.password or '')}"
    # It travels as Latin-1, wherever that can spell it.
    tokens = {
        base64.b64encode(pair.encode(encoding, "replace")).decode().rstrip("=")
        for encoding in ("latin-1", "utf-8")
    }
    return (
        frozenset({url.password, unquote(url.password), *tokens}) if url.password else frozenset()
    )


def _of_header(value: str) -> Iterator[str]:
    scheme, _, token = value.rpartition(" ")
    yield token.rstrip("=")
    if scheme == "Basic":
        try:
            pair = base64.b64decode(token).decode("utf-8", "surrogateescape")
        except (binascii.Error, ValueError):
            return
        yield pair.partition(":")[2]


def echoes(body: bytes, secrets: Collection[str]) -> bool:
    """Tell whether an answer says any of these, as it is or escaped for a URL, for HTML or for a text of JSON; True: perhaps."""
    if not secrets or not body:
        return False
    if len(body) > SEARCHED:
        return True
    texts = _texts(body)
    if any(secret in text for text in texts for secret in secrets):
        return True
    # A page in UTF-16 is one in which NULs stand between the letters, and blanks once it is shown.
    bare = set(filter(None, map(_bare, secrets)))
    return any(secret in text for text in map(_bare, texts) for secret in bare)


def betrays(words: str, secrets: Collection[str]) -> bool:
    """Tell whether words of ours quote a part of any of these, for what we quote is cut."""
    parts = {
        bare[at : at + PART]
        for bare in map(_bare, secrets)
        for at in range(max(1, len(bare) - PART + 1))
    } - {""}
    return any(
        part in _bare(text)
        for text in _texts(words.encode("utf-8", "surrogatepass"))
        for part in parts
    )


def _texts(body: bytes) -> set[str]:
    """Read a body in every way that it may be meant."""
    texts = {
        text
        for raw in {body, body.replace(b"\0", b"")}
        for text in (raw.decode("utf-8", "surrogateescape"), raw.decode("latin-1"))
    }
    for _ in range(_DEPTH if _MARKS.search(body) else 0):
        texts |= {unescaped(text) for text in texts for unescaped in _UNESCAPED}
    return texts


def _bare(text: str) -> str:
    return _BLANKS.sub("", text)


def _unescape_json(text: str) -> str:
    plain = _ESCAPE.sub(
        lambda found: (
            chr(int(found[1][1:], 16)) if len(found[1]) > 1 else _SHORT.get(found[1], found[1])
        ),
        text,
    )
    # What lies beyond U+FFFF is escaped as two halves.
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


_UNESCAPED: tuple[Callable[[str], str], ...] = (unquote, unquote_plus, unescape, _unescape_json)


def withheld(response: Response, secrets: Collection[str]) -> Response:
    """Leave out of an answer what a message might show of these: some headers, and the body of one that is no success."""
    telling = {
        name
        for name in _HEADERS
        if echoes(response.headers.get(name, "").encode("utf-8", "surrogateescape"), secrets)
    }
    headers = (
        {name: value for name, value in response.headers.items() if name not in telling}
        if telling
        else response.headers
    )
    spoken = not 200 <= response.status < 300 and echoes(response.body, secrets)
    words = _TOO_LONG if len(response.body) > SEARCHED else WITHHELD.encode()
    return (
        replace(response, headers=headers, body=words if spoken else response.body)
        if telling or spoken
        else response
    )


#: what stands in place of words that a message must not show
WITHHELD = "(its words are not shown: they hold credentials)"
_TOO_LONG = b"(its words are not shown: they are too long)"
