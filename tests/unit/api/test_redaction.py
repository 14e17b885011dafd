"""Credentials that a server or a proxy sends back are shown by no message, in whatever spelling they come."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreport.api.oauth import token_request
from asyncreport.api.problems import problem
from asyncreport.api.redaction import (
    PART,
    SEARCHED,
    betrays,
    credentials,
    echoes,
    proxy_credentials,
    withheld,
)
from asyncreport.api.wire import Request, Response
from asyncreport.core.job import Client, Secret

#: what changes when it is escaped for a URL, for HTML and for a text of JSON
SECRET = 's&cr=t/"\\é %'
CLIENT = Client(client_id="the client", client_secret=Secret(SECRET))
TOKEN = "t0k+en/~%41&x="
QUERY = Request(method="GET", path="/x", headers={"Authorization": f"Bearer {TOKEN}"})
LOGIN = {form: token_request(CLIENT, in_form=form) for form in (False, True)}

SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "URL": lambda text: quote(text, safe=""),
    "URL, small": lambda text: re.sub(
        "%..", lambda escape: escape[0].lower(), quote(text, safe="")
    ),
    "form": quote_plus,
    "HTML": html.escape,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON, not ASCII": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON of a browser": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
}


def words(request: Request, body: bytes, status: int = 400, **headers: str) -> str:
    """Give what people are told of an answer."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return str(
        problem(
            request,
            withheld(Response(status=status, headers=given, body=body), credentials(request)),
        )
    )


@pytest.mark.parametrize("inner", SPELLINGS)
@pytest.mark.parametrize("outer", SPELLINGS)
@pytest.mark.parametrize("request_", [QUERY, *LOGIN.values()], ids=["token", "header", "form"])
def test_a_body_that_holds_credentials_in_any_spelling_is_not_shown(
    request_: Request, outer: str, inner: str
) -> None:
    known = TOKEN if request_ is QUERY else SECRET
    echo = SPELLINGS[outer](SPELLINGS[inner](known))
    for body in (
        f"<pre>you sent {echo}!</pre>",
        f'{{"message": "you sent {echo}", "code": "bad"}}',
    ):
        told = words(request_, body.encode())
        assert "its words are not shown: they hold credentials" in told
        assert "you sent" not in told


def test_the_header_of_a_token_request_is_not_shown_and_neither_is_what_it_says() -> None:
    basic = LOGIN[False].headers["Authorization"].split()[1]
    for echo in (basic, basic.rstrip("="), base64.b64decode(basic).decode(), SECRET):
        assert "you sent" not in words(LOGIN[False], f"you sent {echo}".encode())
    assert "you sent" not in words(LOGIN[False], f"you sent {SECRET}".encode("latin-1"))


def test_other_words_are_shown() -> None:
    for request in (QUERY, *LOGIN.values()):
        assert "you sent the client" in words(request, b"you sent the client")


@pytest.mark.parametrize("name", ["inin_correlation_id", "genesys_correlation_id"])
def test_a_correlation_id_that_is_a_credential_is_not_shown(name: str) -> None:
    assert words(QUERY, b"", **{name: TOKEN}).startswith("GET /x: 400")
    assert words(QUERY, b"", **{name: "c0ffee"}).startswith("[c0ffee] GET /x: 400")


def test_the_target_of_a_redirect_that_holds_a_credential_is_not_shown() -> None:
    assert TOKEN not in words(
        QUERY, b"", 302, location=f"https://elsewhere.example/{quote(TOKEN, safe='')}"
    )
    assert "this one goes to https://elsewhere.example/" in words(
        QUERY, b"", 302, location="https://elsewhere.example/"
    )


def test_an_answer_too_long_to_be_searched_is_not_shown_and_not_accused() -> None:
    told = words(QUERY, b"x" * (SEARCHED + 1))
    assert "(its words are not shown: they are too long)" in told
    assert "credentials" not in told


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("request_", [QUERY, *LOGIN.values()], ids=["token", "header", "form"])
def test_a_page_in_another_encoding_is_searched_too(request_: Request, encoding: str) -> None:
    """Decoded as what it is not, it would show the secret with a blank after each letter."""
    known = TOKEN if request_ is QUERY else "s3cr\u00e9t of mine"
    if request_ is not QUERY:
        client = Client(client_id="the client", client_secret=Secret(known))
        request_ = token_request(client, in_form=request_ is LOGIN[True])
    for echo in (known, quote(known, safe="")):
        told = words(request_, f"<html>you sent {echo}</html>".encode(encoding))
        assert "its words are not shown: they hold credentials" in told
    assert "its words are not shown: they hold credentials" in words(
        request_, f"you sent {'&nbsp;'.join(known)}".encode()
    )


@given(
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=PART, max_size=100),
    st.integers(0, 90),
    st.integers(PART, 80),
)
def test_a_part_of_a_credential_is_found_in_our_own_words(
    secret: str, start: int, length: int
) -> None:
    part = secret[start : start + length]
    assert betrays(f"the answer holds a user {part!r} who was not asked for", [secret]) == (
        len(part) >= PART
    )
    assert not betrays(
        "the answer holds a user 'zoe' who was not asked for", ["a-token-that-is-not-there"]
    )


def test_the_data_of_a_success_are_left_alone() -> None:
    answer = Response(status=200, headers={"inin-correlation-id": "c"}, body=TOKEN.encode())
    assert withheld(answer, credentials(QUERY)) is answer


@pytest.mark.parametrize(
    "echo", ["pa55 w/rd", "pa55%20w%2Frd", base64.b64encode(b"me:pa55 w/rd").decode()]
)
def test_a_proxy_s_password_is_not_shown_either(echo: str) -> None:
    secrets = proxy_credentials("http://me:pa55%20w%2Frd@proxy.example:3128")
    assert echoes(f"Proxy-Authorization: {echo}".encode(), secrets)
    assert not echoes(b"Proxy-Authorization: Basic", secrets)
    assert proxy_credentials("http://proxy.example:3128") == proxy_credentials("") == frozenset()


@given(st.text(min_size=1), st.sampled_from(sorted(SPELLINGS)), st.text(), st.text())
def test_any_secret_is_found_in_any_words(
    secret: str, spelling: str, before: str, after: str
) -> None:
    body = f"{before} {SPELLINGS[spelling](secret.encode('utf-8', 'replace').decode())} {after}".encode(
        "utf-8", "replace"
    )
    assert echoes(body, [secret.encode("utf-8", "replace").decode()])


@given(st.binary(), st.text(min_size=1))
def test_no_body_breaks_it(body: bytes, secret: str) -> None:
    assert echoes(body, [secret]) in (True, False)
