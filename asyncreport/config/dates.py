"""The range of a job: its bounds in its time zone, its buckets, the length of its chunks.

Pure, except that it loads time zones.
"""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

from asyncreport.config.moments import NAMES, Moment
from asyncreport.config.schema import GRANULARITIES, RangeFile
from asyncreport.config.similar_dates import similar_date
from asyncreport.config.validate import Place, did_you_mean
from asyncreport.config.yaml import Node
from asyncreport.config.zones import load_zone, zone_names
from asyncreport.core.durations import parse_duration
from asyncreport.core.job import ChunkLength, Job
from asyncreport.core.local_time import (
    day_start,
    from_instant,
    local_instant,
    to_instant,
)
from asyncreport.core.timeline import DAY, MINUTE, Granularity, Grid, Interval

#: years that a range may touch: earlier UTC offsets were not always whole minutes
YEARS = range(2000, 2101)

BOUNDS = f"2023-01-01, 2023-01-01T09:30, 2023-01-01T09:30+01:00, {', '.join(NAMES)}, today-P35D"
_EXCLUSIVE = "; the end is not part of the range"


def resolve_range(
    place: Place,
    given: RangeFile,
    now: int,
) -> tuple[Interval, Grid]:
    """Resolve the section `range` to an interval on the edges of a grid; `now` is an instant.

    Relative bounds are rounded down to an edge: `rounded_bounds` says so.
    """
    zone = _zone(place.at("time_zone"), given.time_zone)
    granularity = _granularity(place.at("granularity"), given.granularity)
    grid = Grid(granularity, zone)
    interval = _interval(
        place,
        given.start,
        given.end,
        grid,
        now,
    )
    if granularity is Granularity.NONE:
        return interval, Grid(Granularity.NONE, zone, interval)
    _check_buckets(place, grid, interval)
    return interval, grid


def refresh_interval(
    text: str | None,
    job: Job,
    now: int,
) -> Interval | None:
    """Read `--refresh START/END` and cut it to the job's range; raise ConfigError.

    None: the option is not given.
    """
    if text is None:
        return None
    whole = Place.of(_option(text))
    start, slash, end = text.partition("/")
    if not slash:
        accepted = "2024-01-01/2024-01-08, yesterday/today"
        raise whole.must("be START/END", accepted=accepted)
    bounds = _refresh_bounds(start, end)
    interval = _interval(
        bounds,
        start,
        end,
        job.query.grid,
        now,
    )
    if not interval.overlaps(job.interval):
        raise whole.must("overlap the range of the job", f"; the range is {job.interval}")
    return interval.intersection(job.interval)


def _refresh_bounds(start: str, end: str) -> Place:
    """Give the two bounds the shape of the section `range`."""
    bounds = {"start": _option(start), "end": _option(end)}
    return Place.of(Node("--refresh", bounds))


def _option(text: str) -> Node:
    """Make the node of the option's value."""
    return Node("--refresh", text, text)


def _interval(
    place: Place,
    start: str,
    end: str,
    grid: Grid,
    now: int,
) -> Interval:
    """Read the keys `start` and `end` of a place."""
    first = _bound(place.at("start"), start, grid, now)
    last = _bound(place.at("end"), end, grid, now)
    if last <= first:
        rule = f"be after {_described(place.at('start'))}"
        raise place.at("end").must(rule, _EXCLUSIVE + _rounding(end, last, grid))
    return Interval(first, last)


def _described(start: Place) -> str:
    """Name the start of a range, with its line and its value."""
    where = start.where.rpartition(":")[2]
    if start.node is None or not where.isdecimal():
        return start.key
    return f"{start.key} (line {where}: {start.shown_value()})"


def _rounding(text: str, at: int, grid: Grid) -> str:
    """Say, behind a mistake, that a relative bound was rounded."""
    if Moment.read(text) is None or grid.granularity is Granularity.NONE:
        return ""
    return f"; it is rounded down to whole {grid.granularity.value} buckets: {_local(at, grid)}"


