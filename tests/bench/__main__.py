"""The bench: `python -m tests.bench` measures asyncreport against its budgets.

With `--peers` it also compares asyncreport with other tools for the same work. Both print Markdown.
The budgets take 47 minutes. `python -m tests.bench.peers` makes the environment of the peers.
`--quick` only checks that the bench works: its figures mean nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tests.bench import (
    answers,
    board,
    budgets,
    bureau,
    cluster,
    hot,
    lanes,
    memory,
    objects,
    pace,
    quarter_hours,
    report,
    state,
    workers,
)
from tests.bench.contest import Terms
from tests.bench.load import Load, Server, ceiling, serving
from tests.bench.peers.__main__ import FOLDER
from tests.bench.sides import sides
from tests.bench.table import Line, machine, streamed

#: about 210,000 rows in 224 queries
LOAD = Load(agents=100, days=224)
SMALL = Load(agents=30, days=20)
#: seconds before each response in a quick run
QUICK = 0.05
#: requests a minute in the comparison with a limit, and the days that are pulled in it: one and a
#: half minutes of the limit. Just before the end of a minute a client that bursts gains the whole
#: minute, just after it nothing
LIMIT, LIMITED_DAYS = 100, 150


def main() -> None:
    """Read the options, measure, print."""
    options = _parser().parse_args()
    load, runs = (SMALL, 1) if options.quick else (LOAD, options.runs)
    if options.quick:
        options.latency = min(options.latency, QUICK)
        _print("A quick run: the figures mean nothing.\n")
    _print(f"{machine()}\n")
    with serving(load) as server:
        _print(
            f"The load: {len(load.truth):,} rows of {load.agents} agents in {load.days} days, a "
            f"query for each day; the server sends {ceiling(server, load):,.0f} of its responses a "
            "second.\n"
        )
        if not options.only:
            _budgets(load, server, options, runs)
        if options.peers is not None:
            _contests(load, server, options, runs)


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
        help="measure the peers too; PYTHON is an interpreter that can import them",
    )
    parser.add_argument(
        "--only",
        action="append",
        metavar="WORD",
        help="with --peers: only those with WORD in their name, and no budgets; may be repeated",
    )
    parser.add_argument(
        "--skip",
        action="append",
        default=[],
        choices=("pull", "kill", "limit"),
        help="with --peers: leave a comparison out",
    )
    parser.add_argument(
        "--runs",
        type=int,
        default=5,
        help="runs of each; figures are medians "
        f"(5; {board.FEW} if one run takes {board.LONG} s or longer)",
    )
    parser.add_argument(
        "--latency", type=float, default=0.2, help="seconds before each response (0.2)"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="little data, one run, no comparison of peers with a limit: does the bench work?",
    )
    return parser


def _budgets(load: Load, server: Server, options: argparse.Namespace, runs: int) -> None:
    _table(budgets.lines(load, server, runs=runs, latency=options.latency or 0.2))
    modules = (
        hot,
        state,
        memory,
        pace,
        lanes,
        answers,
        quarter_hours,
        report,
        bureau,
        cluster,
        workers,
        objects,
    )
    for module in modules:
        _table(module.lines(quick=options.quick))


def _table(lines: Iterable[Line]) -> None:
    """Print a table, each line as soon as it is measured: that takes minutes."""
    _print_all(streamed(("what", "budget", "measured", "met"), (line.cells() for line in lines)))


def _contests(load: Load, server: Server, options: argparse.Namespace, runs: int) -> None:
    chosen = [
        side
        for side in sides(options.peers)
        if not options.only or any(word in side.name for word in options.only)
    ]
    # What happens to a client that is killed or limited does not depend on its pool or objects.
    without_variants = [side for side in chosen if not side.variant]
    terms = Terms(load=load, server=server, latency=options.latency, days=load.days)
    if "pull" not in options.skip:
        _print(f"No limit, {options.latency:g} s before each response, medians:\n")
        _print_all(board.pulls(chosen, terms, runs))
    if "kill" not in options.skip:
        _print("Killed (`kill -9`) after half of the queries were answered, and run again:\n")
        _print_all(board.kills(without_variants, terms))
    if "limit" not in options.skip and not options.quick:
        limited = replace(terms, limit=LIMIT, days=LIMITED_DAYS)
        _print(f"At most {LIMIT} requests in any 60 s, {LIMITED_DAYS} queries, one run:\n")
        _print_all(board.limits(without_variants, limited))


def _print_all(lines: Iterable[str]) -> None:
    for line in lines:
        _print(line)
    _print("")


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
