"""Users by their e-mail addresses: `POST /api/v2/users/search`. Pure.

It needs the permission directory:user:view.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping, Sequence
from itertools import count
from typing import Any

import msgspec
from msgspec import Struct

from asyncreport.api.wire import Request, follow, read
from asyncreport.core.errors import TransientError, UnknownTeamError
from asyncreport.core.job import batches
from asyncreport.core.text import counted, first_items, one_line, plural

_PATH = "/api/v2/users/search"
_WHAT = "page of a search"

#: addresses in one query; users on a page. The users of several states may have one address.
_EMAILS_PER_QUERY = 25
_PAGE_SIZE = 100

#: users who left have records too; of two users with one address the first state here counts
_STATES = ("active", "inactive", "deleted")

#: characters of ids in a message
_MAX_TEXT = 200


class FoundUser(Struct):
    """One user of a search."""

    id: str
    email: str | None = None
    state: str | None = None

    @property
    def rank(self) -> int:
        """Order users by state: active ones first."""
        if self.state in _STATES:
            return _STATES.index(self.state)
        return len(_STATES)


class SearchPage(Struct, rename="camel"):
    """One page; without any match it has no `results`."""

    results: list[FoundUser] | None = None
    total: int | None = None
    page_count: int | None = None


def decode_page(body: bytes) -> SearchPage:
    """Decode a page; raise TransientError if the body is something else."""
    page = read(_DECODER, body, _WHAT)
    if page.results is None and page.total is None:
        raise TransientError(f"the response is not a valid {_WHAT} (no results and no total)")
    return page


_DECODER = msgspec.json.Decoder(SearchPage)


def users_by_email(emails: Iterable[str]) -> Generator[Request, Any, dict[str, str]]:
    """Find the id of the user with each of these addresses; upper and lower case are the same.

    Raise UnknownTeamError for addresses that no user has, or that several users have.
    """
    wanted = sorted(set(emails))
    found: defaultdict[str, list[FoundUser]] = defaultdict(list)
    for batch in batches(wanted, _EMAILS_PER_QUERY):
        for user in (yield from _search(batch)):
            # Compared again: the vendor's search may find more than the exact address.
            found[(user.email or "").lower()].append(user)
    return _one_each(wanted, found)


def _search(emails: Sequence[str]) -> Generator[Request, Any, list[FoundUser]]:
    """Read all pages of one search."""
    users: list[FoundUser] = []
    numbers = count(1)

    def next_request(page: SearchPage) -> Request | None:
        number = next(numbers)
        users.extend(page.results or ())
        if not page.results or number >= (page.page_count or 1):
            return None
        return _request(emails, number + 1)

    yield from follow(_request(emails, 1), next_request)
    return users


def _request(emails: Sequence[str], number: int) -> Request:
    """Ask for one page; the criteria are joined by AND, the values of one by OR."""
    body = {
        "pageSize": _PAGE_SIZE,
        "pageNumber": number,
        "query": [_exact("email", emails), _exact("state", _STATES)],
    }
    return Request(
        method="POST",
        path=_PATH,
        body=msgspec.json.encode(body),
        headers={"Content-Type": "application/json"},
        decode=decode_page,
    )


def _exact(field: str, values: Sequence[str]) -> dict[str, object]:
    """Write the criterion that a field has one of these values."""
    return {
        "type": "EXACT",
        "fields": [field],
        "values": list(values),
    }


def _one_each(
    emails: Iterable[str],
    found: Mapping[str, Sequence[FoundUser]],
) -> dict[str, str]:
    """Choose the user of each address."""
    chosen = {}
    unknown = []
    for email in emails:
        users = found.get(email.lower(), ())
        if users:
            chosen[email] = _best(email, users)
        else:
            unknown.append(email)
    if unknown:
        raise _unknown(unknown)
    return chosen


def _best(email: str, users: Sequence[FoundUser]) -> str:
    """Choose the user of an address; raise UnknownTeamError if two users of one state have it."""
    best = min(user.rank for user in users)
    ids = {user.id for user in users if user.rank == best}
    if len(ids) > 1:
        raise _ambiguous(email, sorted(ids))
    return ids.pop()


def _unknown(emails: Sequence[str]) -> UnknownTeamError:
    """Make the error for addresses that no user has."""
    number = len(emails)
    return UnknownTeamError(
        f"no user has the e-mail {plural(number, 'address', 'addresses')} {first_items(emails)}; "
        f"compare {plural(number, 'it', 'them')} with Admin > People"
    )


def _ambiguous(email: str, ids: Sequence[str]) -> UnknownTeamError:
    """Make the error for an address that several users have."""
    listed = one_line(", ".join(ids), _MAX_TEXT)
    return UnknownTeamError(
        f"{counted(len(ids), 'user')} have the e-mail address {email} ({listed}); "
        "list the id of the right one"
    )
