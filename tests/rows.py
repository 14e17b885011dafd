"""The rows of an accumulator, read back from the bytes that go into a part. Owns nothing."""

from __future__ import annotations

import orjson

from asyncreport.core.records import Accumulator


def rows(facts: Accumulator) -> dict[str | None, list[dict[str, object]]]:
    """Give each user's rows, in order; each block's count is what it holds."""
    found = {}
    for block in facts.blocks():
        found[block.user] = [orjson.loads(line) for line in block.lines.splitlines()]
        assert len(found[block.user]) == block.count
    return found
