"""Whatever characters ids, names and values have, the output has exactly these, in order.

It is compared with a merge of plain values, which are sorted and then written by another writer.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from asyncreport.core.job import Team
from asyncreport.core.timeline import HOUR, iso
from asyncreport.store.merge_outputs import merge
from asyncreport.store.parts import PartReader
from asyncreport.store.remote import NOWHERE
from asyncreport.store.target import Source, Target
from tests.unit.store.facts import FORM, START, block, chunk, hours, row, written

HOSTILE = [
    *(
        "\n",
        "\r",
        "\r\n",
        "\x00",
        "\x0b",
        "\x1c",
        "\x85",
        "\u2028",
        "\u2029",
        "\u202e",
        "\u200f",
        "\ufeff",
        "\x7f",
        "\x1b[31m",
    ),
    *(
        '"',
        "\\",
        '\\"',
        '\\\\"',
        "\\u0041",
        "\n{",
        "}\n{",
        '{"',
        "}",
        "],",
        "null",
        "\\n{",
        "/",
        "..",
        "../..",
        "a/b",
        "a\\b",
        "%2e",
        "\x00/x",
    ),
    *(
        ',"interval_start":"',
        '"interval_start":"2023-01-01T00:00:00.000Z"',
        '"queue_id":"x"',
        '","queue_id":"x',
        '"queue_id":null,"a":"',
    ),
    *(
        '"queue_name":"x"',
        '"queue_id":"\\"',
        "\U0001f600",
        "é",
        "e\u0301",
        "İ",
        "ß",
        "𝟘",
        "x" * 70_000,
        '"\n' * 3_000,
    ),
]
texts = st.sampled_from(HOSTILE) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5
)
values = st.none() | texts
HOURS = 6

#: user, hour, queue, wrap-up code
Key = tuple[str | None, int, str | None, str | None]
Names = Mapping[str, str | None]


def _reference(
    keys: Sequence[Key], teams: Sequence[Team], names: Names, queues: Names, first: int, end: int
) -> list[dict[str, Any]]:
    found = []
    for team in teams:
        of_team = [key for key in keys if team.everyone or key[0] in team.users]
        for user, hour, queue, code in sorted(
            of_team, key=lambda key: [(value is not None, value or 0) for value in key]
        ):
            if first <= hour < end:
                head = {
                    "team": team.name,
                    "user_id": user,
                    "user_name": None if user is None else names.get(user),
                }
                split = {
                    "queue_id": queue,
                    "queue_name": None if queue is None else queues.get(queue),
                    "wrap_up_code": code,
                }
                times = {
                    "interval_start": iso(START + hour * HOUR),
                    "interval_end": iso(START + (hour + 1) * HOUR),
                    "handled_count": 1,
                }
                found.append({**head, **split, **times})
    return found


def _merged(
    folder: Path,
    keys: Sequence[Key],
    teams: Sequence[Team],
    names: Names,
    queues: Names,
    first: int,
    end: int,
    cut: int,
) -> bytes:
    """Write two parts, before an hour and from it on, and merge what is in the range."""
    parts = []
    for number, (start, stop) in enumerate(((0, cut), (cut, HOURS)), 1):
        if start < stop:
            users = sorted(
                {user for user, *_ in keys}, key=lambda user: (user is not None, user or "")
            )
            blocks: list[Any] = []
            for user in users:
                mine = [key[1:] for key in keys if key[0] == user and start <= key[1] < stop]
                mine.sort(key=lambda key: [(value is not None, value or 0) for value in key])
                if mine:
                    blocks.append(
                        block(
                            user,
                            [
                                row(hour, queue_id=queue, wrap_up_code=code)
                                for hour, queue, code in mine
                            ],
                        )
                    )
            parts.append(written(folder, number, chunk(hours(start, stop), None), blocks))
    target = Target(
        path=folder / "out" / "merged.jsonl",
        interval=hours(first, end),
        months=("2023-01",),
        teams=tuple(teams),
        sources={"c": Source.of(parts, names, queues)},
        form=FORM,
    )
    with PartReader(folder, NOWHERE) as reader:
        list(merge([target], reader, Event()))
    return target.path.read_bytes()


@settings(max_examples=250, deadline=None)
@given(
    keys=st.lists(
        st.tuples(values, st.integers(0, HOURS - 1), values, values), max_size=12, unique=True
    ),
    names=st.dictionaries(texts, values, max_size=4),
    queues=st.dictionaries(texts, values, max_size=4),
    listed=texts,
    span=st.lists(st.integers(0, HOURS), min_size=2, max_size=2, unique=True).map(sorted),
    cut=st.integers(0, HOURS),
)
@example(
    keys=[(text, 0, text, text) for text in HOSTILE],
    names={t: t for t in HOSTILE},
    queues={t: t for t in HOSTILE},
    listed="\n{",
    span=[0, 1],
    cut=1,
)
def test_the_output_is_that_of_a_plain_merge_of_the_same_values(
    keys: list[Key], names: Names, queues: Names, listed: str, span: list[int], cut: int
) -> None:
    users = tuple(sorted({user for user, *_ in keys if user is not None}))[:3]
    teams = [
        Team(name=listed, connection="c", users=users),
        Team(name=f"all {listed}", connection="c", everyone=True),
    ]
    with tempfile.TemporaryDirectory() as folder:
        output = _merged(Path(folder), keys, teams, names, queues, *span, cut)
    lines = output.split(b"\n")
    assert lines.pop() == b""
    # Also for readers that know the line separators of Unicode.
    assert len(output.decode().splitlines()) == len(lines)
    found = [json.loads(line) for line in lines]
    expected = _reference(keys, teams, names, queues, *span)
    assert found == expected
    assert [list(one) for one in found] == [list(one) for one in expected]
    assert all(line.startswith(b'{"team":') and line.endswith(b"}") for line in lines)
