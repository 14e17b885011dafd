"""The order of user ids and split values."""

from __future__ import annotations

from asyncreport.core.columns import null_first


def test_null_comes_before_all_text() -> None:
    assert sorted(["b", "", None, "a"], key=null_first) == [None, "", "a", "b"]
