"""A file that is begun early has the bytes of one that is written at the end."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncreport.core.errors import Interrupted, StoreError
from asyncreport.core.job import Part, Team
from asyncreport.store.drafts import Drafts
from asyncreport.store.merge_outputs import Merged, merge
from asyncreport.store.parts import PartReader
from asyncreport.store.remote import NOWHERE
from asyncreport.store.target import Source, Target
from tests.unit.store.facts import FORM, block, chunk, hours, part_file, row, written

MONTHS = ("2023-01", "2023-02", "2023-03")
#: hours of a "month": the store believes the label
LENGTH = 4
USERS = ("a", "b", "c")
NAMES: dict[str, str | None] = {"a": "Ann", "b": "Bob", "c": None}


def part_of(folder: Path, number: int, month: int, hour: int, handled: int = 1) -> Part:
    """Write a part of one hour of a month, with a row of each user."""
    at = LENGTH * month + hour
    rows = [block(user, [row(at, handled=handled, queue_id="q")]) for user in USERS]
    return written(folder, number, chunk(hours(at, at + 1), None, month=MONTHS[month]), rows)


def parts_of(folder: Path) -> list[Part]:
    """Write two parts for each month."""
    return [part_of(folder, 2 * month + n, month, n) for month in range(3) for n in range(2)]


def target_of(
    folder: Path,
    parts: Sequence[Part],
    names: Mapping[str, str | None] = NAMES,
    queues: Mapping[str, str | None] | None = None,
    name: str = "out.jsonl",
) -> Target:
    return Target(
        path=folder / "out" / name,
        interval=hours(0, 3 * LENGTH),
        months=MONTHS,
        teams=(Team(name="t", connection="default", everyone=False, users=("a", "c")),),
        sources={"default": Source.of(parts, names, queues)},
        form=FORM,
    )


def merged(
    target: Target, reader: PartReader, drafts: Drafts | None = None
) -> tuple[bytes, Merged]:
    """Merge one target, and read it."""
    begin = partial((drafts or Drafts()).take, check=lambda _: None)
    ((_, found),) = merge([target], reader, Event(), begin)
    return target.path.read_bytes(), found


#: what may happen between a draft and the merge: parts and names of the merge
Change = Callable[[Path, list[Part]], Target]


def nothing(folder: Path, parts: list[Part]) -> Target:
    return target_of(folder, parts)


def another_name(folder: Path, parts: list[Part]) -> Target:
    return target_of(folder, parts, {**NAMES, "a": "Anna"})


def name_of_somebody_else(folder: Path, parts: list[Part]) -> Target:
    return target_of(folder, parts, {**NAMES, "z": "Zoe"})


def part_fetched_again(folder: Path, parts: list[Part]) -> Target:
    return target_of(folder, [part_of(folder, 20, 0, 1, handled=7), *parts[:1], *parts[2:]])


def part_lost(folder: Path, parts: list[Part]) -> Target:
    return target_of(folder, parts[1:])


def part_added(folder: Path, parts: list[Part]) -> Target:
    return target_of(folder, [*parts, part_of(folder, 21, 0, 3)])


def another_team(folder: Path, parts: list[Part]) -> Target:
    team = Team(name="t", connection="default", everyone=True, users=())
    return replace(target_of(folder, parts), teams=(team,))


def another_range(folder: Path, parts: list[Part]) -> Target:
    return replace(target_of(folder, parts), interval=hours(1, 3 * LENGTH))


HARMLESS = (nothing, name_of_somebody_else)
CHANGES = (another_name, part_fetched_again, part_lost, part_added, another_team, another_range)


@settings(max_examples=60, deadline=None)
@given(
    drafted=st.integers(0, 3),
    change=st.sampled_from(HARMLESS + CHANGES),
    known=st.lists(st.integers(0, 2), min_size=3, max_size=3),
)
def test_a_draft_gives_the_bytes_of_a_merge_whatever_changes(
    drafted: int, change: Change, known: list[int]
) -> None:
    """`known`: how many later months had parts when each month was drafted."""
    with tempfile.TemporaryDirectory() as name, Drafts() as drafts:
        folder = Path(name)
        parts = parts_of(folder)
        with PartReader(folder, NOWHERE) as reader:
            for month in range(drafted):
                so_far = target_of(folder, parts[: 2 * (month + 1 + known[month])])
                drafts.add_month([so_far], MONTHS[month], reader, Event())
        final = change(folder, parts)
        with PartReader(folder, NOWHERE) as reader:
            with_draft = merged(final, reader, drafts)
            final.path.unlink()
            assert with_draft == merged(final, reader)
        assert [path.name for path in final.path.parent.iterdir()] == ["out.jsonl"]


@pytest.mark.parametrize("change", HARMLESS)
def test_what_is_drafted_is_not_read_again(tmp_path: Path, change: Change) -> None:
    """Its parts may even be gone: their rows are in the draft."""
    parts = parts_of(tmp_path)
    final = change(tmp_path, parts)
    with PartReader(tmp_path, NOWHERE) as reader:
        whole, _ = merged(target_of(tmp_path, parts, name="whole.jsonl"), reader)
    with PartReader(tmp_path, NOWHERE) as reader, Drafts() as drafts:
        drafts.add_month([target_of(tmp_path, parts[:3])], MONTHS[0], reader, Event())
        drafts.add_month([target_of(tmp_path, parts[:5])], MONTHS[1], reader, Event())
        for number in range(4):
            part_file(tmp_path, number).unlink()
        with PartReader(tmp_path, NOWHERE) as later:
            assert merged(final, later, drafts)[0] == whole


def test_the_name_of_a_queue_counts_too(tmp_path: Path) -> None:
    parts = parts_of(tmp_path)
    with PartReader(tmp_path, NOWHERE) as reader, Drafts() as drafts:
        early = target_of(tmp_path, parts, queues={"q": "Sales"})
        drafts.add_month([early], MONTHS[0], reader, Event())
        final = target_of(tmp_path, parts, queues={"q": "Support"})
        content, _ = merged(final, reader, drafts)
    assert content.count(b'"queue_name":"Support"') == content.count(b"\n") > 0


def test_months_come_one_after_the_other(tmp_path: Path) -> None:
    parts = parts_of(tmp_path)
    found = target_of(tmp_path, parts)
    with PartReader(tmp_path, NOWHERE) as reader, Drafts() as drafts:
        assert [drafts.may_add(found, month) for month in MONTHS] == [True, False, False]
        drafts.add_month([found], MONTHS[0], reader, Event())
        assert [drafts.may_add(found, month) for month in MONTHS] == [False, True, False]


@pytest.mark.parametrize("reason", ["stopped", "damaged"])
def test_a_month_that_cannot_be_written_leaves_no_draft(tmp_path: Path, reason: str) -> None:
    parts = parts_of(tmp_path)
    found, stopped = target_of(tmp_path, parts), Event()
    with PartReader(tmp_path, NOWHERE) as reader, Drafts() as drafts:
        drafts.add_month([found], MONTHS[0], reader, stopped)
        assert found.path in drafts
        if reason == "stopped":
            stopped.set()
        else:
            part_file(tmp_path, 2).write_bytes(b"")
        with pytest.raises((Interrupted, StoreError)):
            drafts.add_month([found], MONTHS[1], reader, stopped)
        assert found.path not in drafts
        assert list(found.path.parent.iterdir()) == []


def test_drafts_that_nobody_takes_are_removed(tmp_path: Path) -> None:
    found = target_of(tmp_path, parts_of(tmp_path))
    with PartReader(tmp_path, NOWHERE) as reader, Drafts() as drafts:
        drafts.add_month([found], MONTHS[0], reader, Event())
        assert len(list(found.path.parent.iterdir())) == 1
    assert list(found.path.parent.iterdir()) == []
