"""The group of a result: its user and split values, checked against what was asked for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from asyncreport.api.invalid_text import check_id
from asyncreport.core.errors import FOREIGN, RejectedError
from asyncreport.core.job import Chunk, Query
from asyncreport.core.records import Split
from asyncreport.core.text import shorten

#: the dimensions of a group; a value that its interactions lack is absent
Group = dict[str, Any]
#: reads the user and the split values of a group; None for a group without a user, if certain
#: users were asked for
KeyReader = Callable[[Group], tuple[str | None, Split] | None]

#: the values that a dimension may have
_Filter = tuple[str, frozenset[str]]

#: characters of a server's value in a message
_MAX_VALUE_TEXT = 80


def key_reader(query: Query, chunk: Chunk) -> KeyReader:
    """Make the reader of a chunk's groups.

    That reader raises RejectedError for a group that was not asked for.
    """
    users = requested_users(chunk)
    split_by = query.split_by
    filters = _filters(query)

    # Called once for each group of a response: a part of the hot path.
    def read_key(group: Group) -> tuple[str | None, Split] | None:
        user = dimension_value(group, "userId")
        if user is None and users is not None:
            return None
        check_user(user, users)
        if filters:
            _check_filters(group, filters)
        return user, tuple([dimension_value(group, dimension) for dimension in split_by])

    return read_key


def requested_users(chunk: Chunk) -> frozenset[str] | None:
    """Return the users of a chunk; None: everyone."""
    if chunk.users is None:
        return None
    return frozenset(chunk.users)


def _filters(query: Query) -> list[_Filter]:
    """List the parts of the job's filter that each group shows.

    No group shows its division, because an interaction has several.
    """
    filters = [("mediaType", frozenset(query.filter.media_types))]
    if "queueId" in query.split_by:
        filters.append(("queueId", frozenset(query.filter.queues)))
    return [each for each in filters if each[1]]


def _check_filters(group: Group, filters: Iterable[_Filter]) -> None:
    """Raise RejectedError for a value that the job's filter leaves out."""
    for dimension, values in filters:
        value = dimension_value(group, dimension)
        # A group without the dimension is accepted: a gateway may leave out a dimension.
        if value is not None and value not in values:
            raise _not_requested(f"a {dimension}", value, "that")


def check_user(user: str | None, users: frozenset[str] | None) -> None:
    """Raise RejectedError for a user who was not asked for: the server does not filter."""
    if users is not None and user not in users:
        raise _not_requested("a user", str(user), "who")


def _not_requested(what: str, value: str, pronoun: str) -> RejectedError:
    """Make the error for a value that the filter of the query leaves out."""
    shown = shorten(value, _MAX_VALUE_TEXT)
    return RejectedError(
        f"the response has {what} {shown!r} {pronoun} was not asked for; "
        "the server did not apply the filter",
        code=FOREIGN,
    )


def dimension_value(group: Group, dimension: str) -> str | None:
    """Read a value of a group; None if it is absent or empty.

    Raise RejectedError if it is not a text, or not valid Unicode.
    """
    value = group.get(dimension)
    if value is not None and not isinstance(value, str):
        raise _not_a_text(dimension, value)
    check_id(value)
    return value or None


def _not_a_text(dimension: str, value: object) -> RejectedError:
    """Make the error for a dimension whose value is a number, a list or an object."""
    shown = shorten(str(value), _MAX_VALUE_TEXT)
    return RejectedError(f"the response groups by a {dimension} that is not a text: {shown}")
