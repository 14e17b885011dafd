"""How agents differ: quartiles, and how many agents are in which range of AHT. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import isqrt

from msgspec import Struct

#: seconds that a bar of the chart may cover
_WIDTHS = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)

#: bars of the chart, at most; and for few agents, who would each have a bar of their own
_MOST_BARS = 24
_FEWEST_BARS = 6


class Distribution(Struct, frozen=True, kw_only=True):
    """Agents by AHT; each agent who handled something counts once."""

    agents: int
    #: lowest, first quartile, median, third quartile, highest; in seconds
    quartiles: tuple[float, float, float, float, float]
    #: seconds that a bar covers
    width: int
    #: where the first bar begins, in seconds
    first: int
    #: number of agents of each bar
    bars: list[int]


def distribution(times: Sequence[float]) -> Distribution | None:
    """Describe the AHT of agents, in seconds; None without agents."""
    if not times:
        return None
    ordered = sorted(times)
    low = ordered[0]
    width = _width(low, ordered[-1], _most_bars(len(ordered)))
    return Distribution(
        agents=len(ordered),
        quartiles=_quartiles(ordered),
        width=width,
        first=int(low // width) * width,
        bars=_bars(ordered, width),
    )


def _bars(ordered: Sequence[float], width: int) -> list[int]:
    """Count the agents of each bar, from the lowest to the highest AHT."""
    counts = Counter(int(time // width) for time in ordered)
    return [counts[number] for number in range(min(counts), max(counts) + 1)]


def _most_bars(agents: int) -> int:
    """Limit the bars, so that most of them have several agents."""
    return max(_FEWEST_BARS, min(_MOST_BARS, 2 * isqrt(agents)))


def _width(low: float, high: float, most: int) -> int:
    """Choose the narrowest bars that do not become too many."""
    for width in _WIDTHS:
        if high // width - low // width < most:
            return width
    hours = int((high - low) // (most * 3600)) + 1
    return 3600 * hours


def _quartiles(ordered: Sequence[float]) -> tuple[float, float, float, float, float]:
    """Give the lowest time, the quartiles, and the highest time."""
    first, median, third = (_at(ordered, quarter) for quarter in (1, 2, 3))
    return ordered[0], first, median, third, ordered[-1]


def _at(ordered: Sequence[float], quarter: int) -> float:
    """Give a quartile; between two agents it is interpolated, to hundredths of a second."""
    place, rest = divmod((len(ordered) - 1) * quarter, 4)
    if not rest:
        return ordered[place]
    return _between(ordered[place], ordered[place + 1], rest)


def _between(below: float, above: float, quarters: int) -> float:
    """Give the place so many quarters of the way between two times."""
    return round(below + (above - below) * quarters / 4, 2)
