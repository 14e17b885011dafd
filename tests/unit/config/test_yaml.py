"""The YAML reader: strict, bounded, and ConfigError is its only error."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncreport.config.yaml import ALIASED, Node, Value, read
from asyncreport.core.errors import ConfigError


def plain(node: Node) -> object:
    """Drop the lines."""
    if isinstance(node.value, dict):
        return {key: plain(member) for key, member in node.value.items()}
    return [plain(item) for item in node.value] if isinstance(node.value, list) else node.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(
            ("null", None),
            ("~", None),
            ("''", ""),
            ("true", True),
            ("False", False),
            ("TRUE", True),
        ),
        *(
            ("0", 0),
            ("-12", -12),
            ("+3", 3),
            ("1.5", 1.5),
            (".5", 0.5),
            ("1e3", 1000.0),
            ("'1'", "1"),
            ('"true"', "true"),
        ),
        *(
            (text, text)
            for text in (
                "yes",
                "no",
                "on",
                "off",
                "y",
                "010",
                "0o17",
                "0x1F",
                "1_000",
                "12:30",
                "1:2:3",
                ".inf",
                ".nan",
            )
        ),
        *(
            (text, text)
            for text in (
                "2023-01-01",
                "2023-01-01 09:30",
                "2023-01-01T09:30:00Z",
                "1" * 40,
                "=",
                "1.2.3",
                "٣",
            )
        ),
    ],
)
def test_a_scalar_has_its_value_of_the_core_schema_and_dates_stay_text(
    text: str, value: object
) -> None:
    node = read(f"key: {text}\n", "f")
    assert plain(node) == {"key": value}
    assert type(plain(node)["key"]) is type(value)  # type: ignore[index]


def test_block_texts_and_comments_are_read() -> None:
    assert plain(read("a: |\n  1\n  2\nb: >-\n  x\n  y  # kept\n# gone\n", "f")) == {
        "a": "1\n2\n",
        "b": "x y  # kept",
    }


def test_a_value_has_the_line_of_its_key_and_an_item_its_own() -> None:
    node = read("a: &x\n  - 1\n  - 2\nb:\n\n  *x\n", "f")
    assert isinstance(node.value, dict)
    a, b = node.value["a"], node.value["b"]
    assert (a.where, b.where) == ("f:1", "f:4")
    assert isinstance(a.value, list)
    assert [item.where for item in a.value] == ["f:2", "f:3"]
    assert a.value is b.value


def test_an_alias_may_be_repeated_and_its_anchor_redefined() -> None:
    assert plain(read("[&a 1, *a, &a 2, *a]", "f")) == [1, 1, 2, 2]


def test_an_alias_bomb_is_refused_before_it_is_expanded() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(
        ConfigError, match=r"^f:5: aliases may not expand to more than 10,000 values"
    ):
        read("\n".join(lines), "f")


def test_aliases_up_to_the_limit_are_allowed() -> None:
    many = f"[&a [{'x,' * 99}], {'*a,' * (ALIASED // 100)}]"
    assert len(plain(read(many, "f"))) == 1 + ALIASED // 100  # type: ignore[arg-type]


def test_aliases_cannot_nest_deeper_than_lines() -> None:
    text = "".join(f"a{n}: &a{n} {{b: {f'*a{n - 1}' if n else 1}}}\n" for n in range(40))
    with pytest.raises(
        ConfigError, match=r"^f:20: more than 20 levels of nesting are not allowed$"
    ):
        read(text, "f")


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "- " * 100_000, "{a: " * 100_000, "? " * 100_000, "a: &a [*a, *a]", "a: *a"],
)
def test_deep_or_recursive_values_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        read(text, "f")


def test_without_numbers_the_label_has_no_line() -> None:
    with pytest.raises(ConfigError, match=r"^--set a: is not valid YAML: "):
        read("[", "--set a", numbered=False)


PIECES = st.sampled_from(
    [
        *(
            "a",
            "b: ",
            "- ",
            "[",
            "]",
            "{",
            "}",
            ",",
            ":",
            "? ",
            "&a ",
            "*a ",
            "!",
            "!!str ",
            "!<x> ",
            "!a!b ",
            "|",
            ">-\n",
            "'",
            '"',
            "#",
        ),
        *(
            "\\x4",
            "\\uD800",
            '"\\UFFFFFFFF"',
            "%YAML 1.1\n",
            "%YAML 1.3\n",
            "%TAG ! x\n",
            "---\n",
            "...\n",
            "\n",
            "\n  ",
            "\t",
            "\r\n",
        ),
        *(
            "\x85",
            "\u2028",
            "\ufeff",
            "\x00",
            "\ud800",
            "@",
            "<<: *a\n",
            "~",
            "1",
            "1.5",
            "é",
            "0x",
            "\\\n",
        ),
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.text(max_size=60) | st.lists(PIECES, max_size=20).map("".join))
def test_any_text_gives_a_value_or_a_config_error(text: str) -> None:
    try:
        value: Value = read(text, "f").value
    except ConfigError as error:
        value = str(error)
        if not re.fullmatch("f:.*", value):
            raise
    assert value is None or isinstance(value, bool | int | float | str | list | dict)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.text(st.characters(codec="ascii", categories=["L", "N", "P"]))
)


@settings(deadline=None)
@given(
    st.recursive(
        SCALARS,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text("abc"), inner, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_json_is_read_as_json(value: object) -> None:
    assert plain(read(json.dumps(value), "f")) == value
