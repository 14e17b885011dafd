"""The engine: every chunk is fetched once, failures are noted, and what cannot go on stops at once."""

from __future__ import annotations

import asyncio

import pytest

from asyncreport.engine import Progress, Work, run
from asyncreport.errors import AuthError, RejectedError, RetriesExhausted, StoreError
from asyncreport.job import Chunk, Part
from asyncreport.records import Block
from asyncreport.timeline import DAY, Interval
from tests import clock


def chunks(count: int) -> list[Chunk]:
    return [Chunk(connection="c", month="1970-01", interval=Interval(n * DAY, (n + 1) * DAY), users=None) for n in range(count)]


async def save(chunk: Chunk, blocks: list[Block]) -> Part:
    await asyncio.sleep(0.01)
    return Part(
        number=1,
        fingerprint="f",
        month=chunk.month,
        interval=chunk.interval,
        users=None,
        fetched_at=0,
        count=sum(len(rows) for _, rows in blocks),
        size=0,
        index_at=0,
        sha256="",
    )


class Server:
    """Answer each chunk after a second; some fail."""

    def __init__(self, errors: dict[int, Exception] | None = None) -> None:
        self.errors = errors or {}
        self.asked: list[int] = []
        self.under_way = self.most = 0

    async def fetch(self, chunk: Chunk) -> list[Block]:
        number = chunk.interval.start // DAY
        self.asked.append(number)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(1)
        finally:
            self.under_way -= 1
        if number in self.errors:
            raise self.errors[number]
        return [(None, [{}, {}])]


def test_each_chunk_is_fetched_once_by_whichever_worker_is_free() -> None:
    """40 chunks, two lanes of 4 workers, a second each: five seconds."""
    one, two, progress = Server(), Server(), Progress()

    async def main() -> float:
        await run([Work(chunks(40), [one.fetch, two.fetch], 4)], save, progress)
        return asyncio.get_running_loop().time()

    assert clock.run(main()) == pytest.approx(5, abs=0.1)
    assert sorted(one.asked + two.asked) == list(range(40))
    assert (one.most, two.most) == (4, 4)
    assert (progress.chunks, progress.finished, progress.records, progress.gaps) == (40, 40, 80, [])


def test_connections_do_not_wait_for_each_other() -> None:
    slow, quick, progress = Server(), Server(), Progress()

    async def main() -> float:
        await run([Work(chunks(4), [slow.fetch], 1), Work(chunks(4), [quick.fetch], 4)], save, progress)
        return asyncio.get_running_loop().time()

    assert clock.run(main()) == pytest.approx(4, abs=0.1)
    assert progress.finished == 8


def test_a_failed_chunk_does_not_stop_the_others() -> None:
    exhausted, rejected = RetriesExhausted("late"), RejectedError("odd")
    server, progress = Server({2: exhausted, 5: rejected}), Progress()
    clock.run(run([Work(chunks(8), [server.fetch], 2)], save, progress))
    assert progress.finished == 6
    assert [(gap.chunk.interval.start // DAY, gap.error) for gap in progress.gaps] == [(2, exhausted), (5, rejected)]


@pytest.mark.parametrize("error", [AuthError("who are you"), StoreError("full")])
def test_what_would_fail_every_chunk_stops_the_run_at_once(error: Exception) -> None:
    """The other workers are cancelled."""
    server, progress = Server({0: error}), Progress()

    async def main() -> None:
        with pytest.raises(type(error), match=str(error)):
            await run([Work(chunks(100), [server.fetch], 3)], save, progress)
        assert len(asyncio.all_tasks()) == 1

    clock.run(main())
    assert len(server.asked) <= 6
    assert server.under_way == 0


def test_cancelling_a_run_leaves_no_task_behind() -> None:
    server, progress = Server(), Progress()

    async def main() -> None:
        task = asyncio.create_task(run([Work(chunks(100), [server.fetch], 3)], save, progress))
        await asyncio.sleep(2.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(asyncio.all_tasks()) == 1

    clock.run(main())
    assert progress.finished == 6


def test_a_query_that_is_refused_wherever_it_is_asked_stops_the_run() -> None:
    """Each worker has asked once by then, and no more."""
    server, progress = Server(dict.fromkeys(range(100), RejectedError("no such metric"))), Progress()
    with pytest.raises(RejectedError, match="no such metric"):
        clock.run(run([Work(chunks(100), [server.fetch], 3)], save, progress))
    assert server.asked == [0, 1, 2]


def test_one_refused_chunk_among_the_first_is_a_gap_like_any_other() -> None:
    server, progress = Server({0: RejectedError("odd")}), Progress()
    clock.run(run([Work(chunks(10), [server.fetch], 3)], save, progress))
    assert (progress.finished, len(progress.gaps)) == (9, 1)


def test_a_refused_chunk_of_a_query_that_parts_stand_of_is_a_gap() -> None:
    server, progress = Server({0: RejectedError("odd")}), Progress(proven=True)
    clock.run(run([Work(chunks(1), [server.fetch], 1)], save, progress))
    assert [str(gap.error) for gap in progress.gaps] == ["odd"]


def test_the_only_chunk_refused_stops_the_run_though_others_could_not_be_had() -> None:
    server, progress = Server({0: RejectedError("odd"), 1: RetriesExhausted("late")}), Progress()
    with pytest.raises(RejectedError, match="odd"):
        clock.run(run([Work(chunks(2), [server.fetch], 2)], save, progress))
