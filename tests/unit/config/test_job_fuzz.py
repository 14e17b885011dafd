"""Any job file gives a job or a ConfigError: one line with the place and without secrets.

ASYNCREPORT_FUZZ=20: twenty times as many.
"""

from __future__ import annotations

import json
import os
import random
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from asyncreport.config import load_job
from asyncreport.core.errors import ConfigError
from tests.unit.config.good_job import ENVIRON, GOOD, NOW, SECRET, load

CASES = 1000 * int(os.environ.get("ASYNCREPORT_FUZZ", "1"))


def shares(some: int, every: int) -> list[Any]:
    """Split the numbers of cases: some run always, the others only with the marker `model`."""
    return [
        pytest.param(range(some), id="some"),
        pytest.param(range(some, every), id="the others", marks=pytest.mark.model),
    ]


FULL = (
    GOOD
    + """\
  per_team: exports/{team}.jsonl
  settle: P4D
contract: aggregates
split_by: [media_type, queue_id]
metrics: [tAnswered]
filter: {media_types: [voice], queues: [q1]}
limits: {concurrency: 4, max_attempts: 3, give_up_after: PT15M, request_timeout: PT1M}
"""
)
ODD = [
    *(
        "",
        "~",
        "null",
        "true",
        "-1",
        "0",
        "1e400",
        ".inf",
        ".nan",
        "0x1F",
        "99999999999999999999",
        "1_000",
        "[]",
        "{}",
        "[[]]",
        "{a: b}",
        "''",
    ),
    *(
        '"\\0"',
        '"\\uD800"',
        '"\\e[31m"',
        "\u202e",
        "\x85",
        "!!python/object/apply:os.system [id]",
        "&a [*a]",
        "*a",
        "<<: *a",
        "|",
        ">",
        "@",
        "%",
    ),
    *(
        "${SECRET}",
        "${BAD}",
        "${",
        "$${",
        "${NO_SUCH}",
        "../../x",
        "/dev/null",
        "x" * 3000,
        "P",
        "PT",
        "P999999999D",
        "PT0S",
        "-P1D",
        "P1Y",
    ),
    *(
        "2023-13-01",
        "0000-01-01",
        "9999-12-31",
        "2023-03-26T01:30",
        "today",
        "now",
        "none",
        "P1M",
        "PT15M",
        "Europe/London",
        "UTC",
    ),
    *(
        "entities",
        "query-jobs",
        "users: [ada]",
        "- ",
        "?",
        ": ",
        "#",
        "---",
        "...",
        "\t",
        "é",
        "{month}.jsonl",
        "{team}.jsonl",
        "~/x.jsonl",
    ),
]


def mutated(rng: random.Random) -> str:
    """Damage a good job file in one to three places.

    Lines are moved, doubled, dropped or indented; keys, values and characters are replaced.
    """
    text = FULL
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        lines = text.split("\n")
        at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
        key, colon, value = lines[at].partition(":")
        lines[at] = rng.choice(
            [
                f"{key}{colon} {rng.choice(ODD)}",
                f"{key}{colon} {rng.choice(ODD)}",
                f"{key}{colon} {json.dumps(rng.choice(ODD))}",
                f"{rng.choice(ODD)}{colon}{value}",
                f" {lines[at]}",
                lines[at][1:],
                f"{lines[at]}\n{lines[other]}",
                lines[other],
                "",
                lines[at][: len(lines[at]) // 2],
            ]
        )
        text = "\n".join(lines)
    at = rng.randrange(len(text))
    return (
        text
        if rng.random() < 0.9
        else text[:at]
        + rng.choice([*"{}[]:,&*!|>'\"%@`#\\\x00\x1b\u2028", "\r", "- "])
        + text[at + 1 :]
    )


@pytest.mark.parametrize("seeds", shares(100, CASES))
def test_any_damaged_job_file_gives_a_job_or_lines_with_their_places_and_no_secret(
    folder: Path, seeds: range
) -> None:
    load(folder, FULL)
    outcomes: Counter[str] = Counter()
    for seed in seeds:
        try:
            load(folder, mutated(random.Random(seed)))
            outcomes["job"] += 1
        except ConfigError as error:
            outcomes["error"] += 1
            assert str(error).startswith("job.yaml"), seed
            assert all(map(str.isprintable, error.texts)), seed
            assert len(str(error)) < 3000, seed
            assert SECRET not in "".join(traceback.format_exception(error)), seed
    assert min(outcomes.values()) > len(seeds) // 20
    assert len(outcomes) == 2


@pytest.mark.parametrize("seeds", shares(40, CASES // 5))
def test_any_damaged_override_gives_a_job_or_one_line_and_no_secret(
    folder: Path, seeds: range
) -> None:
    """As `--set` gives it: 200 cases."""
    (folder / "job.yaml").write_text(FULL)
    keys = [
        "name",
        "range.end",
        "range.chunk",
        "teams[0].name",
        "teams[9]",
        "output",
        "connections.default.client_secret",
        "limits.concurrency",
        "x.y",
        "",
    ]
    for seed in seeds:
        rng = random.Random(seed)
        option = rng.choice(["{}={}", "{}={}", "{}:{}", "{}", "={}", "{}.={}"]).format(
            rng.choice(keys), rng.choice(ODD)
        )
        try:
            load_job(Path("job.yaml"), environ=ENVIRON, overrides=[option], now=NOW)
        except ConfigError as error:
            assert all(map(str.isprintable, error.texts)), option
            assert SECRET not in "".join(traceback.format_exception(error)), option
