"""Which divisions the client sees, where the server tells."""

from __future__ import annotations

import pytest

from asyncreport.api.divisions import PERMISSION, visible_divisions
from asyncreport.api.wire import Request
from asyncreport.core.errors import RejectedError
from tests.unit.api.test_directory import Answers, counted, entity, play

THREE = [entity("west"), entity("home"), {"id": "nameless"}]


def told(covered: list[dict[str, str]], *, every: bool = False) -> Answers:
    def answers(request: Request) -> object:
        if request.path == "/api/v2/authorization/divisions":
            return counted(request, THREE, cap=2)
        assert request.path == "/api/v2/authorization/divisionspermitted/paged/me"
        return counted(request, covered, cap=1) | {"allDivsPermitted": every}

    return answers


def test_a_division_that_the_client_lacks_is_told_apart() -> None:
    found, asked = play(visible_divisions(), told(THREE[1:]))
    assert found == (("Home", "West", "nameless"), ("Home", "nameless"))
    assert all(("permission", PERMISSION) in request.query for request in asked[2:])


def test_a_client_of_all_divisions_need_not_have_them_listed() -> None:
    found, asked = play(visible_divisions("analytics:userAggregate:view"), told([], every=True))
    assert found == (("Home", "West", "nameless"),) * 2
    assert len(asked) == 3
    assert ("permission", "analytics:userAggregate:view") in asked[-1].query


def test_a_client_of_no_division_covers_none() -> None:
    assert play(visible_divisions(), told([]))[0] == (("Home", "West", "nameless"), ())


@pytest.mark.parametrize("status", [400, 404])
def test_a_server_that_does_not_tell_is_no_error(status: int) -> None:
    def answers(request: Request) -> object:
        return (
            counted(request, THREE)
            if request.path.endswith("/divisions")
            else RejectedError("no user", status=status)
        )

    assert play(visible_divisions(), answers)[0] == (("Home", "West", "nameless"), None)
