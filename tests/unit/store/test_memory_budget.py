"""Tasks hold as many bytes together as the budget has, and a larger piece alone."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from asyncreport.store.memory_budget import MemoryBudget


@given(sizes=st.lists(st.integers(0, 12), max_size=12), fails=st.sets(st.integers(0, 11)))
def test_the_budget_is_kept_and_everybody_gets_a_turn(sizes: list[int], fails: set[int]) -> None:
    held: list[int] = []
    ended = []

    async def hold(number: int, budget: MemoryBudget) -> None:
        async with budget.holding(sizes[number]):
            held.append(sizes[number])
            assert sum(held) <= 10 or sum(map(bool, held)) == 1
            await asyncio.sleep(0)
            held.remove(sizes[number])
            ended.append(number)
            if number in fails:
                raise OSError

    async def main() -> list[BaseException | None]:
        budget = MemoryBudget(10)
        tasks = [hold(number, budget) for number in range(len(sizes))]
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert {type(found) for found in asyncio.run(main())} <= {type(None), OSError}
    assert sorted(ended) == list(range(len(sizes)))


def test_pieces_that_fit_are_held_at_the_same_time() -> None:
    async def main() -> None:
        budget = MemoryBudget(10)
        async with asyncio.timeout(30), budget.holding(4), budget.holding(6):
            waiting = asyncio.create_task(budget.holding(1).__aenter__())
            await asyncio.sleep(0)
            assert not waiting.done()
            waiting.cancel()

    asyncio.run(main())
