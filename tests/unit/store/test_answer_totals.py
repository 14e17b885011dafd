"""What answers held is kept by query; a file that cannot be used costs only requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncreport.core.answer_sizes import Totals
from asyncreport.store.answer_totals import read_totals, write_totals

TOTALS = Totals(cells=10, records=4, received=2_000, most=40_000)


def test_each_query_has_its_own_figures(tmp_path: Path) -> None:
    other = Totals(cells=7, records=1, received=9, most=20_000)
    write_totals(tmp_path, "a", TOTALS)
    write_totals(tmp_path, "b", other)
    assert read_totals(tmp_path, "a") == TOTALS
    assert read_totals(tmp_path, "b") == other
    assert read_totals(tmp_path, "c") == Totals()


def test_only_the_last_queries_are_kept(tmp_path: Path) -> None:
    for number in range(30):
        write_totals(tmp_path, f"q{number}", TOTALS)
        write_totals(tmp_path, "often", TOTALS)
    assert read_totals(tmp_path, "often") == read_totals(tmp_path, "q29") == TOTALS
    assert read_totals(tmp_path, "q0") == Totals()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"a": 3}',
        '{"a": {"cells": -1, "records": 4, "received": 5, "most": 20000}}',
        '{"a": {"cells": 1, "records": 4, "received": 5, "most": 1}}',
        '{"a": {"cells": 1, "records": 4, "received": 5, "most": 1000000000}}',
    ],
)
def test_a_file_that_cannot_be_used_is_as_none_and_is_written_again(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "answers.json").write_text(text)
    assert read_totals(tmp_path, "a") == Totals()
    write_totals(tmp_path, "a", TOTALS)
    assert read_totals(tmp_path, "a") == TOTALS
