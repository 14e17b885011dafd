"""The limits of the platform, and which divisions the client sees if the server reports it."""

from __future__ import annotations

import pytest

from asyncreport.api.organization import (
    AGGREGATE_PERMISSION,
    decode_organization,
    visible_divisions,
)
from asyncreport.api.wire import Request
from asyncreport.core.errors import RejectedError
from tests.unit.api.test_directory import Answers, counted, entity, play

THREE = [entity("west"), entity("home"), {"id": "nameless"}]


def reporting(covered: list[dict[str, str]], *, every: bool = False) -> Answers:
    def answers(request: Request) -> object:
        if request.path == "/api/v2/authorization/divisions":
            return counted(request, THREE, cap=2)
        assert request.path == "/api/v2/authorization/divisionspermitted/paged/me"
        return counted(request, covered, cap=1) | {"allDivsPermitted": every}

    return answers


def test_a_division_that_the_client_cannot_see_is_missing_from_the_second_list() -> None:
    found, asked = play(visible_divisions(), reporting(THREE[1:]))
    assert found == (("Home", "West", "nameless"), ("Home", "nameless"))
    assert all(("permission", AGGREGATE_PERMISSION) in request.query for request in asked[2:])


def test_a_client_of_all_divisions_does_not_need_a_list_of_them() -> None:
    found, asked = play(
        visible_divisions("analytics:userAggregate:view"), reporting([], every=True)
    )
    assert found == (("Home", "West", "nameless"),) * 2
    assert len(asked) == 3
    assert ("permission", "analytics:userAggregate:view") in asked[-1].query


def test_a_client_of_no_division_sees_none() -> None:
    assert play(visible_divisions(), reporting([]))[0] == (("Home", "West", "nameless"), ())


@pytest.mark.parametrize("status", [400, 404])
def test_a_server_that_does_not_report_it_is_not_an_error(status: int) -> None:
    def answers(request: Request) -> object:
        return (
            counted(request, THREE)
            if request.path.endswith("/divisions")
            else RejectedError("no user", status=status)
        )

    assert play(visible_divisions(), answers)[0] == (("Home", "West", "nameless"), None)


@pytest.mark.parametrize(
    ("body", "organization"),
    [
        (b'{"organization": {"id": "7"}, "authenticatedUser": null}', "7"),
        (b'{"organization": {"id": ""}}', None),
        (b'{"organization": null}', None),
        (b'{"organization": "7"}', None),
        (b"{}", None),
        (b"<html>", None),
        (b"\xff", None),
    ],
)
def test_a_body_without_an_organisation_is_accepted(body: bytes, organization: str | None) -> None:
    assert decode_organization(body) == organization
