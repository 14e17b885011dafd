"""Names are looked up 16 requests at a time; what came is kept, whatever happens to the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from asyncreport.core.errors import AuthError, RejectedError, RetriesExhausted, StoreError
from asyncreport.export.name_batches import AT_ONCE, Found, NameBatches
from tests.clock import run

IDS = [f"id-{n:05}" for n in range(2_450)]


class Directory:
    """A directory that answers after a second; `errors` by the number of the request, from 0."""

    def __init__(self, errors: dict[int, Exception] | None = None) -> None:
        self.errors = errors or {}
        self.asked: list[Sequence[str]] = []
        self.at_once = 0
        self.most_at_once = 0
        self.kept: list[Found] = []

    async def look_up(self, ids: Sequence[str]) -> Found:
        number = len(self.asked)
        self.asked.append(ids)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(1)
        finally:
            self.at_once -= 1
        if number in self.errors:
            raise self.errors[number]
        return {each: each.title() for each in ids}

    def keep(self, names: Found) -> None:
        self.kept.append(names)

    @property
    def names(self) -> Found:
        return {each: name for names in self.kept for each, name in names.items()}


def look_up(directory: Directory, ids: Sequence[str] = IDS) -> NameBatches:
    found = NameBatches(ids, directory.look_up, directory.keep)
    run(found.run())
    return found


def test_the_first_batch_goes_alone_and_then_16_at_once() -> None:
    directory = Directory()
    found = look_up(directory)
    assert [len(ids) for ids in directory.asked] == [100] * 24 + [50]
    assert directory.most_at_once == AT_ONCE == 16
    assert directory.names == {each: each.title() for each in IDS}
    assert (found.missing, found.error) == (0, None)


@pytest.mark.parametrize("number", [0, 1, 24])
def test_a_refused_batch_costs_only_its_own_names(number: int) -> None:
    refused = RejectedError("GET /api/v2/users: 400")
    directory = Directory({number: refused})
    found = look_up(directory)
    lost = set(directory.asked[number])
    assert len(directory.asked) == 25
    assert directory.names.keys() == set(IDS) - lost
    assert (found.missing, found.error) == (len(lost), refused)


@pytest.mark.parametrize("error", [AuthError("403"), RetriesExhausted("503")])
def test_after_a_failure_that_all_batches_meet_no_other_one_is_sent(error: Exception) -> None:
    directory = Directory({0: error})
    found = look_up(directory)
    assert len(directory.asked) == 1
    assert (found.missing, found.error) == (len(IDS), error)
    directory = Directory({3: error})
    found = look_up(directory)
    # Those that were under way are still kept.
    assert len(directory.asked) == 1 + AT_ONCE + 1
    assert len(directory.names) == len(IDS) - found.missing > 100


def test_what_came_before_a_stop_is_kept() -> None:
    directory = Directory()

    async def stop() -> None:
        task = asyncio.create_task(NameBatches(IDS, directory.look_up, directory.keep).run())
        await asyncio.sleep(1.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(stop())
    assert len(directory.names) == 100


def test_names_are_written_as_they_come_and_not_too_often() -> None:
    """A killed run keeps nearly all; 1,000 batches do not write the whole file 1,000 times."""
    directory = Directory()
    look_up(directory, [f"id-{n:06}" for n in range(100_000)])
    sizes = [len(names) for names in directory.kept]
    assert sizes[:17] == [100] * 17
    assert sum(sizes) == 100_000
    assert len(sizes) < 120


def test_a_full_disk_ends_the_look_up() -> None:
    directory = Directory()

    def keep(_: Found) -> None:
        if len(directory.asked) > 1:
            raise StoreError("no space left")

    with pytest.raises(StoreError, match="no space left"):
        run(NameBatches(IDS, directory.look_up, keep).run())
    assert len(directory.asked) <= 1 + 2 * AT_ONCE


def test_no_ids_need_no_request() -> None:
    directory = Directory()
    assert look_up(directory, []).error is None
    assert (directory.asked, directory.kept) == ([], [])
