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
    low, high = ordered[0], ordered[-1]
    width = _width(low, high, _most_bars(len(ordered)))
    first = int(low // width)
    return Distribution(
        agents=len(ordered),
        quartiles=(low, _at(ordered, 1), _at(ordered, 2), _at(ordered, 3), high),
        width=width,
        first=first * width,
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
    """Choose the narrowest bars of which not too many are needed."""
    for width in _WIDTHS:
        if high // width - low // width < most:
            return width
    hours = int((high - low) // (most * 3600)) + 1
    return 3600 * hours


def _at(ordered: Sequence[float], quarter: int) -> float:
    """Give a quartile; between two agents it is interpolated, to hundredths of a second."""
    place, rest = divmod((len(ordered) - 1) * quarter, 4)
    if not rest:
        return ordered[place]
    below, above = ordered[place], ordered[place + 1]
    return round(below + (above - below) * rest / 4, 2)
