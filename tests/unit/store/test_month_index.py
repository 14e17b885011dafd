"""Users are read in groups, and get exactly their own rows, however few of them are wanted."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncreport.store import month_index
from asyncreport.store.month_index import MonthIndex
from asyncreport.store.parts import PartReader
from asyncreport.store.remote import NOWHERE
from tests.unit.store.facts import block, chunk, hours, row, written

USERS = [None, *(f"u{n}" for n in range(8))]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from(USERS), st.integers(1, 9), max_size=9), max_size=5),
    st.sets(st.sampled_from([*USERS, "nobody"])),
    st.integers(1, 4_000),
)
def test_users_get_their_own_rows_in_order_of_time(
    parts: list[dict[str | None, int]], wanted: set[str | None], group: int
) -> None:
    """`parts`: how many rows each user has in each part."""
    order = sorted(USERS, key=lambda user: user or "")
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(month_index, "_GROUP", group)
        folder = Path(name)
        saved = [
            written(
                folder,
                number,
                chunk(hours(number, number + 1), None),
                [
                    block(user, [row(number, handled=n) for n in range(rows[user])])
                    for user in order
                    if user in rows
                ],
            )
            for number, rows in enumerate(parts)
        ]
        with PartReader(folder, NOWHERE) as reader:
            index = MonthIndex.of(saved, reader.checked_indexes)
            assert index.users == {user for rows in parts for user in rows}
            users = sorted(wanted, key=lambda user: user or "")
            for user, found in index.read(users, reader):
                expected = [(n, rows[user]) for n, rows in enumerate(parts) if user in rows]
                assert [(rows.part.number, rows.count) for rows in found] == expected
                for rows in found:
                    assert rows.lines.count(b"\n") == rows.count
                    entry = next(e for e in reader.index(rows.part) if e.user == user)
                    assert rows.lines == reader.block(rows.part, entry)
