"""Lines of JSON stay single lines, whatever rule a reader splits them by."""

import json

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreport.core.json_lines import escape_separators

#: all that `str.splitlines` splits at
SEPARATORS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"

#: texts of separators, of characters whose bytes look like theirs, and of what JSON escapes
texts = st.text(st.sampled_from(SEPARATORS + '"\\ab\u2027\u202a\x84\x86\u00e2\u0080\U0001f600'))


@pytest.mark.parametrize("separator", SEPARATORS)
def test_no_separator_splits_a_record(separator: str) -> None:
    line = escape_separators(orjson.dumps({"user_name": f"Ann{separator}Lee"}))
    assert len(line.decode().splitlines()) == 1
    assert json.loads(line) == {"user_name": f"Ann{separator}Lee"}


def test_a_separator_becomes_its_escape() -> None:
    assert escape_separators(orjson.dumps("Ann\u2028Lee\u2029\x85é")) == (
        r'"Ann\u2028Lee\u2029\u0085é"'.encode()
    )


@given(st.dictionaries(texts, texts))
def test_a_reader_gets_the_same_texts(texts_by_key: dict[str, str]) -> None:
    """Also after backslashes and next to other characters of two to four bytes."""
    for encode in (orjson.dumps, msgspec.json.encode):
        line = escape_separators(encode(texts_by_key))
        assert json.loads(line) == texts_by_key
        assert len(line.decode().splitlines()) == 1
