"""A cancelled task leaves no thread behind."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from asyncreport.core.errors import StoreError
from asyncreport.store.threads import run_in_thread


def test_the_result_and_the_error_of_the_work_come_back() -> None:
    def fail(_: Event) -> None:
        raise StoreError("disk full")

    assert asyncio.run(run_in_thread(lambda stopped: stopped.is_set())) is False
    with pytest.raises(StoreError, match="disk full"):
        asyncio.run(run_in_thread(fail))


@pytest.mark.parametrize("own_executor", [True, False])
def test_a_cancelled_task_stops_the_work_and_waits_for_its_end(own_executor: bool) -> None:
    began, ended = Event(), []

    def work(stopped: Event) -> None:
        began.set()
        ended.append(stopped.wait(30))
        raise StoreError("nobody reads this")

    async def main(executor: ThreadPoolExecutor | None) -> None:
        task = asyncio.create_task(run_in_thread(work, executor))
        await asyncio.to_thread(began.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended == [True]

    if own_executor:
        with ThreadPoolExecutor(1) as executor:
            asyncio.run(main(executor))
    else:
        asyncio.run(main(None))
