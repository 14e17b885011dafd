"""No message shows a secret that a server or a proxy sends back."""

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
from asyncreport.api.problems import problem, undecodable
from asyncreport.api.redaction import (
    MASK,
    credentials,
    holds_secret,
    proxy_credentials,
    redact,
)
from asyncreport.api.wire import Request, Response
from asyncreport.core.errors import RejectedError, TransientError
from asyncreport.core.job import Client
from asyncreport.core.secret import Secret

#: changes when it is escaped for a URL, for HTML and for JSON
SECRET = 's&cr=t/"\\é %'
CLIENT = Client(client_id="the client", client_secret=Secret(SECRET))
TOKEN = "t0k+en/~%41&x="
QUERY = Request(method="GET", path="/x", headers={"Authorization": f"Bearer {TOKEN}"})
LOGIN = {form: token_request(CLIENT, in_form=form) for form in (False, True)}


def in_json(text: str, *, ensure_ascii: bool = True) -> str:
    return json.dumps(text, ensure_ascii=ensure_ascii)[1:-1]


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "URL": lambda text: quote(text, safe=""),
    "URL with slashes": quote,
    "URL in lower case": lambda text: re.sub(
        "%..", lambda escape: escape[0].lower(), quote(text, safe="")
    ),
    "form": quote_plus,
    "JSON": in_json,
    "JSON, not ASCII": lambda text: in_json(text, ensure_ascii=False),
    "JSON of a browser": lambda text: in_json(text).replace("/", "\\/"),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 without padding": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
}

#: in what a server may pack a secret that is in one of these spellings
BODIES: dict[str, Callable[[str], bytes]] = {
    "platform": lambda echo: json.dumps(
        {"message": f"you sent {echo}", "code": echo, "contextId": echo}
    ).encode(),
    "details": lambda echo: json.dumps(
        {
            "message": "you sent it",
            "messageParams": {"a": [echo], echo: "b", "c": {"d": [echo]}},
            "details": [{"fieldName": echo}],
            "limit": {"key": echo, "value": echo},
        }
    ).encode(),
    "page": lambda echo: f"<pre>you sent {html.escape(echo)}!</pre>".encode(),
    "text": lambda echo: f"you sent {echo}".encode(),
    "text in UTF-16": lambda echo: f"you sent {echo}".encode("utf-16"),
    "OAuth": lambda echo: json.dumps(
        {"error": echo, "error_description": f"you sent {echo}", "description": echo}
    ).encode(),
}


