"""The scheduler: each chunk is fetched once, failures become gaps, fatal errors stop the run."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque

import pytest
from msgspec.structs import replace

from asyncreport.core.errors import AuthError, Reason, RejectedError, RetriesExhausted, StoreError
from asyncreport.core.job import Chunk, Part
from asyncreport.core.records import Block
from asyncreport.core.splitting import SplitChunk
from asyncreport.core.timeline import DAY, Interval
from asyncreport.engine.activity import Progress
from asyncreport.engine.scheduler import Work, run
from tests import clock
from tests.unit.engine.parts import part_of


def chunks(count: int) -> list[Chunk]:
    return [
        Chunk(
            connection="c", month="1970-01", interval=Interval(n * DAY, (n + 1) * DAY), users=None
        )
        for n in range(count)
    ]


async def save(chunk: Chunk, blocks: list[Block]) -> Part:
    await asyncio.sleep(0.01)
    return part_of(chunk, count=sum(block.count for block in blocks))


class Server:
    """Answer each chunk after a second; some fail."""

    def __init__(self, errors: dict[int, Exception] | None = None) -> None:
        self.errors = errors or {}
        self.asked: list[int] = []
        self.active = self.most = 0

    async def fetch(self, chunk: Chunk) -> list[Block]:
        number = chunk.interval.start // DAY
        self.asked.append(number)
        self.active += 1
        self.most = max(self.most, self.active)
        try:
            await asyncio.sleep(1)
        finally:
            self.active -= 1
        if number in self.errors:
            raise self.errors[number]
        return [Block(None, b"{}\n{}\n", 2)]


def test_each_chunk_is_fetched_once_by_a_free_worker() -> None:
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
        await run(
            [Work(chunks(4), [slow.fetch], 1), Work(chunks(4), [quick.fetch], 4)], save, progress
        )
        return asyncio.get_running_loop().time()

    assert clock.run(main()) == pytest.approx(4, abs=0.1)
    assert progress.finished == 8


def test_a_failed_chunk_does_not_stop_the_others() -> None:
    exhausted, rejected = RetriesExhausted("late"), RejectedError("odd")
    server, progress = Server({2: exhausted, 5: rejected}), Progress()
    clock.run(run([Work(chunks(8), [server.fetch], 2)], save, progress))
    assert progress.finished == 6
    assert [(gap.chunk.interval.start // DAY, gap.error) for gap in progress.gaps] == [
        (5, rejected),
        (2, exhausted),
    ]
    assert server.asked == [0, 1, 2, 3, 4, 5, 6, 7, 2]


def test_a_chunk_that_fails_for_now_is_requested_once_more_at_the_end() -> None:
    server, progress = Server({2: RetriesExhausted("503")}), Progress()

    async def fetch(chunk: Chunk) -> list[Block]:
        try:
            return await server.fetch(chunk)
        finally:
            if server.asked[-1] == 7:
                server.errors.clear()

    clock.run(run([Work(chunks(8), [fetch], 1)], save, progress))
    assert server.asked == [0, 1, 2, 3, 4, 5, 6, 7, 2]
    assert (progress.finished, progress.gaps) == (8, [])


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_chunk_that_always_fails_does_not_take_the_others_with_it(concurrency: int) -> None:
    """Even if no other request succeeds at the same time, as with a single worker."""
    server, progress = Server({2: RetriesExhausted("500", reason="down", lasted=49)}), Progress()

    async def main() -> float:
        await run([Work(chunks(8), [server.fetch], concurrency)], save, progress)
        return asyncio.get_running_loop().time()

    assert clock.run(main()) < 120
    assert [gap.chunk.interval.start // DAY for gap in progress.gaps] == [2]
    assert (progress.finished, server.asked.count(2)) == (7, 2)


def test_chunks_that_always_fail_in_part_do_not_keep_the_run_going() -> None:
    """Their other requests succeed, so that the server is not down; no chunk is ever saved."""
    errors = dict.fromkeys(range(8), RetriesExhausted("503"))
    server, progress = Server(errors), Progress()
    clock.run(run([Work(chunks(8), [server.fetch], 2)], save, progress))
    assert (len(progress.gaps), len(server.asked)) == (8, 16)


@pytest.mark.parametrize("lasted", [49.0, 900.0])
def test_a_server_that_is_down_ends_the_run_after_the_patience(lasted: float) -> None:
    """The time without a response counts from its beginning, not from the first failed chunk."""
    errors = dict.fromkeys(range(100), RetriesExhausted("503", reason="down", lasted=lasted))
    server, progress = Server(errors), Progress()

    async def main() -> float:
        await run([Work(chunks(100), [server.fetch], 16)], save, progress)
        return asyncio.get_running_loop().time()

    assert clock.run(main()) == pytest.approx(901 - lasted, abs=1.5)
    assert (progress.finished, len(progress.gaps)) == (0, 100)


@pytest.mark.parametrize("error", [AuthError("who are you"), StoreError("full")])
def test_an_error_that_every_chunk_would_get_stops_the_run_at_once(error: Exception) -> None:
    """The other workers are cancelled."""
    server, progress = Server({0: error}), Progress()

    async def main() -> None:
        with pytest.raises(type(error), match=str(error)):
            await run([Work(chunks(100), [server.fetch], 3)], save, progress)
        assert len(asyncio.all_tasks()) == 1

    clock.run(main())
    assert len(server.asked) <= 6
    assert server.active == 0


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


def test_a_query_that_is_refused_for_every_chunk_stops_the_run() -> None:
    """As many refusals as workers are enough; two workers have begun their next chunk by then."""
    server, progress = (
        Server(dict.fromkeys(range(100), RejectedError("no such metric"))),
        Progress(),
    )
    with pytest.raises(RejectedError, match="no such metric"):
        clock.run(run([Work(chunks(100), [server.fetch], 3)], save, progress))
    assert server.asked == [0, 1, 2, 3, 4]


def test_one_refused_chunk_among_the_first_is_a_gap_like_any_other() -> None:
    server, progress = Server({0: RejectedError("odd")}), Progress()
    clock.run(run([Work(chunks(10), [server.fetch], 3)], save, progress))
    assert (progress.finished, len(progress.gaps)) == (9, 1)


def test_a_refused_chunk_of_a_query_with_existing_parts_is_a_gap() -> None:
    server, progress = Server({0: RejectedError("odd")}), Progress(proven=True)
    clock.run(run([Work(chunks(1), [server.fetch], 1)], save, progress))
    assert [str(gap.error) for gap in progress.gaps] == ["odd"]


def test_a_single_refused_chunk_stops_the_run_if_no_other_succeeds() -> None:
    server, progress = Server({0: RejectedError("odd"), 1: RetriesExhausted("late")}), Progress()
    with pytest.raises(RejectedError, match="odd"):
        clock.run(run([Work(chunks(2), [server.fetch], 2)], save, progress))


def test_few_chunks_are_shared_by_the_lanes() -> None:
    one, two, progress = Server(), Server(), Progress()
    clock.run(run([Work(chunks(4), [one.fetch, two.fetch], 16)], save, progress))
    assert (len(one.asked), len(two.asked)) == (2, 2)


def test_a_slow_lane_leaves_the_chunks_to_the_others() -> None:
    quick, progress = Server(), Progress()
    held: list[Chunk] = []

    async def stuck(chunk: Chunk) -> list[Block]:
        held.append(chunk)
        await asyncio.sleep(60)
        return []

    async def main() -> float:
        await run([Work(chunks(100), [stuck, quick.fetch], 2)], save, progress)
        return asyncio.get_running_loop().time()

    assert clock.run(main()) == pytest.approx(60, abs=0.1)
    assert (len(held), len(quick.asked), progress.finished) == (2, 98, 100)


@pytest.mark.parametrize("fails_at", [0, 1, 7, 19])
@pytest.mark.parametrize("count", [1, 5, 20])
def test_the_chunks_of_a_lost_lane_are_fetched_by_the_others(fails_at: int, count: int) -> None:
    """The lost lane is reported once, whichever of its workers fail, and gets no more chunks."""
    failing, good, progress = Server(), Server(), Progress()
    refusal, lost = AuthError("deactivated"), list[tuple[int, AuthError]]()

    async def fetch(chunk: Chunk) -> list[Block]:
        found = await failing.fetch(chunk)
        if len(failing.asked) > fails_at:
            raise refusal
        return found

    work = Work(
        chunks(count), [fetch, good.fetch], 4, lambda lane, error: lost.append((lane, error))
    )
    clock.run(run([work], save, progress))
    assert (progress.finished, progress.gaps, progress.records) == (count, [], 2 * count)
    assert lost == ([(0, refusal)] if len(failing.asked) > fails_at else [])
    assert set(good.asked + failing.asked) == set(range(count))
    assert len(set(good.asked)) == len(good.asked)
    assert len(failing.asked) <= fails_at + 4


def test_a_chunk_of_a_lane_that_is_lost_at_the_very_end_goes_to_idle_workers() -> None:
    good, progress = Server(), Progress()

    async def fetch(_: Chunk) -> list[Block]:
        await asyncio.sleep(100)
        raise AuthError("no")

    clock.run(run([Work(chunks(3), [fetch, good.fetch], 1)], save, progress))
    assert (progress.finished, good.asked) == (3, [1, 2, 0])


def test_the_run_ends_with_the_refusal_of_the_last_lane() -> None:
    first, second = (
        Server(dict.fromkeys(range(50), AuthError("first"))),
        Server({9: AuthError("second")}),
    )
    elsewhere, progress = Server(), Progress()
    works = [
        Work(chunks(50), [first.fetch, second.fetch], 1),
        Work(chunks(50), [elsewhere.fetch], 1),
    ]
    with pytest.raises(AuthError, match="second"):
        clock.run(run(works, save, progress))
    assert len(first.asked) == 1
    assert len(elsewhere.asked) < 50


def test_a_lane_lost_while_all_others_were_refused_the_query_ends_the_run() -> None:
    refused = Server(dict.fromkeys(range(9), RejectedError("no such metric")))

    async def fetch(_: Chunk) -> list[Block]:
        await asyncio.sleep(5)
        raise AuthError("no")

    with pytest.raises(RejectedError, match="no such metric"):
        clock.run(run([Work(chunks(9), [refused.fetch, fetch], 2)], save, Progress()))


def test_a_chunk_that_was_put_back_decides_whether_the_query_is_refused() -> None:
    """All other chunks were refused; this one succeeds with the other lane, so they are gaps."""
    good, progress = Server({1: RejectedError("odd"), 2: RejectedError("odd")}), Progress()

    async def fetch(_: Chunk) -> list[Block]:
        await asyncio.sleep(5)
        raise AuthError("no")

    clock.run(run([Work(chunks(3), [fetch, good.fetch], 2)], save, progress))
    assert (progress.finished, len(progress.gaps)) == (1, 2)
    assert sorted(good.asked) == [0, 1, 2]


@pytest.mark.parametrize("answered", [True, False])
def test_a_worker_whose_chunk_was_refused_takes_the_chunk_that_another_lane_put_back(
    answered: bool,
) -> None:
    """Two lanes with one worker: chunk 0 is put back at 5 s, chunk 1 is refused at 10 s."""
    odd, progress = RejectedError("odd"), Progress()
    asked: list[int] = []

    async def refused_client(_: Chunk) -> list[Block]:
        await asyncio.sleep(5)
        raise AuthError("no")

    async def slow(chunk: Chunk) -> list[Block]:
        number = chunk.interval.start // DAY
        asked.append(number)
        await asyncio.sleep(10)
        if number == 0 and answered:
            return []
        raise odd

    async def main() -> float:
        work = Work(chunks(2), [refused_client, slow], 1)
        if answered:
            await run([work], save, progress)
        else:
            with pytest.raises(RejectedError, match="odd"):
                await run([work], save, progress)
        return asyncio.get_running_loop().time()

    assert clock.run(main()) == pytest.approx(20, abs=0.1)
    assert asked == [1, 0]
    assert progress.finished == answered
    assert [gap.error for gap in progress.gaps] == ([odd] if answered else [odd, odd])


def test_refusals_stop_the_run_even_while_another_chunk_is_slow() -> None:
    """The run does not wait for a chunk that may take an hour."""
    refused = Server(dict.fromkeys(range(1, 100), RejectedError("no such metric")))

    async def fetch(chunk: Chunk) -> list[Block]:
        if chunk.interval.start == 0:
            await asyncio.sleep(3600)
        return await refused.fetch(chunk)

    async def main() -> float:
        with pytest.raises(RejectedError, match="no such metric"):
            await run([Work(chunks(100), [fetch], 3)], save, Progress())
        return asyncio.get_running_loop().time()

    assert clock.run(main()) == pytest.approx(2, abs=0.1)


def test_refusals_after_a_success_are_gaps_however_many() -> None:
    server = Server(dict.fromkeys(range(1, 20), RejectedError("odd")))
    progress = Progress()
    clock.run(run([Work(chunks(20), [server.fetch], 4)], save, progress))
    assert (progress.finished, len(progress.gaps)) == (1, 19)


class NoToken(Server):
    """Fail soon because there is no token, from one time to another."""

    def __init__(self, since: float, until: float, reason: Reason = "lane") -> None:
        super().__init__()
        self.since, self.until = since, until
        self.tried: list[float] = []
        self.error = RetriesExhausted("no token", reason=reason)

    async def fetch(self, chunk: Chunk) -> list[Block]:
        now = asyncio.get_running_loop().time()
        self.tried.append(now)
        if self.since <= now < self.until:
            await asyncio.sleep(0.1)
            raise self.error
        return await super().fetch(chunk)


def test_a_lane_without_a_token_leaves_the_chunks_to_the_others_and_is_not_reported() -> None:
    no_token, good, progress, lost = NoToken(0, 1e9), Server(), Progress(), list[object]()
    clock.run(
        run(
            [Work(chunks(200), [no_token.fetch, good.fetch], 4, lambda *each: lost.append(each))],
            save,
            progress,
        )
    )
    assert (progress.finished, progress.gaps, lost) == (200, [], [])
    assert sorted(good.asked) == list(range(200))
    assert len(no_token.tried) == 4, "once per worker; the run ends before it is tried again"


def test_a_lane_that_does_not_recover_is_lost_and_reported_once() -> None:
    no_token, good, progress, lost = NoToken(3, 1e9), Server(), Progress(), list[object]()
    clock.run(
        run(
            [
                Work(
                    chunks(2000),
                    [no_token.fetch, good.fetch],
                    2,
                    lambda *each: lost.append(each),
                    patience=300,
                )
            ],
            save,
            progress,
        )
    )
    assert (progress.finished, progress.gaps, lost) == (2000, [], [(0, no_token.error)])
    assert len(no_token.tried) == 6 + 2 + 5, (
        "the answered ones, its two workers, and then one of them a minute"
    )


@pytest.mark.parametrize("concurrency", [1, 16])
def test_a_single_lane_waits_until_it_gets_a_token_again(concurrency: int) -> None:
    """One worker a minute tries again; when it succeeds, all go on."""
    no_token, progress = NoToken(2, 500), Progress()
    clock.run(run([Work(chunks(100), [no_token.fetch], concurrency)], save, progress))
    assert (progress.finished, progress.gaps) == (100, [])
    assert len(no_token.tried) == 100 + concurrency + 8


@pytest.mark.parametrize("others", [0, 1, 2])
def test_when_the_last_lane_is_lost_the_remaining_chunks_are_gaps_with_one_error(
    others: int,
) -> None:
    """Also if other lanes were refused before: the query is not known to be refused."""
    no_token, progress = NoToken(2, 1e9), Progress()
    refused = [Server(dict.fromkeys(range(100), AuthError("no"))).fetch for _ in range(others)]

    async def main() -> float:
        await run([Work(chunks(100), [*refused, no_token.fetch], 16)], save, progress)
        return asyncio.get_running_loop().time()

    assert clock.run(main()) == pytest.approx(902, abs=1)
    assert progress.finished + len(progress.gaps) == 100
    assert len({gap.chunk for gap in progress.gaps}) == len(progress.gaps) > 50
    assert {id(gap.error) for gap in progress.gaps} == {id(no_token.error)}
    assert len(no_token.tried) - progress.finished <= 16 + 15


@pytest.mark.parametrize("lanes", [1, 2])
def test_if_no_lane_ever_got_a_token_the_run_does_not_wait(lanes: int) -> None:
    """A host that does not exist is reported within seconds."""
    without_token = [NoToken(0, 1e9, reason="unreachable") for _ in range(lanes)]
    progress = Progress()

    async def main() -> float:
        await run([Work(chunks(100), [each.fetch for each in without_token], 16)], save, progress)
        return asyncio.get_running_loop().time()

    assert clock.run(main()) < 1
    assert (progress.finished, len(progress.gaps)) == (0, 100)
    assert len({gap.chunk for gap in progress.gaps}) == 100


def test_a_lane_without_a_token_next_to_a_refused_one_is_lost_at_once() -> None:
    """No lane ever reached the server, so nobody waits for 900 s."""
    no_token, progress = NoToken(0, 1e9, reason="unreachable"), Progress()

    async def refused_client(_: Chunk) -> list[Block]:
        raise AuthError("no")

    async def main() -> float:
        work = Work(chunks(10), [refused_client, no_token.fetch], 1)
        await run([work], save, progress)
        return asyncio.get_running_loop().time()

    assert clock.run(main()) == pytest.approx(0.1, abs=0.01)
    assert (progress.finished, len(progress.gaps)) == (0, 10)
    assert {id(gap.error) for gap in progress.gaps} == {id(no_token.error)}


def test_all_gaps_of_a_lost_lane_have_the_error_that_lost_it() -> None:
    """Not those of the workers whose requests failed later."""
    progress, errors = Progress(), list[RetriesExhausted]()

    async def fetch(chunk: Chunk) -> list[Block]:
        await asyncio.sleep(1 + chunk.interval.start / DAY)
        errors.append(RetriesExhausted(f"no token, {len(errors)}", reason="unreachable"))
        raise errors[-1]

    clock.run(run([Work(chunks(9), [fetch], 3)], save, progress))
    assert len(errors) == 3
    assert [str(gap.error) for gap in progress.gaps] == ["no token, 0"] * 9


def test_a_chunk_that_was_put_back_is_the_next_one() -> None:
    good, progress = Server(), Progress()

    async def refused_client(_: Chunk) -> list[Block]:
        await asyncio.sleep(0.5)
        raise AuthError("no")

    clock.run(run([Work(chunks(4), [refused_client, good.fetch], 1)], save, progress))
    assert (progress.finished, good.asked) == (4, [1, 0, 2, 3])


def test_a_lane_that_succeeds_now_and_then_is_not_lost() -> None:
    progress, turns = Progress(), itertools.count()

    async def fetch(_: Chunk) -> list[Block]:
        if next(turns) % 10:
            raise RetriesExhausted("no turn", reason="lane")
        return []

    clock.run(run([Work(chunks(20), [fetch], 1)], save, progress))
    assert (progress.finished, progress.gaps) == (20, [])


def test_a_lane_takes_what_it_is_given_and_joined_chunks_count_as_one() -> None:
    server, progress = Server(), Progress()

    def take(left: deque[Chunk]) -> Chunk:
        first = left.popleft()
        last = left.popleft() if left else first
        return replace(first, interval=Interval(first.interval.start, last.interval.end))

    clock.run(run([Work(chunks(9), [server.fetch], 1, take=take)], save, progress))
    assert server.asked == [0, 2, 4, 6, 8]
    assert (progress.finished, progress.chunks) == (5, 5)


def test_a_chunk_that_was_cut_counts_as_two() -> None:
    server, progress = Server(), Progress()

    def take(left: deque[Chunk]) -> Chunk:
        chunk = left.popleft()
        start, end = chunk.interval.start, chunk.interval.end
        if end - start == DAY:
            left.appendleft(replace(chunk, interval=Interval(start + 1, end)))
        return chunk

    clock.run(run([Work(chunks(2), [server.fetch], 1, take=take)], save, progress))
    assert server.asked == [0, 0, 1, 1]
    assert (progress.finished, progress.chunks) == (4, 4)


def test_the_halves_of_a_chunk_that_holds_too_much_are_fetched_next() -> None:
    server, progress = Server(), Progress()
    first, *others = chunks(3)
    halves = [
        replace(first, interval=Interval(0, DAY // 2)),
        replace(first, interval=Interval(DAY // 2, DAY)),
    ]

    async def fetch(chunk: Chunk) -> list[Block]:
        if chunk == first:
            raise SplitChunk(halves)
        return await server.fetch(chunk)

    saved: list[Chunk] = []

    async def keep(chunk: Chunk, blocks: list[Block]) -> Part:
        saved.append(chunk)
        return await save(chunk, blocks)

    clock.run(run([Work([first, *others], [fetch], 1)], keep, progress))
    assert saved == [*halves, *others]
    assert (progress.finished, progress.chunks, progress.gaps) == (4, 4, [])


def test_the_halves_of_the_last_chunk_are_fetched_by_idle_workers_too() -> None:
    progress = Progress()
    (only,) = chunks(1)
    halves = [
        replace(only, interval=Interval(0, DAY // 2)),
        replace(only, interval=Interval(DAY // 2, DAY)),
    ]

    async def fetch(chunk: Chunk) -> list[Block]:
        await asyncio.sleep(1)
        if chunk == only:
            raise SplitChunk(halves)
        return []

    async def main() -> float:
        work = Work([only], [fetch, fetch], 1)
        await run([work], save, progress)
        return asyncio.get_running_loop().time()

    assert clock.run(main()) == pytest.approx(2, abs=0.1)
    assert progress.finished == 2