def rounded_bounds(given: RangeFile, interval: Interval, grid: Grid, now: int) -> list[str]:
    """Say which relative bounds of a range were rounded down to the edge of a bucket.

    Not about `now`: everybody expects that the bucket of this moment is not complete.
    """
    notes = []
    for key, text, at in (("start", given.start, interval.start), ("end", given.end, interval.end)):
        moment = Moment.read(text)
        if moment is not None and moment.name != "now" and moment.at(now, grid.zone) != at:
            notes.append(
                f"range.{key}: {text} is rounded down to {_local(at, grid)}, "
                f"so that all {grid.granularity.value} buckets are whole"
            )
    return notes


def left_behind(given: RangeFile, interval: Interval) -> Interval | None:
    """Give the interval whose parts a moving range no longer needs; None: the range is fixed.

    It ends one length of the range before the range: somebody may make the range longer. It is a
    week longer than the range, so that no part is left when the job does not run at the weekend,
    or when months differ in length. Older parts stay. They are there because the range was fixed
    before, or because the clock was wrong for one run, and a year of parts takes long to fetch
    again.
    """
    if Moment.read(given.start) is None:
        return None
    length = interval.end - interval.start
    return Interval(interval.start - 2 * length - 7 * DAY, interval.start - length)


def _zone(place: Place, name: str) -> ZoneInfo:
    """Load a time zone; its name is case-sensitive."""
    if name not in zone_names():
        raise place.must(
            "be an IANA time zone",
            _zone_of_city(name) or did_you_mean(name, _similar_zones(name)),
            accepted="UTC, or names such as Europe/Dublin",
        )
    return load_zone(name)


def _zone_of_city(name: str) -> str:
    """Suggest the zone that ends with the name of a city: `Berlin`, `new york`, `Rome time`."""
    if _has_digit(name):
        return ""
    words = name.strip().casefold().removesuffix(" time")
    city = "/" + words.replace(" ", "_")
    zones = sorted(zone for zone in zone_names() if zone.casefold().endswith(city))
    if not zones:
        return ""
    return f" (did you mean {zones[0]!r}?)"


def _similar_zones(name: str) -> list[str]:
    """List the zones that a wrong name may mean."""
    # A digit means an offset, and the zone with the nearest name has another offset.
    if _has_digit(name):
        return []
    letter = name[:1].upper()
    return [zone for zone in zone_names() if zone[:1] == letter and not _has_digit(zone)]


def _has_digit(text: str) -> bool:
    """Tell whether a text has a digit."""
    return re.search(r"\d", text) is not None


def _granularity(place: Place, text: str) -> Granularity:
    """Read a granularity; raise ConfigError."""
    if text not in GRANULARITIES:
        accepted = ", ".join(GRANULARITIES)
        raise place.must(
            "be a granularity",
            _similar_granularity(text),
            accepted=accepted,
        )
    return Granularity(text)


_UNITS = {
    "m": "PT{}M",
    "h": "PT{}H",
    "d": "P{}D",
    "w": "P{}W",
}
_SHORT_LENGTH = re.compile(r"(\d{1,2}) ?([mhdw])[a-z]*", re.ASCII)


def _similar_granularity(text: str) -> str:
    """Suggest the granularity that other tools write as `1h` or `30min`, or in other case."""
    for known in GRANULARITIES:
        if known.casefold() == text.casefold():
            return f" (did you mean {known!r}?)"
    match = _SHORT_LENGTH.fullmatch(text.lower())
    if match is None:
        return ""
    number, unit = match.groups()
    spelled = _UNITS[unit].format(number)
    if spelled not in GRANULARITIES:
        return ""
    return f" (did you mean {spelled!r}?)"


_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DATE_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{3})?)?(Z|[+-]\d{2}:\d{2})?",
    re.ASCII,
)


def _bound(
    place: Place,
    text: str,
    grid: Grid,
    now: int,
) -> int:
    """Read the start or the end of a range as an instant."""
    relative = Moment.read(text)
    if relative is not None:
        return _last_edge(place, grid, _moment_at(place, relative, grid.zone, now))
    moment = _moment(place, text)
    if _DATE.fullmatch(text):
        return day_start(moment.date(), grid.zone)
    return _instant(place, moment, grid.zone)


def _moment_at(place: Place, relative: Moment, zone: ZoneInfo, now: int) -> int:
    """Give the instant of a relative bound; raise ConfigError for a year that is not supported."""
    try:
        at = relative.at(now, zone)
        year = from_instant(at).year
    except (ValueError, OverflowError):
        # No calendar has the year.
        year = 0
    _check_year(place, year)
    return at


