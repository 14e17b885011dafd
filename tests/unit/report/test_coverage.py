"""What is missing: counted minute by minute, whatever the parts."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from asyncreport.config.zones import load_zone
from asyncreport.core.job import Part, Team
from asyncreport.core.timeline import DAY, HOUR, Interval, parse_iso
from asyncreport.report.coverage import Missing, missing_of
from tests.unit.store.facts import START, hours

SPAN = hours(0, 48)
USERS = ("a", "b", "c")


def part(first: int, end: int, users: tuple[str, ...] | None) -> Part:
    return Part(
        connection="default",
        number=1,
        fingerprint="",
        month="2023-01",
        interval=hours(first, end),
        users=users,
        fetched_at=START + 1000 * HOUR,
        count=0,
        size=0,
        index_at=0,
        sha256="",
    )


spans = st.tuples(st.integers(0, 47), st.integers(1, 20)).map(lambda pair: (pair[0], sum(pair)))
parts = st.lists(
    st.tuples(spans, st.sets(st.sampled_from(USERS), min_size=1)).map(
        lambda found: part(*found[0], tuple(sorted(found[1])))
    ),
    max_size=8,
)


@given(parts, spans)
def test_the_share_counts_each_hour_of_each_member(
    found: list[Part], step: tuple[int, int]
) -> None:
    team = Team(name="t", connection="default", users=USERS)
    missing = missing_of(team, SPAN, found)
    interval = hours(step[0], min(step[1], 48))

    def lacks(user: str, hour: int) -> bool:
        at = START + hour * HOUR
        return not any(
            user in (each.users or ()) and each.interval.start <= at < each.interval.end
            for each in found
        )

    inside = range(step[0], min(step[1], 48))
    lacking = sum(lacks(*pair) for pair in product(USERS, inside))
    assert round(missing.share(interval) * len(USERS) * len(inside), 6) == lacking
    assert missing.users == {user for user in USERS if any(lacks(user, h) for h in range(48))}


def test_of_everyone_only_parts_of_everyone_count() -> None:
    team = Team(name="t", connection="default", everyone=True)
    missing = missing_of(team, SPAN, [part(0, 12, None), part(0, 48, USERS)])
    assert missing.share(SPAN) == 0.75
    assert missing.users == {None}


def test_teams_are_joined_by_their_members() -> None:
    one = missing_of(Team(name="t", connection="default", users=("a",)), SPAN, [])
    rest = Team(name="u", connection="default", users=("b", "c", "d"))
    other = missing_of(rest, SPAN, [part(0, 48, ("b", "c", "d"))])
    assert (one + other).share(SPAN) == 0.25
    assert Missing().share(SPAN) == 0


@given(
    st.integers(0, 60 * 24 * 9), st.integers(1, 60 * 30), st.sampled_from(["UTC", "Asia/Kolkata"])
)
def test_an_hour_of_the_week_is_missing_if_a_minute_of_it_is(
    first: int, minutes: int, name: str
) -> None:
    zone = load_zone(name)
    start = parse_iso("2023-01-01T00:00Z") + first * 60_000
    missing = Missing(members=1)
    missing.spans[Interval(start, start + minutes * 60_000)] += 1
    offset = parse_iso("1970-01-01T00:00Z") + (330 * 60_000 if name != "UTC" else 0)
    expected = set()
    for minute in range(minutes):
        local = start + offset + minute * 60_000
        # 1 January 1970 was a Thursday.
        expected.add(((local // DAY + 3) % 7 + 1, local % DAY // HOUR))
    assert missing.week_hours(zone) == expected
