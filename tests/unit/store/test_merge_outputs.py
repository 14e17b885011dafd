"""The output's bytes depend on the records, not on how they were batched or chunked."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncreport.core.errors import StoreError
from asyncreport.core.job import Part, Team
from asyncreport.core.timeline import Interval
from asyncreport.store.merge_outputs import Merged, merge
from asyncreport.store.parts import Entry, PartReader
from asyncreport.store.remote import NOWHERE
from asyncreport.store.target import Source, Target
from tests.unit.store.facts import FORM, block, blocks, chunk, hours, part_file, row, written

#: texts that break code which builds JSON out of bytes
HOSTILE = [
    "",
    "\n{",
    '"',
    '"interval_start":"',
    '","interval_start":"9999',
    "\\",
    "a/../b",
    "\u202eabc",
    "\u2028",
    "\x00",
    "é\U0001f600",
    "{team}",
    "\r",
]
HOURS = 12


def _team(name: str, users: Sequence[str] | None, connection: str = "default") -> Team:
    return Team(
        name=name,
        connection=connection,
        everyone=users is None,
        users=tuple(users or ()),
    )


def _merge(
    folder: Path,
    parts: Sequence[Part],
    teams: Sequence[Team],
    *,
    names: Mapping[str, str | None] | None = None,
    interval: Interval | None = None,
    months: Sequence[str] = ("2023-01",),
) -> tuple[bytes, Merged]:
    target = Target(
        path=folder / "out" / "merged.jsonl",
        interval=interval or hours(0, 10_000),
        months=tuple(months),
        teams=tuple(teams),
        sources={"default": Source.of(parts, names or {})},
        form=FORM,
    )
    with PartReader(folder, NOWHERE) as reader:
        ((_, merged),) = merge([target], reader, Event())
    return target.path.read_bytes(), merged


def _keys(output: bytes) -> list[tuple[str, str | None, str]]:
    return [
        (line["team"], line["user_id"], line["interval_start"][:13])
        for line in map(json.loads, output.splitlines())
    ]


PartStats = dict[str | None, list[dict[str, object]]]

_texts = st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_users = st.lists(_texts.filter(bool), max_size=6, unique=True)


@st.composite
def _facts(draw: st.DrawFn) -> PartStats:
    """Draw rows of several users, in order of time and split value."""
    found: PartStats = {}
    for user in [None, *draw(_users)]:
        keys = draw(st.lists(st.tuples(st.integers(0, HOURS - 1), _texts), max_size=8, unique=True))
        found[user] = [
            row(hour, handled=n, queue_id=split) for n, (hour, split) in enumerate(sorted(keys))
        ]
    return found


def _slice(
    facts: PartStats, users: Sequence[str | None], interval: Interval
) -> list[tuple[str | None, list[dict[str, object]]]]:
    start, end = str(interval).split("/")
    cut = [
        (user, [one for one in facts.get(user, []) if start <= str(one["interval_start"]) < end])
        for user in users
    ]
    return [(user, rows) for user, rows in cut if rows]


def _by_user(user: str | None) -> tuple[bool, str]:
    return user is not None, user or ""


def _tiles(data: st.DataObject, first: int, end: int) -> list[Interval]:
    """Cut hours into chunks anywhere, in any order."""
    cuts = data.draw(st.sets(st.integers(first, end), max_size=4)) | {first, end}
    return data.draw(st.permutations([hours(*pair) for pair in pairwise(sorted(cuts))]))


def _stored(data: st.DataObject, facts: PartStats, listed_from: int, folder: Path) -> list[Part]:
    """Write parts of everyone up to an hour, then parts of batches, each cut elsewhere."""
    users = data.draw(st.permutations(sorted(user for user in facts if user is not None)))
    size = data.draw(st.integers(1, 4))
    batches = [tuple(sorted(users[at : at + size])) for at in range(0, len(users), size)]
    chunks = [chunk(tile, None) for tile in _tiles(data, 0, listed_from)]
    chunks += [chunk(tile, batch) for batch in batches for tile in _tiles(data, listed_from, HOURS)]
    return [
        written(
            folder,
            number,
            of,
            [
                block(*one)
                for one in _slice(facts, of.users or sorted(facts, key=_by_user), of.interval)
            ],
        )
        for number, of in enumerate(data.draw(st.permutations(chunks)), 1)
    ]


def _expected(
    facts: PartStats, teams: Sequence[Team], names: Mapping[str, str | None], range_: Interval
) -> bytes:
    """Build the output without bytes of parts: row by row with the JSON writer."""
    lines = []
    for team in teams:
        users = sorted(facts, key=_by_user) if team.everyone else sorted(set(team.users))
        for user, rows in _slice(facts, users, range_):
            head = {
                "team": team.name,
                "user_id": user,
                "user_name": None if user is None else names.get(user),
            }
            lines += [orjson.dumps({**head, **one}) + b"\n" for one in rows]
    text = b"".join(lines).decode()
    for separator in "\x85\u2028\u2029":
        text = text.replace(separator, f"\\u{ord(separator):04x}")
    return text.encode()


@settings(max_examples=150, deadline=None)
@given(data=st.data(), facts=_facts(), everyone=st.booleans())
def test_the_same_records_give_the_same_bytes_however_they_are_stored(
    data: st.DataObject, facts: PartStats, everyone: bool
) -> None:
    known = [user for user in facts if user is not None]
    first, end = sorted(
        data.draw(st.lists(st.integers(0, HOURS), min_size=2, max_size=2, unique=True))
    )
    listed = data.draw(st.lists(st.sampled_from([*known, "stranger"]), max_size=4))
    teams = [_team("listed\n{", listed), _team("all\u202e", None if everyone else known)]
    names = data.draw(st.dictionaries(st.sampled_from([*known, "stranger"]), st.none() | _texts))
    listed_from = HOURS if everyone else data.draw(st.integers(0, HOURS))
    with tempfile.TemporaryDirectory() as folder:
        parts = _stored(data, facts, listed_from, Path(folder))
        output, merged = _merge(Path(folder), parts, teams, names=names, interval=hours(first, end))
    assert output == _expected(facts, teams, names, hours(first, end))
    assert (merged.size, merged.sha256) == (len(output), hashlib.sha256(output).hexdigest())
    assert sum(merged.records.values()) == output.count(b"\n")


@pytest.mark.parametrize("text", HOSTILE[1:])
def test_hostile_values_come_through_as_valid_json(text: str, tmp_path: Path) -> None:
    rows = [block(text, [row(0, queue_id=text), row(1, queue_id=text)])]
    part = written(tmp_path, 1, chunk(hours(0, 2), [text]), rows)
    output, _ = _merge(
        tmp_path, [part], [_team(text, [text])], names={text: text}, interval=hours(1, 2)
    )
    (line,) = output.splitlines()
    assert json.loads(line) == {
        "team": text,
        "user_id": text,
        "user_name": text,
        **row(1, queue_id=text),
    }


def test_lines_are_sorted_by_month_then_team_then_user_then_time(tmp_path: Path) -> None:
    january, february = hours(0, 1), hours(800, 801)
    parts = [
        written(tmp_path, 1, chunk(february, ["a"], month="2023-02"), blocks(["a"], february)),
        written(tmp_path, 2, chunk(hours(1, 2), ["a", "b"]), blocks(["a", "b"], hours(1, 2))),
        written(tmp_path, 3, chunk(january, ["a", "b"]), blocks(["a", "b"], january)),
    ]
    output, merged = _merge(
        tmp_path,
        parts,
        [_team("z", ["b", "a", "a"]), _team("c", ["a"])],
        months=["2023-01", "2023-02"],
    )
    assert _keys(output) == [
        ("z", "a", "2023-01-01T00"),
        ("z", "a", "2023-01-01T01"),
        ("z", "b", "2023-01-01T00"),
        ("z", "b", "2023-01-01T01"),
        ("c", "a", "2023-01-01T00"),
        ("c", "a", "2023-01-01T01"),
        ("z", "a", "2023-02-03T08"),
        ("c", "a", "2023-02-03T08"),
    ]
    assert merged.records == {"z": 5, "c": 3}


@pytest.mark.parametrize(
    ("of_part", "of_team", "expected"),
    [
        (None, None, True),
        (None, ["a"], True),
        (["a"], None, True),
        (["a", "b"], ["b", "c"], True),
        (["a", "b"], ["c"], False),
        (["a"], [], False),
    ],
)
def test_a_target_has_data_if_a_part_may_hold_records_of_a_team(
    of_part: list[str] | None, of_team: list[str] | None, expected: bool, tmp_path: Path
) -> None:
    """An empty file must not take the place of a good one, nor a good one be left out."""
    part = written(tmp_path, 1, chunk(hours(0, 2), of_part), [])

    def has_data(interval: Interval, month: str = "2023-01") -> bool:
        return Target(
            path=tmp_path / "out.jsonl",
            interval=interval,
            months=(month,),
            teams=(_team("others", []), _team("t", of_team)),
            sources={"default": Source.of([part], {})},
            form=FORM,
        ).has_data

    assert has_data(hours(1, 5)) == expected
    assert not has_data(hours(2, 5))
    assert not has_data(hours(1, 5), month="2023-02")


def test_a_month_that_is_not_the_target_s_is_left_out(tmp_path: Path) -> None:
    part = written(tmp_path, 1, chunk(hours(0, 1), ["a"]), blocks(["a"], hours(0, 1)))
    output, merged = _merge(tmp_path, [part], [_team("t", ["a"])], months=["2023-02"])
    assert (output, merged.records) == (b"", {"t": 0})


def test_records_without_a_user_are_in_a_team_of_everyone_only_and_come_first(
    tmp_path: Path,
) -> None:
    part = written(tmp_path, 1, chunk(hours(0, 1), None), blocks([None, "a", "b"], hours(0, 1)))
    output, _ = _merge(tmp_path, [part], [_team("listed", ["b"]), _team("all", None)])
    assert [key[:2] for key in _keys(output)] == [
        ("listed", "b"),
        ("all", None),
        ("all", "a"),
        ("all", "b"),
    ]


def test_each_connection_has_its_own_parts_and_names(tmp_path: Path) -> None:
    here = hours(0, 1)
    sources = {
        name: Source.of(
            [written(tmp_path, number, chunk(here, ["a"]), blocks(["a"], here))], {"a": name}
        )
        for number, name in enumerate(["east", "west"], 1)
    }
    teams = (_team("w", ["a"], "west"), _team("e", ["a"], "east"))
    target = Target(
        path=tmp_path / "out.jsonl",
        interval=here,
        months=("2023-01",),
        teams=teams,
        sources=sources,
        form=FORM,
    )
    with PartReader(tmp_path, NOWHERE) as reader:
        list(merge([target], reader, Event()))
    lines = [json.loads(line) for line in target.path.read_bytes().splitlines()]
    assert [(line["team"], line["user_name"]) for line in lines] == [("w", "west"), ("e", "east")]


def test_a_part_outside_the_range_is_not_opened(tmp_path: Path) -> None:
    parts = [
        written(tmp_path, n + 1, chunk(hours(n, n + 1), ["a"]), blocks(["a"], hours(n, n + 1)))
        for n in range(3)
    ]
    part_file(tmp_path, 1).unlink()
    part_file(tmp_path, 3).unlink()
    output, _ = _merge(tmp_path, parts, [_team("t", ["a"])], interval=hours(1, 2))
    assert _keys(output) == [("t", "a", "2023-01-01T01")]


def test_an_edited_part_is_refused_and_the_old_output_stays(tmp_path: Path) -> None:
    part = written(tmp_path, 1, chunk(hours(0, 1), ["a"]), blocks(["a"], hours(0, 1)))
    output, _ = _merge(tmp_path, [part], [_team("t", ["a"])])
    path = part_file(tmp_path, 1)
    path.write_bytes(path.read_bytes().replace(b'"handled_count":1', b'"handled_count":2'))
    with pytest.raises(StoreError, match=r"part-00000001\.jsonl .*delete this file and run again"):
        _merge(tmp_path, [part], [_team("t", ["a"])])
    assert [(path.name, path.read_bytes()) for path in (tmp_path / "out").iterdir()] == [
        ("merged.jsonl", output)
    ]


def test_parts_that_hold_the_same_time_of_a_user_are_refused(tmp_path: Path) -> None:
    parts = [
        written(tmp_path, 1, chunk(hours(0, 2), ["a"]), blocks(["a"], hours(0, 2))),
        written(tmp_path, 2, chunk(hours(1, 3), None), blocks([None, "a"], hours(1, 3))),
    ]
    with pytest.raises(
        StoreError,
        match=r"part-00000001\.jsonl and part-00000002\.jsonl both hold user a at 2023-01-01T01",
    ):
        _merge(tmp_path, parts, [_team("t", ["a"])])


def test_an_output_has_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    _merge(tmp_path, [], [_team("t", [])])
    assert (tmp_path / "out" / "merged.jsonl").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_full_disk_is_reported_with_the_bytes_needed_and_the_bytes_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = written(tmp_path, 1, chunk(hours(0, 9), ["a", "b"]), blocks(["a", "b"], hours(0, 9)))
    whole, _ = _merge(tmp_path, [part], [_team("t", ["a", "b"])])
    write = os.write

    def full(descriptor: int, data: memoryview) -> int:
        write(descriptor, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=12_288))
    with pytest.raises(StoreError) as caught:
        _merge(tmp_path, [part], [_team("t", ["a", "b"])])
    assert (
        f"merged.jsonl could not be written: No space left on device; "
        f"about {len(whole):,} bytes are needed and 12,288 are free; "
        f"free some space on the disk of {tmp_path}/out and run again"
    ) in str(caught.value)


def test_one_walk_writes_all_files_with_one_of_them_open_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many teams have a file, each index is read once, and descriptors do not pile up."""
    users = [f"u{n:02}" for n in range(40)]
    parts = [
        written(
            tmp_path,
            number,
            chunk(hours(number, number + 1), None),
            [block(user, [row(number, handled=n)]) for n, user in enumerate(users)],
        )
        for number in range(3)
    ]
    source = {"default": Source.of(parts, {})}
    files = [
        Target(
            path=tmp_path / "out" / f"{user}.jsonl",
            interval=hours(0, 10_000),
            months=("2023-01",),
            teams=(_team(user, [user]),),
            sources=source,
            form=FORM,
        )
        for user in users
    ]
    whole = Target(
        path=tmp_path / "out" / "all.jsonl",
        interval=hours(0, 10_000),
        months=("2023-01",),
        teams=tuple(_team(user, [user]) for user in users),
        sources=source,
        form=FORM,
    )
    read: list[int] = []
    real_index = PartReader.checked_index

    def checked_index(reader: PartReader, part: Part) -> list[Entry]:
        read.append(part.number)
        return real_index(reader, part)

    monkeypatch.setattr(PartReader, "checked_index", checked_index)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with PartReader(tmp_path, NOWHERE) as reader:
        few = len(list(Path("/proc/self/fd").iterdir())) + 8
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
        try:
            merged = list(merge([whole, *files], reader, Event()))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert read == [0, 1, 2]
    assert [target for target, _ in merged] == [whole, *files]
    assert whole.path.read_bytes() == b"".join(file.path.read_bytes() for file in files)
    assert {each.records[user] for _, each in merged for user in each.records} == {3}


def test_a_file_of_a_month_is_complete_before_the_next_month_is_read(tmp_path: Path) -> None:
    """An error in February leaves January's file new, and the file of the whole range old."""
    first = written(tmp_path, 1, chunk(hours(1, 2), None), [block("a", [row(1, handled=1)])])
    later = msgspec.structs.replace(first, number=2, month="2023-02", interval=hours(2, 3))
    source = {"default": Source.of([first, later], {})}

    def target(name: str, *months: str) -> Target:
        return Target(
            path=tmp_path / "out" / name,
            interval=hours(0, 10_000),
            months=months,
            teams=(_team("t", ["a"]),),
            sources=source,
            form=FORM,
        )

    targets = [
        target("whole.jsonl", "2023-01", "2023-02"),
        target("2023-01.jsonl", "2023-01"),
        target("2023-02.jsonl", "2023-02"),
    ]
    with PartReader(tmp_path, NOWHERE) as reader:
        done = merge(targets, reader, Event())
        assert next(done)[0] == targets[1]
        with pytest.raises(StoreError, match="has disappeared"):
            next(done)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["2023-01.jsonl"]
