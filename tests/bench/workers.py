"""Simulate 1,000 organisations on 20 workers, by the virtual clock, in several orders.

A worker takes one organisation at a time. `python -m tests.bench.workers` takes a few seconds.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence

from tests import clock
from tests.bench.table import Line, markdown

ORGANISATIONS, WORKERS = 1_000, 20
#: the plans of a night, in seconds at the rate limit of each organisation
NIGHTS: dict[str, Callable[[random.Random], float]] = {
    "equal plans": lambda _: 600.0,
    "plans from 1 to 60 minutes": lambda chance: chance.uniform(60, 3_600),
    "many short plans, few long (log-normal)": lambda chance: chance.lognormvariate(6, 1.2),
}


def plans(night: str, seed: int, number: int = ORGANISATIONS) -> list[float]:
    """Draw the seconds that each organisation takes, in the order of their names."""
    chance = random.Random(seed)
    return [NIGHTS[night](chance) for _ in range(number)]


def least(seconds: Sequence[float], workers: int = WORKERS) -> float:
    """Give the time that no order can beat."""
    return max(*seconds, sum(seconds) / workers)


def shared_queue(seconds: Sequence[float], workers: int = WORKERS) -> float:
    """Give the wall time if each free worker takes the next plan."""
    waiting = iter(seconds)

    async def work() -> None:
        for each in waiting:
            await asyncio.sleep(each)

    return _wall([work] * workers)


def longest_first(seconds: Sequence[float], workers: int = WORKERS) -> float:
    """Give the wall time if each free worker takes the longest plan that is left."""
    return shared_queue(sorted(seconds, reverse=True), workers)


def shares(seconds: Sequence[float], workers: int = WORKERS) -> float:
    """Give the wall time of `--connections 1/N` to `N/N`."""
    return max(sum(seconds[number::workers]) for number in range(workers))


def _wall(workers: Sequence[Callable[[], Coroutine[None, None, None]]]) -> float:
    async def night() -> float:
        async with asyncio.TaskGroup() as group:
            for work in workers:
                group.create_task(work())
        return asyncio.get_running_loop().time()

    return clock.run(night())


def lines(*, quick: bool = False) -> Iterator[Line]:
    """Compare each order with the time that none can beat; the worst of some seeds."""
    seeds = range(1 if quick else 20)
    for night in NIGHTS:
        for name, order in (
            ("the longest first", longest_first),
            ("by name", shared_queue),
            ("fixed shares", shares),
        ):
            ratio = max(
                order(each) / least(each) for each in (plans(night, seed) for seed in seeds)
            )
            yield Line(
                f"{ORGANISATIONS:,} organisations, {WORKERS} workers, {night}: {name}",
                "",
                f"{ratio:.3f} x of max(longest plan, total / workers)",
            )


def main() -> None:
    """Simulate and print the figures."""
    sys.stdout.write(
        markdown(("what", "budget", "measured", "met"), [line.cells() for line in lines()])
    )


if __name__ == "__main__":
    main()
