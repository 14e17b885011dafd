"""Faults by script: which requests meet one, and how the response changes."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest

from asyncreport.emulator.delivery import delivery
from asyncreport.emulator.faults import Fault, Faults, change_response
from asyncreport.emulator.messages import Response

RESPONSE = Response(
    headers={
        "content-type": "application/json",
        "inin-correlation-id": "c-1",
        "inin-ratelimit-count": "3",
        "inin-ratelimit-allowed": "300",
    },
    body=b'{"results": [1, 2, 3]}',
)


def _applied(
    match: dict[str, Any], *, paths: list[str] | None = None, requests: int = 12
) -> list[int]:
    """Return the numbers of the requests, from 1, to which a rule applies."""
    faults = Faults([{"match": match, "do": {"status": 503}}])
    asked = paths or ["/api/v2/users"] * requests
    return [n for n, path in enumerate(asked, 1) if faults.choose(path, "body of " + path)]


@pytest.mark.parametrize(
    ("match", "applied"),
    [
        ({}, list(range(1, 13))),
        ({"nth": [2, 5]}, [2, 5]),
        ({"every": 4}, [4, 8, 12]),
        ({"after": 9}, [10, 11, 12]),
        ({"times": 2}, [1, 2]),
        ({"after": 3, "every": 2, "times": 3}, [4, 6, 8]),
        ({"path": "elsewhere"}, []),
        ({"probability": 0.0}, []),
    ],
)
def test_a_rule_applies_to_the_requests_of_its_match(
    match: dict[str, Any], applied: list[int]
) -> None:
    assert _applied(match) == applied


def test_a_rule_counts_only_the_requests_with_its_texts() -> None:
    paths = ["/oauth/token", "/api/v2/users", "/oauth/token", "/api/v2/users"]
    assert _applied({"path": "users", "nth": [2]}, paths=paths) == [4]
    assert _applied({"body": "oauth", "nth": [2]}, paths=paths) == [3]


def test_probability_gives_the_same_faults_for_the_same_seed() -> None:
    once, again, other = (
        _applied({"probability": 0.33, "seed": seed}, requests=600) for seed in (7, 7, 8)
    )
    assert once == again != other
    assert 150 < len(once) < 250


def test_the_first_rule_that_applies_decides_and_all_rules_count() -> None:
    faults = Faults(
        [
            {"match": {"nth": [1]}, "do": {"status": 500}},
            {"match": {"nth": [1, 2]}, "do": {"status": 502}},
        ]
    )
    chosen = [faults.choose("/api") for _ in range(3)]
    assert [fault and fault.status for fault in chosen] == [500, 502, None]


def test_several_faults_take_turns() -> None:
    faults = Faults([{"do": [{"status": 429}, {"reset": "body"}]}])
    chosen = [faults.choose("/api") for _ in range(3)]
    assert [fault and (fault.status, fault.reset) for fault in chosen] == [
        (429, None),
        (None, "body"),
        (429, None),
    ]


def test_without_a_script_there_are_no_faults() -> None:
    assert Faults().choose("/api") is None


@pytest.mark.parametrize(
    "script",
    [
        {},
        "503",
        [{"do": {"explode": True}}],
        [{"match": {"nht": [1]}, "do": {}}],
        [{"match": {}}],
        [{"do": []}],
        [{"match": {"every": 0}, "do": {}}],
    ],
)
def test_an_invalid_script_is_refused(script: object) -> None:
    with pytest.raises(ValueError, match="script of faults"):
        Faults(script)


def test_a_status_has_the_vendors_form_with_the_additions_of_the_script() -> None:
    response = change_response(Fault(status=429, retry_after=2, message="Slow down"), RESPONSE)
    assert (
        response.status,
        response.headers["retry-after"],
        response.headers["inin-ratelimit-count"],
    ) == (429, "2", "3")
    body = json.loads(response.body)
    assert (body["code"], body["message"], body["contextId"]) == (
        "too.many.requests.retry.after",
        "Slow down",
        "c-1",
    )
    assert "retry-after" not in change_response(Fault(status=503), response).headers
    assert (
        change_response(Fault(status=503, retry_after="Wed, 21 Oct 2026 07:28:00 GMT"), RESPONSE)
        .headers["retry-after"]
        .startswith("Wed")
    )
    assert (
        json.loads(
            change_response(Fault(status=400, code="response.entity.too.large"), RESPONSE).body
        )["code"]
        == "response.entity.too.large"
    )
    assert (
        json.loads(change_response(Fault(status=599), RESPONSE).body)["code"]
        == "internal.server.error"
    )


def test_bodies_and_headers_can_be_anything() -> None:
    assert (
        change_response(Fault(status=400, body="rate limit exceeded; x"), RESPONSE).body
        == b"rate limit exceeded; x"
    )
    page = change_response(Fault(status=502, html=True), RESPONSE)
    assert (page.status, page.headers["content-type"]) == (502, "text/html")
    assert page.body.startswith(b"<html>")
    assert change_response(Fault(html=True), RESPONSE).status == 200
    assert (
        change_response(Fault(content_type="text/plain"), RESPONSE).headers["content-type"]
        == "text/plain"
    )
    changed = change_response(
        Fault(headers={"Inin-RateLimit-Allowed": "120", "inin-correlation-id": None}), RESPONSE
    ).headers
    assert changed == {
        "content-type": "application/json",
        "inin-ratelimit-count": "3",
        "inin-ratelimit-allowed": "120",
    }
    assert set(change_response(Fault(drop_headers=True), RESPONSE).headers) == {
        "content-type",
        "inin-correlation-id",
    }


@pytest.mark.parametrize("fault", [Fault(garble=True), Fault(truncate="json")])
def test_a_damaged_body_is_not_json_but_correct_http(fault: Fault) -> None:
    response = change_response(fault, RESPONSE)
    with pytest.raises(ValueError):  # noqa: PT011  UnicodeDecodeError or JSONDecodeError
        json.loads(response.body)
    assert delivery(fault, response) is None


def test_a_delivery_breaks_where_the_script_says() -> None:
    half = len(RESPONSE.body) // 2
    cut = delivery(Fault(truncate="length"), RESPONSE)
    assert cut is not None
    assert cut.end == "close"
    assert cut.pieces[0].startswith(b"HTTP/1.1 200 OK\r\ncontent-length: 22\r\n")
    assert cut.pieces[1] == RESPONSE.body[:half]
    lengths = {}
    for where in ("before", "headers", "body"):
        reset = delivery(Fault(reset=where), RESPONSE)
        assert reset is not None
        assert reset.end == "reset"
        lengths[where] = len(reset.pieces)
    assert lengths == {"before": 0, "headers": 1, "body": 2}
    hang = delivery(Fault(hang=True), RESPONSE)
    assert hang is not None
    assert (hang.end, hang.pieces) == ("hang", ())


def test_a_slow_body_arrives_whole() -> None:
    drip = delivery(Fault(drip=0.5), RESPONSE)
    assert drip is not None
    assert b"".join(drip.pieces).partition(b"\r\n\r\n")[2] == RESPONSE.body
    assert (drip.pause, len(drip.pieces)) == (0.5, 9)


def test_a_compressed_body_is_whole_broken_or_a_bomb() -> None:
    whole, broken, bomb = (
        change_response(Fault(gzip=how), RESPONSE) for how in ("whole", "broken", "bomb")
    )  # type: ignore[arg-type]
    assert {response.headers["content-encoding"] for response in (whole, broken, bomb)} == {"gzip"}
    assert gzip.decompress(whole.body) == RESPONSE.body
    with pytest.raises(EOFError):
        gzip.decompress(broken.body)
    assert len(bomb.body) < 2**20
    unpacker, size = zlib.decompressobj(wbits=31), 0
    rest = bomb.body
    while rest:
        size += len(unpacker.decompress(rest, 2**20))
        rest = unpacker.unconsumed_tail
    assert size + len(unpacker.flush()) == 96 * 2**20
