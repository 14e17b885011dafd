"""The tables of the comparisons: the pull, the kill, the limit.

Owns nothing; it reports on standard error which client is measured.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tests.bench.contest import Killed, Run, Terms, kill, middle, must, run
from tests.bench.sides import OURS_ALONE, Side
from tests.bench.table import figure, streamed

#: if the first run takes so many seconds, `FEW` runs are enough
LONG = 30
FEW = 3
#: a record may take at most this part of each peer's CPU time, with our own chunk lengths: 1/30 ...
CPU = {"vendor's SDK, 16 threads": 30, "dlt": 10, "requests loop": 3}

_PULLED = (
    *(
        "who",
        "wall, s",
        "x",
        "CPU, s",
        "of it start, s",
        "CPU per 1,000 rows, ms",
        "x",
        "peak MB",
        "requests",
        "at once",
        "429s",
    ),
    *("rows: right, missing, twice, wrong", "runs"),
)
_KILLED = (
    "who",
    "rows under the output's name after the kill",
    "queries answered before it",
    "queries of the next run",
    "then complete",
)
_LIMITED = (
    "who",
    "wall, s",
    "requests",
    "429s",
    "asked again",
    "exit code",
    "rows: right, missing, twice, wrong",
)


@dataclass(frozen=True, slots=True)
class Score:
    """What one client's pulls took; `short` is a pull of the first day alone."""

    runs: Sequence[Run]
    short: Run

    @property
    def seconds(self) -> float:
        """Return the median of the wall time."""
        return middle(self.runs, lambda each: each.seconds)

    @property
    def cpu(self) -> float:
        """Return the median of the CPU seconds, including the start."""
        return middle(self.runs, lambda each: each.cpu)

    @property
    def per_row(self) -> float:
        """Return the CPU seconds of a row after the first day.

        Start, token and names are in both pulls, so the difference does not contain them.
        """
        return (self.cpu - self.short.cpu) / max(
            1, self.runs[0].verdict.right - self.short.verdict.right
        )

    def count(self, name: str) -> int:
        """Return a count of the server; the names are those of `load_serve.Counts`."""
        return round(middle(self.runs, lambda each: each.counts[name]))

    @property
    def start(self) -> float:
        """Return the CPU seconds that do not depend on the number of rows."""
        return self.short.cpu - self.per_row * self.short.verdict.right


def pulls(sides: Sequence[Side], terms: Terms, runs: int) -> Iterator[str]:
    """Let each pull `runs` times; give the lines of the tables as soon as they are known.

    Raise RuntimeError if a client fails or sends other queries; the lines before it stand.
    """
    scores: dict[str, Score] = {}

    def rows() -> Iterator[Sequence[object]]:
        for side in _announced("pull", sides):
            scores[side.name] = score(side, terms, runs)
            yield _pulled(side.name, scores[side.name], next(iter(scores.values())))

    yield from streamed(_PULLED, rows())
    budgets = [
        _budget(name, scores[OURS_ALONE], scores[name], share)
        for name, share in CPU.items()
        if {name, OURS_ALONE} <= scores.keys()
    ]
    if budgets:
        yield ""
        yield from streamed(("what", "budget", "measured", "met"), budgets)


def score(side: Side, terms: Terms, runs: int) -> Score:
    """Let one client pull `runs` times, or `FEW` times if it is slow; raise as `pulls` does."""
    # Not measured: it makes byte code, and the responses to chunks that are not on the grid.
    must(side, replace(terms, latency=0.0, days=1 if side.on_grid else terms.days))
    found = [must(side, terms)]
    while len(found) < (runs if found[0].seconds < LONG else min(runs, FEW)):
        found.append(must(side, terms))
    late = sum(each.counts["unprepared"] for each in found)
    # How long our own chunks are depends on the moment, so each run has some that no other had.
    # What the server computes for them is in the wall time, and not in the CPU of the client.
    if late and side.on_grid:
        raise RuntimeError(
            f"{side.name} sent {late} queries without a prepared response: its figures would be "
            "those of the server"
        )
    return Score(found, must(side, replace(terms, days=1)))


def _pulled(name: str, each: Score, first: Score) -> Sequence[object]:
    worst = min(each.runs, key=lambda run: run.verdict.right)
    return (
        *(name, each.seconds, each.seconds / first.seconds, each.cpu, each.start),
        *(
            1e6 * each.per_row,
            each.per_row / first.per_row,
            round(middle(each.runs, lambda run: run.rss_mb)),
        ),
        *(each.count(what) for what in ("requests", "crowd", "throttled")),
        *(_verdict(worst), len(each.runs)),
    )


def _budget(name: str, ours: Score, theirs: Score, share: int) -> tuple[str, ...]:
    beyond, whole = theirs.per_row / ours.per_row, theirs.cpu / ours.cpu
    measured = f"1/{beyond:.1f} beyond start-up; 1/{whole:.1f} with it"
    return (
        f"CPU per record against: {name}",
        f"at most 1/{share}",
        measured,
        "yes" if beyond >= share else "**no**",
    )


def kills(sides: Sequence[Side], terms: Terms) -> Iterator[str]:
    """Kill each in the middle and run it again; give the lines of the table."""
    rows = (
        _killed(side.name, kill(side, terms), len(terms.load.truth))
        for side in _announced("kill", sides)
    )
    return streamed(_KILLED, rows)


def _killed(name: str, killed: Killed, rows: int) -> tuple[object, ...]:
    found = killed.left.right + killed.left.wrong + killed.left.twice
    torn = f", {killed.left.wrong} torn" if killed.left.wrong else ""
    return (
        name,
        f"{found:,} of {rows:,}{torn}" if found else "none",
        killed.answered,
        killed.queries,
        killed.complete,
    )


def limits(sides: Sequence[Side], terms: Terms) -> Iterator[str]:
    """Let each pull once within a limit; one that fails has a line too."""
    rows = (_limited(side.name, run(side, terms)) for side in _announced("limit", sides))
    return streamed(_LIMITED, rows)


def _limited(name: str, each: Run) -> tuple[object, ...]:
    counts = each.counts
    return (
        name,
        figure(each.seconds),
        counts["requests"],
        counts["throttled"],
        counts["again"],
        str(each.code),
        _verdict(each),
    )


def _verdict(each: Run) -> str:
    verdict = each.verdict
    return f"{verdict.right:,}, {verdict.missing:,}, {verdict.twice:,}, {verdict.wrong:,}"


def _announced(what: str, sides: Sequence[Side]) -> Iterator[Side]:
    for side in sides:
        sys.stderr.write(f"{what}: {side.name}\n")
        yield side
