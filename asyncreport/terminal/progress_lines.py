"""The lines that show what a command is doing. Pure.

One line for each connection while chunks are fetched, and one that names any other phase:

    demo  █████████████░░░░░░░░░░░   57 %  209/366  1:13 left  4.2/s (pacing)
    demo  writing  0:04
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rich.cells import cell_len

from asyncreport.core.text import printable
from asyncreport.engine.activity import Activity, Count
from asyncreport.net import RequestCounts

#: columns of a bar
_SHORTEST_BAR, _LONGEST_BAR = 8, 24

#: what a bar is made of: the part that is done, the part that is left
BLOCKS, ASCII = ("█", "░"), ("#", ".")

#: between two figures of a line
_GAP = "  "


@dataclass(frozen=True, slots=True)
class Line:
    """What one line says, most important first: a narrow terminal leaves out the last figures."""

    name: str
    figures: tuple[str, ...]
    #: from 0 to 1; None: the line has no bar
    share: float | None = None
    #: the same for a log collector
    facts: Mapping[str, object] = field(default_factory=dict)

    def drawn(self, width: int, name_width: int, blocks: tuple[str, str]) -> str:
        """Write the line in at most `width` columns, with a bar if there is room for one."""
        name = printable(self.name) + " " * (name_width - cell_len(self.name))
        text = _joined(name, self.figures, width)
        room = width - cell_len(text) - len(_GAP)
        if self.share is None or room < _SHORTEST_BAR:
            return text
        bar = _bar(self.share, min(room, _LONGEST_BAR), blocks)
        return _GAP.join((name, bar + text[len(name) :]))

    def plain(self) -> str:
        """Write the line for a log."""
        return f"{self.name}: {', '.join(figure.strip() for figure in self.figures)}"


def _bar(share: float, size: int, blocks: tuple[str, str]) -> str:
    """Draw a bar of so many columns, of blocks for what is done and for what is left."""
    done, left = blocks
    full = int(size * share)
    return done * full + left * (size - full)


def _joined(name: str, figures: tuple[str, ...], width: int) -> str:
    """Join a name and figures, without the last ones if the line would be too long."""
    text = name[:width]
    for figure in figures:
        longer = f"{text}{_GAP}{figure}"
        if cell_len(longer) > width:
            break
        text = longer
    return text


@dataclass(slots=True)
class Figures:
    """What a display remembers of an activity, to tell how long things take and how fast they go.

    Times are in seconds of one clock.
    """

    activity: Activity
    #: when the phase began
    since: float
    _phase: str = "starting"
    #: when the first chunk was asked for; None: not yet
    _fetching_since: float | None = None
    #: requests of each connection before that
    _requests_before: dict[str, int] = field(default_factory=dict)

    def lines(self, now: float) -> list[Line]:
        """Describe what the command is doing."""
        self.follow(now)
        fetched = [self._connection(name, count, now) for name, count in self._counts()]
        if self._phase == "fetching":
            return fetched
        return [*fetched, self._other_phase(now)]

    def last_lines(self, now: float) -> list[Line]:
        """Describe what was fetched, at the end of the command; nothing if there was nothing."""
        return [self._finished(name, count, now) for name, count in self._counts()]

    def follow(self, now: float) -> None:
        """Note that a phase has begun: call it often, or times are not exact."""
        if self.activity.phase == self._phase:
            return
        self._phase, self.since = self.activity.phase, now
        if self._phase == "fetching" and self._fetching_since is None:
            self._fetching_since = now
            for name, counts in self.activity.requests().items():
                self._requests_before[name] = counts.requests

    def _counts(self) -> Iterator[tuple[str, Count]]:
        """Walk the connections that something is fetched from; a single one has the job's name."""
        counts = self.activity.progress.counts
        for name, count in counts.items():
            if count.chunks:
                yield (name if len(counts) > 1 else self.activity.name), count

    def _connection(self, label: str, count: Count, now: float) -> Line:
        """Describe what is fetched from a connection."""
        elapsed, waiting = self._elapsed(now), self._waiting(label)
        left = self._left(count, elapsed)
        figures = (
            *_done(count),
            *_time_left(left),
            *_failed(count),
            self._rate(label, elapsed, waiting=waiting),
        )
        facts = {**self._facts(waiting), **_facts_of(label, count), "seconds_left": left}
        return Line(label, figures, _share(count), facts)

    def _left(self, count: Count, elapsed: float) -> int | None:
        """Estimate the seconds that are left for the chunks of a connection; None: not known."""
        done = count.finished + len(count.gaps)
        if not done or self._phase != "fetching":
            return None
        return round(elapsed / done * (count.chunks - done))

    def _facts(self, waiting: str) -> dict[str, object]:
        """Give the keys that all lines have for a log collector."""
        return {"job": self.activity.name, "phase": self._phase, "waiting_for": waiting or None}

    def _finished(self, label: str, count: Count, now: float) -> Line:
        """Describe what was fetched from a connection."""
        elapsed = self._elapsed(now)
        figures = (
            *_done(count),
            f"in {_clock(elapsed)}",
            *_failed(count),
            self._rate(label, elapsed, waiting=""),
        )
        return Line(label, figures, _share(count))

    def _other_phase(self, now: float) -> Line:
        """Name a phase that has no chunks."""
        figures = [self._phase, _clock(now - self.since)]
        waiting = self._waiting("")
        if waiting:
            figures.append(f"({waiting})")
        return Line(self.activity.name, tuple(figures), facts=self._facts(waiting))

    def _elapsed(self, now: float) -> float:
        """Give the seconds since the first chunk was asked for."""
        return now - (now if self._fetching_since is None else self._fetching_since)

    def _requests(self, label: str) -> RequestCounts:
        """Give the counts of a connection; of all together if no connection has the label."""
        of_all = self.activity.requests()
        return of_all.get(label) or sum(of_all.values(), start=RequestCounts())

    def _rate(self, label: str, elapsed: float, *, waiting: str) -> str:
        """Write how many requests leave in a second, and what they wait for."""
        before = self._requests_before.get(label, sum(self._requests_before.values()))
        number = self._requests(label).requests - before
        rate = f"{number / elapsed if elapsed else 0.0:.1f}/s"
        if waiting:
            return f"{rate} ({waiting})"
        return rate

    def _waiting(self, label: str) -> str:
        """Say what requests wait for; empty if for nothing."""
        counts = self._requests(label)
        # What a person can do something about comes first.
        if counts.retrying:
            return counts.retrying[0]
        if counts.waiters:
            return "pacing"
        if counts.in_flight:
            return "server"
        return "disk" if self.activity.saving() else ""


def _share(count: Count) -> float:
    """Give the share of the chunks that are done, from 0 to 1."""
    return (count.finished + len(count.gaps)) / max(count.chunks, 1)


def _facts_of(label: str, count: Count) -> dict[str, object]:
    """Give the keys of a connection for a log collector."""
    return {
        "connection": label,
        "chunks": count.chunks,
        "chunks_done": count.finished,
        "chunks_failed": len(count.gaps),
    }


def _time_left(seconds: int | None) -> Iterator[str]:
    """Write the time that is left, if it is known."""
    if seconds is not None:
        yield f"{_clock(seconds)} left"


def _done(count: Count) -> Iterator[str]:
    """Write the share and the number of chunks that are done."""
    done = count.finished + len(count.gaps)
    yield f"{int(100 * _share(count)):3} %"
    yield f"{done:,}/{count.chunks:,}"


def _failed(count: Count) -> Iterator[str]:
    """Count the chunks that failed, if any did."""
    if count.gaps:
        yield f"{len(count.gaps):,} failed"


def _clock(seconds: float) -> str:
    """Write a length of time as `1:13`, or `2:05:09` with hours."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}"
