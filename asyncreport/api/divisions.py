"""Which divisions there are, and which of them the client's roles cover. Pure.

What lies in a division that is not covered is left out of every answer without a word, and the answer's status is 200:
https://help.mypurecloud.com/?p=169702
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from asyncreport.api.directory import Entity, Page, decode, numbered
from asyncreport.api.wire import Request
from asyncreport.core.errors import RejectedError

#: of the figures
PERMISSION = "analytics:conversationAggregate:view"

_ALL = "/api/v2/authorization/divisions"
_PERMITTED = "/api/v2/authorization/divisionspermitted/paged/me"


def visible_divisions(
    permission: str = PERMISSION,
) -> Generator[Request, Any, tuple[tuple[str, ...], tuple[str, ...] | None]]:
    """Give the names of all divisions and of those in which the client has a permission, sorted; None where the server does not tell.

    Neither request needs a permission; the second one speaks of a current user, and the vendor does not say whether a client is one.
    """
    everything = _names((yield from numbered(_ALL)))
    asked = ("permission", permission)
    try:
        page: Page = yield Request(
            method="GET", path=_PERMITTED, query=(asked, ("pageSize", "1")), decode=decode
        )
        if page.all_divs_permitted:
            return everything, everything
        return everything, _names((yield from numbered(_PERMITTED, asked)))
    except RejectedError:
        return everything, None


def _names(divisions: list[Entity]) -> tuple[str, ...]:
    return tuple(sorted(division.name or division.id for division in divisions))
