"""The range of a job: its bounds on the calendar of its zone, its buckets, the length of its chunks. Pure but for the zones."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo

from asyncreport.config.place import SHOWN, Place, near
from asyncreport.config.schema import GRANULARITIES, RangeFile
from asyncreport.config.yaml import Node
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import ChunkLength, Job
from asyncreport.core.timeline import (
    MINUTE,
    Granularity,
    Grid,
    Interval,
    day_start,
    from_instant,
    local_instant,
    to_instant,
)

#: years that a range may touch: offsets of earlier ones were not always whole minutes, and nothing was recorded
YEARS = range(2000, 2101)

BOUNDS = "2023-01-01, 2023-01-01T09:30, 2023-01-01T09:30+01:00, today, yesterday, now"


def span(place: Place, given: RangeFile, now: int) -> tuple[Interval, Grid]:
    """Resolve start, end and granularity into an interval on the edges of a grid; `now` is an instant."""
    zone = _zone(place.at("time_zone"), given.time_zone)
    grid = Grid(_granularity(place.at("granularity"), given.granularity), zone)
    start = _bound(place.at("start"), given.start, grid, now)
    end = _bound(place.at("end"), given.end, grid, now)
    if end <= start:
        raise place.at("end").wrong(
            "is not after range.start; a range ends with the first instant that it leaves out"
        )
    interval = Interval(start, end)
    if grid.granularity is Granularity.NONE:
        return interval, Grid(Granularity.NONE, zone, interval)
    _check_slots(place, grid, interval)
    for key, at in (("start", start), ("end", end)):
        _check_edge(place.at(key), grid, at)
    return interval, grid


def refresh_interval(text: str, job: Job, now: int) -> Interval:
    """Read what `--refresh` names, `START/END` as a range writes them, and cut it to the job's range; raise ConfigError."""
    start, slash, end = text.partition("/")
    if not slash:
        raise ConfigError(
            f"--refresh: {text[:SHOWN]!r} is no START/END; accepted: 2024-01-01/2024-01-08, yesterday/today"
        )
    place = Place(
        Node(
            "--refresh",
            {"start": Node("--refresh", start, start), "end": Node("--refresh", end, end)},
        )
    )
    grid, whole = job.query.grid, job.interval
    low, high = _bound(place.at("start"), start, grid, now), _bound(place.at("end"), end, grid, now)
    if high <= low:
        raise place.at("end").wrong(
            "is not after the start; an interval ends with the first instant that it leaves out"
        )
    if high <= whole.start or low >= whole.end:
        raise ConfigError(
            f"--refresh: {text[:SHOWN]!r} lies outside the job's range; accepted: what overlaps {whole}"
        )
    return Interval(max(low, whole.start), min(high, whole.end))


def _zone(place: Place, name: str) -> str:
    if name not in _zones():
        # Who writes an offset means that offset, and the nearest name is another one.
        like = (
            []
            if re.search(r"\d", name)
            else [
                zone
                for zone in _zones()
                if zone[:1] == name[:1].upper() and not re.search(r"\d", zone)
            ]
        )
        raise place.wrong(
            f"is no time zone of the IANA data base{near(name, like)}",
            accepted="UTC, or names such as Europe/Dublin",
        )
    return name


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    # The system's own list would also hold `localtime` and be another on every machine.
    return frozenset((resources.files("tzdata") / "zones").read_text("utf-8").split())


_ISO = re.compile(r"P(?=.)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+S)?)?")


def _granularity(place: Place, text: str) -> Granularity:
    if text not in GRANULARITIES:
        fact = (
            "is not a granularity that is offered"
            if _ISO.fullmatch(text)
            else f"is no ISO 8601 duration{_meant(text)}"
        )
        raise place.wrong(fact, accepted=", ".join(GRANULARITIES))
    return Granularity(text)


def _meant(text: str) -> str:
    """Suggest the granularity that other tools would take `1h` or `30min` for."""
    match = re.fullmatch(r"(\d{1,2}) ?([a-z])[a-z]*", text.lower(), re.ASCII)
    spelled = (
        {"m": "PT{}M", "h": "PT{}H", "d": "P{}D", "w": "P{}W"}.get(match[2], "").format(match[1])
        if match
        else ""
    )
    return f"; did you mean {spelled!r}?" if spelled in GRANULARITIES else ""


_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{3})?)?(Z|[+-]\d{2}:\d{2})?", re.ASCII
)


def _bound(place: Place, text: str, grid: Grid, now: int) -> int:
    if text == "now":
        return _floored(place, grid, now)
    if text in ("today", "yesterday"):
        today = from_instant(now).astimezone(ZoneInfo(grid.zone)).date()
        return day_start(today - timedelta(days=int(text == "yesterday")), grid.zone)
    if not _DATE.fullmatch(text) and not _TIME.fullmatch(text):
        raise place.wrong("is no date and no date with a time", accepted=BOUNDS)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise place.wrong(
            "is no day of the calendar or no time of a day", accepted=BOUNDS
        ) from error
    if moment.year not in YEARS:
        raise place.wrong("is out of reach", accepted=f"the years {YEARS[0]} to {YEARS[-1]}")
    if _DATE.fullmatch(text):
        return day_start(moment.date(), grid.zone)
    try:
        return local_instant(moment, grid.zone) if moment.tzinfo is None else to_instant(moment)
    except ValueError as error:
        raise place.wrong(f"is no single instant: {error}") from error


def _floored(place: Place, grid: Grid, now: int) -> int:
    if grid.granularity is Granularity.NONE:
        return now - now % MINUTE
    try:
        return grid.edges_around(now)[0]
    except ValueError as error:
        raise place.wrong(f"has no bucket: {error}") from error


def _check_slots(place: Place, grid: Grid, interval: Interval) -> None:
    """Refuse a range with a month that is no whole number of buckets."""
    try:
        for _ in grid.slots(interval):
            pass
    except ValueError as error:
        raise place.at("granularity").wrong(f"does not fit: {error}") from error


def _check_edge(place: Place, grid: Grid, at: int) -> None:
    before, after = grid.edges_around(at)
    if before != after:
        edges = (
            from_instant(edge).astimezone(ZoneInfo(grid.zone)).isoformat(timespec="minutes")
            for edge in (before, after)
        )
        raise place.wrong(
            f"lies inside a {grid.granularity.value} bucket", accepted=" or ".join(edges)
        )


_CHUNK = re.compile(r"P(?:([1-9]|[12][0-9]|3[01])D|1M|T(1|2|3|4|6|8|12|24)H)")


def chunk_length(place: Place, text: str) -> ChunkLength:
    """Read the length of a chunk; P1M is a whole slot."""
    match = _CHUNK.fullmatch(text)
    if match is None:
        raise place.wrong(
            "is no length of a chunk",
            accepted="P1D to P31D, P1M, or PTnH that divides a day: 1, 2, 3, 4, 6, 8, 12, 24",
        )
    days, hours = (int(part) if part else None for part in match.groups())
    return ChunkLength(days=days, hours=hours)
