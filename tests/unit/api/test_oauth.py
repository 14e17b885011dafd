"""The token endpoint: the request as the vendor wants it, and all forms of grants."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreport.api.oauth import DEFAULT_LIFETIME, decode_grant, token_request
from asyncreport.core.errors import TransientError
from asyncreport.core.job import Client
from asyncreport.core.secret import Secret

CLIENT = Client(client_id="the-client", client_secret=Secret("s3cret:with/colon"))


def test_the_request_is_a_form_with_the_credentials_in_basic() -> None:
    request = token_request(CLIENT)
    assert (request.method, request.host, request.path) == ("POST", "login", "/oauth/token")
    assert request.body == b"grant_type=client_credentials"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    scheme, _, credentials = request.headers["Authorization"].partition(" ")
    assert (scheme, base64.b64decode(credentials)) == ("Basic", b"the-client:s3cret:with/colon")


def test_no_repr_shows_a_secret() -> None:
    shown = repr(token_request(CLIENT)) + repr(decode_grant(b'{"access_token": "t0ken"}'))
    assert "Basic" not in shown
    assert "s3cret" not in shown
    assert "t0ken" not in shown


def test_a_grant_is_its_token_and_its_seconds() -> None:
    grant = decode_grant(
        b'{"access_token": "Vt3example", "token_type": "bearer", "expires_in": 86399, "scope": "x"}'
    )
    assert (grant.access_token.reveal(), grant.expires_in) == ("Vt3example", 86399.0)


@pytest.mark.parametrize("odd", ["null", '"soon"', "-5", "0", "true", "[]", "{}", '"3600"'])
def test_an_invalid_lifetime_is_replaced_by_the_default(odd: str) -> None:
    assert (
        decode_grant(f'{{"access_token": "t", "expires_in": {odd}}}'.encode()).expires_in
        == DEFAULT_LIFETIME
    )


@pytest.mark.parametrize("digits", [308, 309, 400, 4300])
def test_a_lifetime_of_hundreds_of_digits_is_accepted_or_replaced_by_the_default(
    digits: int,
) -> None:
    assert (
        decode_grant(b'{"access_token": "t", "expires_in": %s}' % (b"9" * digits)).expires_in
        >= DEFAULT_LIFETIME
    )


def test_a_missing_lifetime_is_the_default() -> None:
    assert decode_grant(b'{"access_token": "t"}').expires_in == DEFAULT_LIFETIME


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"<html>Sign in</html>",
        b'{"access_token": "cut-of',
        b'{"error": "invalid_client"}',
        b'{"access_token": null}',
        b'{"access_token": 5}',
        b'{"access_token": ""}',
        b'{"access_token": "two words"}',
        b'{"access_token": "line\\r\\nInjected: yes"}',
        b'{"access_token": "\xff"}',
        b'{"access_token": "\xc3\xa4"}',
        b"[" * 100_000,
    ],
)
def test_a_body_without_a_usable_token_is_transient(body: bytes) -> None:
    with pytest.raises(TransientError, match="token endpoint") as caught:
        decode_grant(body)
    assert "cut-of" not in f"{caught.value}{caught.value.__cause__}"


@given(st.binary())
def test_no_body_breaks_the_decoder(body: bytes) -> None:
    with pytest.raises(TransientError):
        decode_grant(body)


def test_credentials_can_be_sent_in_the_form_and_no_repr_shows_them() -> None:
    """For the entities contract; special characters are escaped."""
    request = token_request(Client(client_id="i d", client_secret=Secret("s&cret=")), in_form=True)
    assert request.body == b"grant_type=client_credentials&client_id=i+d&client_secret=s%26cret%3D"
    assert "Authorization" not in request.headers
    assert "cret" not in repr(request)
