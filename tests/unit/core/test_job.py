"""What a job is made of: batches and lengths."""

from __future__ import annotations

import pytest

from asyncreport.core.job import USERS_PER_QUERY, ChunkLength, batches
from asyncreport.core.timeline import DAY, HOUR


def test_batches_hold_every_id_once_and_in_order() -> None:
    ids = [str(n) for n in range(2 * USERS_PER_QUERY + 1)]
    found = list(batches(ids))
    assert [len(batch) for batch in found] == [100, 100, 1]
    assert [each for batch in found for each in batch] == ids
    assert list(batches(ids[:3], 2)) == [("0", "1"), ("2",)]
    assert list(batches([])) == []


@pytest.mark.parametrize(
    ("length", "ms"),
    [
        (ChunkLength(), None),
        (ChunkLength(days=7), 7 * DAY),
        (ChunkLength(hours=6), 6 * HOUR),
    ],
)
def test_a_chunk_length_is_in_ms(length: ChunkLength, ms: int | None) -> None:
    assert length.ms == ms