def _instant(
    place: Place,
    moment: datetime,
    zone: ZoneInfo,
) -> int:
    """Convert a date-time; without an offset it is a local time of the zone."""
    if moment.tzinfo is not None:
        return to_instant(moment)
    try:
        return local_instant(moment, zone)
    except ValueError as error:
        raise place.must("be one instant", f"; {error}") from error


def _moment(place: Place, text: str) -> datetime:
    """Read a date or a date-time; it has a time zone only if the text has an offset."""
    if not _has_known_form(text):
        name = text.strip().lower().replace(" ", "_")
        suggestion = similar_date(text) or did_you_mean(name, NAMES)
        raise place.must("be a date or a date-time", suggestion, accepted=BOUNDS)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise place.must("be an existing date or date-time", accepted=BOUNDS) from error
    _check_year(place, moment.year)
    return moment


def _has_known_form(text: str) -> bool:
    """Tell whether a text is written like a date or a date-time."""
    # datetime.fromisoformat also reads 20230101 and 2023-W01-1.
    return any(form.fullmatch(text) for form in (_DATE, _DATE_TIME))


def _check_year(place: Place, year: int) -> None:
    """Raise ConfigError for a year that is not supported."""
    if year not in YEARS:
        raise place.must(f"be in the years {YEARS[0]} to {YEARS[-1]}")


def _last_edge(
    place: Place,
    grid: Grid,
    at: int,
) -> int:
    """Give the last bucket edge at or before an instant; its minute, if there is one bucket."""
    if grid.granularity is Granularity.NONE:
        return at - at % MINUTE
    try:
        before, _ = grid.edges_around(at)
    except ValueError as error:
        raise place.must("be in a bucket", f"; {error}") from error
    return before


def _check_buckets(
    place: Place,
    grid: Grid,
    interval: Interval,
) -> None:
    """Refuse an interval that is not made of whole buckets."""
    _check_months(place.at("granularity"), grid, interval)
    _check_edge(place.at("start"), grid, interval.start)
    _check_edge(place.at("end"), grid, interval.end)


def _check_months(
    place: Place,
    grid: Grid,
    interval: Interval,
) -> None:
    """Refuse a range with a month that is not a whole number of buckets."""
    try:
        for _ in grid.slots(interval):
            pass
    except ValueError as error:
        raise place.must("divide each month", f"; {error}") from error


def _check_edge(
    place: Place,
    grid: Grid,
    at: int,
) -> None:
    """Refuse an instant inside a bucket; name the edges around it."""
    before, after = grid.edges_around(at)
    if before == after:
        return
    raise place.must(
        f"be on the edge of a {grid.granularity.value} bucket",
        accepted=f"{_local(before, grid)} or {_local(after, grid)}",
    )


def _local(at: int, grid: Grid) -> str:
    """Write an instant in local time with its offset: `2023-01-01T09:30+01:00`."""
    local = from_instant(at).astimezone(grid.zone)
    return local.isoformat(timespec="minutes")


_CHUNK = re.compile(r"P(?:(?P<days>[1-9]|[12][0-9]|3[01])D|1M|T(?P<hours>1|2|3|4|6|8|12|24)H)")
_CHUNKS = "P1D to P31D, P1M, or PTnH where n divides a day: 1, 2, 3, 4, 6, 8, 12, 24"


def chunk_length(place: Place, text: str) -> ChunkLength:
    """Read the length of a chunk; P1M is a whole month."""
    match = _CHUNK.fullmatch(text)
    if match is None:
        raise place.must("be a chunk length", accepted=_CHUNKS)
    units = match.groupdict()
    lengths = {unit: int(number) for unit, number in units.items() if number}
    return ChunkLength(**lengths)


def parse_ms(place: Place, text: str) -> int:
    """Read an ISO 8601 duration into ms."""
    try:
        return parse_duration(text)
    except ValueError:  # without a cause: it would show the value of a ${VARIABLE}
        accepted = "durations such as PT30S, PT15M, PT12H, P4D"
        raise place.must("be an ISO 8601 duration", accepted=accepted) from None