def message(request: Request, body: bytes, status: int = 400, **headers: str) -> str:
    """Return the message that people see about a response."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return str(problem(request, Response(status=status, headers=given, body=body)))


def assert_hidden(text: str, secret: str) -> None:
    for spelling in SPELLINGS.values():
        assert spelling(secret).rstrip("=") not in text


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("request_", [QUERY, *LOGIN.values()], ids=["token", "header", "form"])
def test_a_secret_in_a_body_is_not_shown(request_: Request, body: str, spelling: str) -> None:
    secret = TOKEN if request_ is QUERY else SECRET
    for status in (302, 400, 401, 403, 404, 407, 500):
        text = message(request_, BODIES[body](SPELLINGS[spelling](secret)), status)
        assert_hidden(text, secret)
        shown = request_ is QUERY and body in ("platform", "details")
        assert ("you sent" in text) == shown
        assert (MASK in text) == shown


def test_no_text_of_the_login_host_is_shown() -> None:
    for body in BODIES.values():
        for status in (400, 401, 404, 500):
            assert "harmless" not in message(LOGIN[False], body("harmless"), status)


@pytest.mark.parametrize("form", [False, True])
def test_the_header_of_a_token_request_and_what_it_encodes_are_secrets(form: bool) -> None:
    secrets = credentials(LOGIN[form])
    assert redact(f"a {SECRET} b", secrets) == f"a {MASK} b"
    if not form:
        basic = LOGIN[False].headers["Authorization"].split()[1]
        assert redact(f"a {basic} b", secrets) == f"a {MASK} b"
        assert redact(f"a {basic.rstrip('=')} b", secrets) == f"a {MASK} b"


def test_other_text_of_the_platform_is_shown() -> None:
    assert "you sent the client" in message(QUERY, BODIES["platform"]("the client"))


@pytest.mark.parametrize("name", ["inin_correlation_id", "genesys_correlation_id"])
def test_a_correlation_id_is_shown_if_it_looks_like_an_id_and_is_not_a_secret(name: str) -> None:
    assert message(QUERY, b"", **{name: "c0ffee-1"}).endswith(" [correlation id c0ffee-1]")
    for odd in (TOKEN, f"Bearer {TOKEN}", "two words", "x" * 81, "%41"):
        assert message(QUERY, b"", **{name: odd}).startswith("GET /x: 400")
    plain = Request(method="GET", path="/x", headers={"Authorization": "Bearer abc-123"})
    assert message(plain, b"", **{name: "id-abc-123"}).endswith(f" [correlation id id-{MASK}]")


def test_the_target_of_a_redirect_is_shown_without_secrets() -> None:
    target = f"https://elsewhere.example/{quote(TOKEN, safe='')}/in?x={TOKEN}"
    assert f"(the target is https://elsewhere.example/{MASK}/in)" in message(
        QUERY, b"", 302, location=target
    )


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("error", [TransientError("holds 'quote'"), RejectedError("holds 'quote'")])
def test_the_error_of_a_decoder_does_not_quote_a_body_that_holds_a_secret(
    spelling: str, error: TransientError | RejectedError
) -> None:
    """Its quote is cut, so the body is searched."""
    for echo, shown in ((SPELLINGS[spelling](TOKEN), False), ("harmless", True)):
        body = json.dumps({"results": [{"group": {"userId": echo}}]}).encode()
        found = undecodable(QUERY, Response(status=200, headers={}, body=body), error)
        assert type(found) is type(error)
        if shown:
            assert str(found) == "GET /x: holds 'quote'"
        else:
            assert str(found) == (
                "GET /x: the response is invalid "
                "(details are not shown because it contains credentials)"
            )


@pytest.mark.parametrize(
    "echo",
    [
        "pa55 w/rd",
        "pa55%20w%2Frd",
        base64.b64encode(b"me:pa55 w/rd").decode(),
    ],
)
def test_the_password_of_a_proxy_is_not_shown(echo: str) -> None:
    secrets = proxy_credentials("http://me:pa55%20w%2Frd@proxy.example:3128")
    assert redact(f"Proxy-Authorization: {echo}!", secrets) == f"Proxy-Authorization: {MASK}!"
    body = BODIES["platform"](echo)
    text = str(problem(QUERY, Response(status=403, headers={}, body=body), secrets))
    assert f"you sent {MASK}" in text
    assert proxy_credentials("http://proxy.example:3128") == proxy_credentials("") == frozenset()


@given(st.text(min_size=1), st.sampled_from(sorted(SPELLINGS)), st.text(), st.text())
def test_any_secret_is_found_in_any_text(
    secret: str, spelling: str, before: str, after: str
) -> None:
    secret, before, after = (
        text.encode("utf-8", "replace").decode() for text in (secret, before, after)
    )
    echo = SPELLINGS[spelling](secret)
    assert redact(f"{before}{echo}{after}", [secret]) != f"{before}{echo}{after}"
    assert holds_secret(f"{before}{echo}{after}".encode(), [secret])
    assert echo not in redact(echo, [secret]) or echo.rstrip("=") in MASK


@given(st.binary(), st.text())
def test_any_body_can_be_searched(body: bytes, secret: str) -> None:
    assert holds_secret(body, [secret]) in (True, False)
    assert not holds_secret(body, [])
    assert redact("text", []) == "text"
