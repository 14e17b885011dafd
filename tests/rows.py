"""The rows of an accumulator, read from the bytes of a part. Pure."""

from __future__ import annotations

import orjson

from asyncreport.core.records import Accumulator


def rows(facts: Accumulator) -> dict[str | None, list[dict[str, object]]]:
    """Return each user's rows in order, and check the count of each block."""
    found = {}
    for block in facts.blocks():
        found[block.user] = [orjson.loads(line) for line in block.lines.splitlines()]
        assert len(found[block.user]) == block.count
    return found
