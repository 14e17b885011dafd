"""What a report must show, added up from the records of an export; and a page, read back.

It shares no code with the report. `check_page` compares every number of a page.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from statistics import quantiles
from typing import Any
from zoneinfo import ZoneInfo

from tests.browser import Opened

Record = Mapping[str, Any]
Records = Sequence[Record]
#: None: there is no such number
Number = float | None

#: seconds are written with 2 decimals, shares with 4
_SECONDS, _SHARE = 0.00501, 0.0000501

_COLUMNS = {"AHT": "aht", "Talk": "talk", "Hold": "hold", "Wrap-up": "wrap_up"}
#: the tiles that say how the second half of the range differs
_COMPARED = ("Handled interactions", "Average handle time", "Occupancy")
_PARTS = ("talk", "hold", "wrap_up")


def total(column: str, records: Records) -> int:
    """Add up a column, seconds in whole ms."""
    return sum(round(record[column] * 1000) for record in records)


def per_interaction(column: str, records: Records) -> Number:
    handled = handled_of(records)
    return total(column, records) / handled / 1000 if handled else None


def handled_of(records: Records) -> int:
    return sum(record["handled_count"] for record in records)


def other(records: Records) -> Number:
    whole = per_interaction("total_handle_time_sec", records)
    if whole is None:
        return None
    return max(0.0, whole - sum(NUMBERS[part](records) or 0 for part in _PARTS))


def occupancy(records: Records) -> Number:
    names = ("interacting_sec", "communicating_sec", "idle_sec")
    times = [total(name, [one for one in records if one.get(name) is not None]) for name in names]
    return times[0] / sum(times) if sum(times) else None


#: by the key in the data of a page
NUMBERS: Mapping[str, Callable[[Records], Number]] = {
    "handled": handled_of,
    "aht": partial(per_interaction, "total_handle_time_sec"),
    "talk": partial(per_interaction, "total_talk_time_sec"),
    "hold": partial(per_interaction, "total_hold_time_sec"),
    "wrap_up": partial(per_interaction, "total_wrap_up_sec"),
    "other": other,
    "occupancy": occupancy,
}


@dataclass(frozen=True)
class Export:
    """The records of an export, and what is missing in it."""

    records: Records
    zone: ZoneInfo
    #: local dates of which nothing was fetched
    lost: Sequence[str] = field(default_factory=tuple)

    def of(self, team: str | None) -> Export:
        """Give those of a team; None: of all."""
        if team is None:
            return self
        found = [record for record in self.records if record["team"] == team]
        return Export(found, self.zone, self.lost)

    def local(self, record: Record) -> datetime:
        return datetime.fromisoformat(record["interval_start"]).astimezone(self.zone)

    def within(self, span: Mapping[str, str]) -> Records:
        start, end = span["start"], span["end"]
        return [record for record in self.records if start <= record["interval_start"] < end]

    def steps(self, key: str, spans: Sequence[Mapping[str, str]]) -> list[Number]:
        """Give a number of each step; of a step without any data there is none."""
        starts = [span["start"] for span in spans]
        inside = [record for record in self.records if record["interval_start"] < spans[-1]["end"]]
        found = group(inside, lambda record: bisect_right(starts, record["interval_start"]) - 1)
        return [
            None if self._is_lost(span) else NUMBERS[key](found[number])
            for number, span in enumerate(spans)
        ]

    def _is_lost(self, span: Mapping[str, str]) -> bool:
        start = datetime.fromisoformat(span["start"]).astimezone(self.zone)
        end = datetime.fromisoformat(span["end"]).astimezone(self.zone)
        return str(start.date()) in self.lost and (end - start).total_seconds() <= 25 * 3600

    def week(self, key: str) -> list[list[Number]]:
        """Give a number of each hour of Monday, then of the other days."""
        hours = group(self.records, lambda record: self._hour(self.local(record)))
        lost = {datetime.fromisoformat(date).isoweekday() for date in self.lost}
        found = []
        for day in range(1, 8):
            cells = [hours[day, hour] for hour in range(24)]
            found.append(
                [None if day in lost and not cell else NUMBERS[key](cell) for cell in cells]
            )
        return found

    def _hour(self, moment: datetime) -> tuple[int, int]:
        return moment.isoweekday(), moment.hour

    def agents(self) -> dict[tuple[str, str | None], Records]:
        """Give the records of each agent in each team."""
        return group(self.records, lambda record: (record["team"], record["user_id"]))

    def times(self) -> list[float]:
        """Give the AHT of each agent once; an agent has the same records in each team."""
        agents = {user: found for (_, user), found in self.agents().items() if user is not None}
        times = [NUMBERS["aht"](found) for found in agents.values()]
        return sorted(round(time, 2) for time in times if time is not None)


def group(records: Iterable[Record], key: Callable[[Record], Any]) -> dict[Any, list[Record]]:
    found: defaultdict[Any, list[Record]] = defaultdict(list)
    for record in records:
        found[key(record)].append(record)
    return found


def same(shown: object, expected: object, tolerance: float = _SECONDS) -> None:
    """Compare numbers, or lists of them."""
    if isinstance(expected, list):
        assert isinstance(shown, list)
        assert len(shown) == len(expected)
        for one, two in zip(shown, expected, strict=True):
            same(one, two, tolerance)
        return
    if expected is None or shown is None:
        assert shown == expected
        return
    assert isinstance(shown, int | float)
    assert isinstance(expected, int | float)
    assert abs(shown - expected) <= tolerance


def parsed(text: str) -> Number:
    """Read a number as the page writes it for people in Britain."""
    if text == "–":
        return None
    digits = re.sub(r"[^\d.:−-]", "", text).replace("−", "-")
    if ":" in digits:
        seconds = 0
        for part in digits.split(":"):
            seconds = seconds * 60 + int(part)
        return seconds
    return float(digits) / (100 if "%" in text else 1)


def check_page(found: Opened, export: Export, of: Sequence[str | None] | None = None) -> None:
    """Compare every number of a page with the records, for each team that can be chosen.

    `of`: only for these teams; None in it is all teams together.
    """
    data = found.data()
    for place, scope in enumerate(data["scopes"]):
        if of is not None and scope["team"] not in of:
            continue
        if len(data["scopes"]) > 1:
            found.page.select_option("#team", index=place)
        check = _Check(found, data, export, scope["team"])
        check.tiles()
        check.lines("aht", _SECONDS)
        check.bars()
        if data["has_occupancy"]:
            check.lines("occupancy", _SHARE)
        if scope["week"] is not None:
            check.week("week-volume", "handled")
            check.week("week-aht", "aht")
        check.spread()
        check.agents()
    check.teams()


@dataclass(frozen=True)
class _Check:
    """The comparison of what is shown for one team, or for all."""

    found: Opened
    data: dict[str, Any]
    whole: Export
    team: str | None

    @property
    def export(self) -> Export:
        return self.whole.of(self.team)

    def tiles(self) -> None:
        """Compare the figures at the top, and how they changed."""
        shown = self.found.page.evaluate(_TILES)
        records = self.export.records
        names = {
            "Handled interactions": ("handled", 0.0),
            "Average handle time": ("aht", 0.51),
            "Talk": ("talk", 0.51),
            "Hold": ("hold", 0.51),
            "Wrap-up": ("wrap_up", 0.51),
        }
        if self.data["has_occupancy"]:
            names["Occupancy"] = "occupancy", 0.00051
        for title, (key, tolerance) in names.items():
            tile = shown.pop(title)
            same(parsed(tile["value"]), NUMBERS[key](records), tolerance)
            if title in _COMPARED:
                self._change(key, tile["change"])
        users = {record["user_id"] for record in records} - {None}
        assert parsed(shown.pop("Agents with data")["value"]) == len(users)
        assert shown == {}

    def _change(self, key: str, text: str | None) -> None:
        """Compare what a tile says about the second half of the range."""
        if self.data["halves"] is None or self.export.lost:
            assert text is None
            return
        halves = [NUMBERS[key](self.export.within(half)) for half in self.data["halves"]]
        before, after = halves
        if before is None or after is None or not before:
            assert text is None
            return
        assert text is not None
        if key == "occupancy":
            same(parsed(text), 100 * (after - before), 0.061)
        else:
            same(parsed(text), after / before - 1, 0.00061)

    def lines(self, key: str, tolerance: float) -> None:
        """Compare a line chart with its table, and both with the records."""
        names = self.found.page.locator(f"#{key} .legend button").all_inner_texts()
        names = names or [self.team or self.data["scopes"][0]["team"]]
        traces = self._traces(key)
        assert len(traces) == len(names)
        for name, trace in zip(names, traces, strict=True):
            same(trace["y"], self._steps_of(name, key), tolerance)
        self._table_of_teams(key, key, tolerance)

    def bars(self) -> None:
        """Compare the two bar charts with their tables, and with the records."""
        steps = self.data["steps"]
        (trace,) = self._traces("volume")
        same(trace["y"], self.export.steps("handled", steps), 0)
        self._table_of_teams("volume", "handled", 0)
        keys = ["talk", "hold", "wrap_up"]
        traces = self._traces("parts")
        if len(traces) == 4:
            keys.append("other")
        table = self._table("parts")
        for number, (key, trace) in enumerate(zip(keys, traces, strict=True)):
            expected = self.export.steps(key, steps)
            same(trace["y"], expected, 2 * _SECONDS)
            same([list(row.values())[number + 1] for row in table], expected, 2 * _SECONDS)

    def week(self, section: str, key: str) -> None:
        """Compare a heat map with its table, and with the records."""
        expected = self.export.week(key)
        traces = self._traces(section)
        assert traces[0]["type"] == "heatmap"
        same(traces[0]["z"], expected)
        rows = [list(row.values())[1:] for row in self._table(section)]
        same([list(day) for day in zip(*rows, strict=True)], expected)

    def spread(self) -> None:
        """Compare the distribution of agents: bars, quartiles, the sentence above."""
        times = self.export.times()
        if not times:
            assert self.found.page.locator("#spread figure").is_hidden()
            return
        table = self._table("spread")
        for row in table:
            inside = [time for time in times if row["AHT from"] <= time < row["to"]]
            assert row["Agents"] == len(inside)
        (bars,) = self._traces("spread")
        assert bars["y"] == [row["Agents"] for row in table]
        assert sum(bars["y"]) == len(times)
        text = self.found.page.inner_text("#spread-lead")
        middle = quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3
        low, median, high = middle
        expected = [low, high, median, times[0], times[-1]]
        if len(times) == 1:
            expected = [median]
        same([parsed(each) for each in re.findall(r"\d+:[\d:]+", text)], expected, 0.51)

    def agents(self) -> None:
        """Compare the table of agents: each row, and that no agent is left out."""
        if self.found.page.locator("#all-agents").is_visible():
            self.found.page.click("#all-agents")
        names = {each["id"]: each["name"] for each in self.data["agents"]}
        expected = []
        for (team, user), records in self.export.agents().items():
            name = "No agent" if user is None else names[user] or user
            expected.append((name, team, self._row(records)))
        shown = []
        for row in self.found.table("agents"):
            team = str(row.get("Team", self.team or self.data["scopes"][0]["team"]))
            shown.append((str(row["Agent"]), team, row))
        assert len(shown) == len(expected)
        order: Callable[[Any], Any] = lambda each: (*each[:2], each[2]["Handled"])  # noqa: E731
        for one, two in zip(sorted(shown, key=order), sorted(expected, key=order), strict=True):
            assert one[:2] == two[:2]
            self._same_row(one[2], two[2])

    def teams(self) -> None:
        """Compare the table of teams."""
        table = self.found.table("teams")
        names = [scope["team"] for scope in self.data["scopes"] if scope["team"] is not None]
        assert sorted(str(row["Team"]) for row in table) == sorted(names)
        for row in table:
            records = self.whole.of(str(row["Team"])).records
            self._same_row(row, self._row(records))
            assert row["Agents"] == len({record["user_id"] for record in records} - {None})

    def _row(self, records: Records) -> dict[str, Number]:
        """Give what a row of a table has."""
        row = {title: NUMBERS[key](records) for title, key in _COLUMNS.items()}
        row["Handled"] = handled_of(records)
        if self.data["has_occupancy"]:
            row["Occupancy"] = occupancy(records)
        return row

    def _same_row(self, shown: Mapping[str, Any], expected: Mapping[str, Number]) -> None:
        for title, number in expected.items():
            value = None if shown[title] == "–" else shown[title]
            same(value, number, _SHARE if title == "Occupancy" else _SECONDS)

    def _table_of_teams(self, section: str, key: str, tolerance: float) -> None:
        """Compare the table under a chart that has a column for each team."""
        table = self._table(section)
        names = list(table[0])[1:]
        assert len(names) == (len(self.data["scopes"]) if self.team is None else 1)
        for name in names:
            same([row[name] for row in table], self._steps_of(name, key), tolerance)

    def _steps_of(self, name: str, key: str) -> list[Number]:
        """Give the expected numbers of a team, or of all teams, over time."""
        team = None if name == "All teams" else name
        return self.whole.of(team).steps(key, self.data["steps"])

    def _traces(self, section: str) -> list[dict[str, Any]]:
        """Read what a chart draws; without the marks of missing data and changes."""
        found: list[dict[str, Any]] = self.found.page.evaluate(_TRACES, f"#{section} .chart")
        return found

    def _table(self, section: str) -> list[dict[str, Any]]:
        """Open the table under a chart, and read it; a dash is no number."""
        if not self.found.page.locator(f"#{section} details table").count():
            self.found.open_table(f"#{section}")
        rows = self.found.table(section)
        return [{key: None if cell == "–" else cell for key, cell in row.items()} for row in rows]


_TRACES = """
(selector) => document.querySelector(selector).data
  .filter((trace) => trace.yaxis !== "y2")
  .map(({ type, y, z }) => ({ type, y, z }))
"""

_TILES = """
() => Object.fromEntries([...document.querySelectorAll("#figures > div")].map((tile) => [
  tile.querySelector("dt").textContent,
  {
    value: tile.querySelector("dd").firstChild.textContent,
    change: tile.querySelector(".change") ? tile.querySelector(".change").textContent : null,
  },
]))
"""
