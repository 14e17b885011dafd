"""The bench: `python -m tests.bench` holds asyncreport to its budgets; `--peers` lets it pull side by side with what people use.

Both print Markdown; the budgets take a quarter of an hour. `python -m tests.bench.peers` makes the peers' environment.
`--quick` is a smoke run: its figures mean nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tests.bench import board, budgets, hot, lanes, memory, pace, state
from tests.bench.contest import Terms
from tests.bench.load import Load, Server, ceiling, serving
from tests.bench.peers.__main__ import FOLDER
from tests.bench.sides import sides
from tests.bench.table import Line, machine, markdown

#: some 210,000 rows in 224 queries
LOAD = Load(agents=100, days=224)
SMALL = Load(agents=30, days=20)
#: seconds before each answer in a smoke run
QUICK = 0.05
#: requests a minute in the contest with a limit, and the days that are pulled then: one and a half minutes of the limit, since
#: a client that bursts gains nothing just beyond a whole minute, and all of one just before
LIMIT, LIMITED_DAYS = 100, 150


def main() -> None:
    """Read the options, measure, print."""
    asked = _parser().parse_args()
    load, runs = (SMALL, 1) if asked.quick else (LOAD, asked.runs)
    if asked.quick:
        asked.latency = min(asked.latency, QUICK)
        _say("A smoke run: the figures mean nothing.\n")
    _say(f"{machine()}\n")
    with serving(load) as server:
        _say(
            f"The load: {len(load.truth):,} rows of {load.agents} agents in {load.days} days, a query for each day; "
            f"the server gives {ceiling(server, load):,.0f} of its answers a second.\n"
        )
        if not asked.only:
            _budgets(load, server, asked, runs)
        if asked.peers is not None:
            _contests(load, server, asked, runs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    python = FOLDER / "bin" / "python"
    parser.add_argument(
        "--peers",
        nargs="?",
        type=Path,
        const=python,
        metavar="PYTHON",
        help="and the peers, which PYTHON can import",
    )
    parser.add_argument(
        "--only",
        action="append",
        metavar="WORD",
        help="with --peers: whose name holds WORD, and no budgets; may be repeated",
    )
    parser.add_argument(
        "--skip",
        action="append",
        default=[],
        choices=("pull", "kill", "limit"),
        help="with --peers: leave a contest out",
    )
    parser.add_argument(
        "--runs",
        type=int,
        default=5,
        help=f"of each, medians (5; {board.FEW} where one takes {board.LONG} s and longer)",
    )
    parser.add_argument(
        "--latency", type=float, default=0.2, help="seconds before each answer (0.2)"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a small load, one run, no contest with a limit: does the bench work?",
    )
    return parser


def _budgets(load: Load, server: Server, asked: argparse.Namespace, runs: int) -> None:
    """Print a table as soon as it is there: what is measured takes minutes."""
    _table(budgets.lines(load, server, runs=runs, latency=asked.latency or 0.2))
    if not asked.quick:
        for module in (hot, state, memory, pace, lanes):
            _table(module.lines())


def _table(lines: Iterable[Line]) -> None:
    _say(markdown(("what", "budget", "measured", "met"), [line.cells() for line in lines]))


def _contests(load: Load, server: Server, asked: argparse.Namespace, runs: int) -> None:
    chosen = [
        side
        for side in sides(asked.peers)
        if not asked.only or any(word in side.name for word in asked.only)
    ]
    # What happens to a client that is killed or refused does not depend on its pool or its objects.
    apart = [side for side in chosen if not side.variant]
    terms = Terms(load=load, server=server, latency=asked.latency, days=load.days)
    if "pull" not in asked.skip:
        _say(
            f"No limit, {asked.latency:g} s before each answer, medians:\n\n{board.pulls(chosen, terms, runs)}"
        )
    if "kill" not in asked.skip:
        _say(
            f"Killed (`kill -9`) once half of the queries were answered, and run again:\n\n{board.kills(apart, terms)}"
        )
    if "limit" not in asked.skip and not asked.quick:
        bound = replace(terms, limit=LIMIT, days=LIMITED_DAYS)
        _say(
            f"At most {LIMIT} requests in any 60 s, {LIMITED_DAYS} queries, one run:\n\n{board.limits(apart, bound)}"
        )


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
