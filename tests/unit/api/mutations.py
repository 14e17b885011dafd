"""Damage responses: one JSON body in, a damaged one out. Pure; the random source is an argument."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any, NamedTuple


class Raw(NamedTuple):
    """Text that is written as it is, valid JSON or not."""

    text: str


class Members(list[list[Any]]):
    """An object as a list of [key, value], so that a key may be there twice."""


#: what no decoder expects where it stands
ODD: list[Any] = [
    *(
        None,
        True,
        False,
        "",
        0,
        -1,
        1,
        0.5,
        -0.0,
        2**53 + 1,
        2**63,
        -(2**64),
        1e308,
        -1e308,
        "5",
        "-5",
        "1e9",
        [],
        Members(),
    ),
    *map(
        Raw,
        (
            "NaN",
            "Infinity",
            "-Infinity",
            "1e400",
            "-1e400",
            "1e-400",
            "9" * 30,
            "9" * 400,
            "9" * 5000,
            "01",
            "+1",
            "0x10",
            "undefined",
            "",
        ),
    ),
    *map(
        Raw,
        (
            '"\\ud800"',
            '"\\udc00x"',
            '"\\u0000"',
            "'x'",
            '"\\x"',
            '"a\nb"',
            "[" * 3000,
            "[" * 2000 + "]" * 2000,
            '{"a":' * 2000,
        ),
    ),
    *(
        "\x00",
        "\x1b[31m",
        "\u2028",
        "\u202e",
        "\ud7ff",
        '"',
        "\\",
        "\n{",
        "../../x",
        "%00",
        "x" * 10_000,
        "NaN",
        "null",
    ),
    *(
        "2024-01-15T00:00:00.000Z/2024-01-15T00:07:00.000Z",
        "1970-01-01T00:00:00.000Z/1970-01-01T01:00:00.000Z",
        "/",
        "x/y",
        "a/b/c",
    ),
    *(
        "9999-12-31T23:59:59.999Z/10000-01-01T00:00:00.000Z",
        "0000-00-00T00:00:00Z",
        "2024-01-15T24:00:00Z/2024-01-15T25:61:61Z",
    ),
    *(
        "2024-01-15T00:00:00.000+99:99/2024-01-15T01:00:00.000-99:99",
        "-271821-04-20T00:00:00.000Z/P1D",
        "PT1H/2024-01-15T00:00:00Z",
    ),
    *(
        "FULFILLED",
        "FAILED",
        "EXPIRED",
        "PENDING",
        "INTERACTING",
        "?cursor=x",
        "https://elsewhere.example/?pageNumber=1&pageNumber=2",
    ),
]


def mutated(body: bytes, rng: random.Random) -> bytes:
    """Damage a body: one to three of its values and keys, or sometimes its bytes."""
    if rng.random() < 0.1:
        return _bytes(body, rng)
    root = [
        json.loads(body, object_pairs_hook=lambda pairs: Members([list(pair) for pair in pairs]))
    ]
    for _ in range(rng.randrange(1, 4)):
        _spoil(root, rng)
    return rendered(root[0]).encode("utf-8", "surrogatepass")


def _spoil(root: list[Any], rng: random.Random) -> None:
    places = list(_places(root))
    holder, key = rng.choice(places)
    _, other = rng.choice(places)
    inner = holder[key]
    if isinstance(holder, Members):  # a member: its value, its key, or the whole of it
        choices: list[Callable[[], object]] = [
            lambda: inner.__setitem__(1, rng.choice(ODD)),
            lambda: inner.__setitem__(1, rng.choice(ODD)),
            lambda: inner.__setitem__(
                0, rng.choice([inner[0].upper(), "", "\u202e", "id", "interval"])
            ),
            lambda: holder.pop(key),
            lambda: holder.append([inner[0], rng.choice(ODD)]),
            lambda: inner.__setitem__(1, [inner[1]]),
            lambda: inner.__setitem__(1, str(inner[1])),
            lambda: rng.shuffle(holder),
        ]
    else:
        choices = [
            lambda: holder.__setitem__(key, rng.choice(ODD)),
            lambda: holder.append(inner),
            lambda: holder.__setitem__(key, holder[min(other, len(holder) - 1)]),
            lambda: holder.pop(key) if holder is not root else None,
            lambda: rng.shuffle(holder),
        ]
    rng.choice(choices)()


def _places(holder: list[Any]) -> Any:
    """Yield every place of a tree: a list and an index."""
    for key, inner in enumerate(holder):
        yield holder, key
        value = inner[1] if isinstance(holder, Members) else inner
        if isinstance(value, list):
            yield from _places(value)


def _bytes(body: bytes, rng: random.Random) -> bytes:
    at, end = sorted(rng.randrange(len(body) + 1) for _ in range(2))
    return rng.choice(
        [
            body[:at],
            body[at:],
            body[:at] + body[end:],
            body[:end] + body[at:],
            body[:at] + rng.randbytes(4) + body[at:],
            body + body,
            b"\xef\xbb\xbf" + body,
            b" " * 1000 + body + b"\n\n",
            b"",
        ]
    )


def rendered(value: Any) -> str:
    """Write a tree as JSON; the result may be invalid."""
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, Members):
        return "{" + ",".join(f"{json.dumps(key)}:{rendered(inner)}" for key, inner in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(rendered, value)) + "]"
    return json.dumps(value)
