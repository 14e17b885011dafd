"""Routing statuses: one at a time, without a gap, and consistent with the work."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncreport.core.timeline import DAY, parse_iso
from asyncreport.emulator.sessions import Session
from asyncreport.emulator.statuses import STATUSES, statuses
from asyncreport.emulator.work import Stretch, Workday
from asyncreport.emulator.world import Span, World

MONDAY = parse_iso("2023-10-02T00:00Z")
WORLD = World(40)
FORTNIGHT = (MONDAY, MONDAY + 14 * DAY)


def _session(*events: tuple[int, str, int | None], queue: str | None = "q") -> Session:
    return Session(
        conversation_id="c",
        user_id="u",
        queue_id=queue,
        media_type="voice",
        direction="inbound",
        division_id="d",
        events=tuple(events),
    )


def _call(response: int, end: int, queue: str | None = "q") -> Session:
    return _session((response, "tAlert", 1), (end, "tHandle", end - response), queue=queue)


def _statuses(
    *sessions: Session, on_duty: tuple[Stretch, ...] = (("IDLE", 0, 100),)
) -> list[Stretch]:
    return list(statuses(Workday(sessions, on_duty)))


def test_an_agent_on_queue_is_idle_or_interacting() -> None:
    assert _statuses(_call(10, 30)) == [("IDLE", 0, 10), ("INTERACTING", 10, 30), ("IDLE", 30, 100)]


def test_overlapping_interactions_are_one_stretch() -> None:
    assert _statuses(_call(10, 30), _call(20, 40), _call(40, 50)) == [
        ("IDLE", 0, 10),
        ("INTERACTING", 10, 50),
        ("IDLE", 50, 100),
    ]


def test_a_direct_call_is_communicating_unless_there_is_an_interaction() -> None:
    found = _statuses(_call(10, 40, queue=None), _call(20, 30))
    assert found == [
        ("IDLE", 0, 10),
        ("COMMUNICATING", 10, 20),
        ("INTERACTING", 20, 30),
        ("COMMUNICATING", 30, 40),
        ("IDLE", 40, 100),
    ]


def test_dialling_is_part_of_an_interaction() -> None:
    assert _statuses(
        _session((5, "nOutbound", None), (9, "nConnected", None), (60, "tHandle", 55))
    )[1] == ("INTERACTING", 5, 60)


def test_an_agent_does_not_respond_after_a_missed_alert() -> None:
    missed = _session((20, "tAlert", 15), (35, "tNotResponding", 15))
    assert _statuses(missed) == [("IDLE", 0, 20), ("NOT_RESPONDING", 20, 35), ("IDLE", 35, 100)]


def test_an_agent_is_off_queue_before_and_after_the_shift_and_in_the_meal_after_work_ends() -> None:
    on_duty = (
        ("OFF_QUEUE", 0, 10),
        ("IDLE", 10, 40),
        ("OFF_QUEUE", 40, 60),
        ("IDLE", 60, 90),
        ("OFF_QUEUE", 90, 100),
    )
    assert _statuses(_call(30, 45), on_duty=on_duty) == [
        ("OFF_QUEUE", 0, 10),
        ("IDLE", 10, 30),
        ("INTERACTING", 30, 45),
        ("OFF_QUEUE", 45, 60),
        ("IDLE", 60, 90),
        ("OFF_QUEUE", 90, 100),
    ]


def test_a_day_off_has_no_status() -> None:
    assert _statuses(on_duty=()) == []


@pytest.fixture(scope="module")
def spans() -> dict[str, list[Span]]:
    found: dict[str, list[Span]] = defaultdict(list)
    for span in WORLD.statuses(*FORTNIGHT):
        found[span.user_id].append(span)
    return found


def test_an_agent_has_one_status_at_a_time(spans: dict[str, list[Span]]) -> None:
    assert all(span.start < span.end for of in spans.values() for span in of)
    assert all(one.end <= next_.start for of in spans.values() for one, next_ in pairwise(of))


def test_every_status_occurs_and_some_days_have_off_queue_alone(
    spans: dict[str, list[Span]],
) -> None:
    assert {span.status for of in spans.values() for span in of} == set(STATUSES)
    days: dict[tuple[str, int], set[str]] = defaultdict(set)
    for of in spans.values():
        for span in of:
            days[span.user_id, span.start // DAY].add(span.status)
    assert {"OFF_QUEUE"} in days.values()


def test_handled_time_is_interacting_or_communicating(spans: dict[str, list[Span]]) -> None:
    """The union of an agent's handled calls is as long as these two statuses."""
    for user, of in spans.items():
        reported = sum(
            span.end - span.start for span in of if span.status in ("INTERACTING", "COMMUNICATING")
        )
        covered, until = 0, 0
        for start, end in sorted(_handlings(user)):
            covered += max(0, min(end, FORTNIGHT[1]) - max(start, until, FORTNIGHT[0]))
            until = max(until, end)
        assert reported == covered


def _handlings(user: str) -> list[tuple[int, int]]:
    """Compute from the emissions alone when an agent handled something."""
    found = []
    for session in WORLD.sessions(*FORTNIGHT, [user]):
        values = {metric: (at, value) for at, metric, value in session.events}
        if "tHandle" in values:
            end, handle = values["tHandle"]
            found.append((end - (handle or 0), end))
    return found


def test_not_responding_is_never_longer_than_its_metric(
    spans: dict[str, list[Span]],
) -> None:
    reported: Counter[str] = Counter()
    for of in spans.values():
        for span in of:
            reported[span.user_id] += (span.end - span.start) * (span.status == "NOT_RESPONDING")
    emitted: Counter[str] = Counter()
    for emission in WORLD.truth(*FORTNIGHT):
        if emission.metric == "tNotResponding":
            emitted[emission.user_id or ""] += emission.value or 0
    assert sum(reported.values()) > 0
    assert all(
        reported[user] <= emitted[user] for user in reported
    )  # an interaction beside it takes over
    assert sum(reported.values()) > 0.5 * sum(emitted.values())


@given(st.lists(st.integers(0, 3 * DAY), min_size=1, max_size=6))
@settings(max_examples=15, deadline=None)
def test_parts_of_an_interval_add_up_to_the_same_time_in_each_status(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), 3 * DAY]
    pieces: Counter[tuple[str, str]] = Counter()
    for low, high in pairwise(edges):
        if low < high:
            pieces.update(_times(list(WORLD.statuses(MONDAY + low, MONDAY + high))))
    assert pieces == _times(list(WORLD.statuses(MONDAY, MONDAY + 3 * DAY)))


def _times(spans: list[Span]) -> Counter[tuple[str, str]]:
    times: Counter[tuple[str, str]] = Counter()
    for span in spans:
        times[span.user_id, span.status] += span.end - span.start
    return times


def test_a_user_has_the_same_statuses_in_a_larger_organisation(
    spans: dict[str, list[Span]],
) -> None:
    user = WORLD.people[9].id
    assert list(World(60).statuses(*FORTNIGHT, [user, user, "nobody"])) == spans[user]
