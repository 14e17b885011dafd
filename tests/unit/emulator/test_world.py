"""The emulated organisation and its work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncreport.core.timeline import DAY, parse_iso
from asyncreport.emulator.world import Emission, World

MONDAY = parse_iso("2023-10-02T00:00Z")
WORLD = World(40)


def _bag(emissions: Iterable[Emission]) -> Counter[Emission]:
    return Counter(emissions)


@pytest.fixture(scope="module")
def month() -> list[Emission]:
    return list(WORLD.truth(MONDAY, MONDAY + 28 * DAY))


def test_an_agent_is_the_same_in_an_organisation_of_any_size() -> None:
    small, large = World(15), World(60)
    assert small.people == large.people[:15]
    users = [person.id for person in small.people]
    assert _bag(small.emissions(MONDAY, MONDAY + DAY, users)) == _bag(
        large.emissions(MONDAY, MONDAY + DAY, users)
    )


def test_another_seed_is_another_organisation() -> None:
    assert not {person.id for person in World(10, seed=1).people} & {
        person.id for person in World(10, seed=2).people
    }


def test_ids_look_like_lower_case_uuids_and_are_distinct() -> None:
    ids = [person.id for person in World(1000).people]
    assert len(set(ids)) == 1000
    assert all(len(text) == 36 and text == text.lower() and text[14] == "4" for text in ids)


def test_the_first_forty_include_every_kind_of_person() -> None:
    states = Counter(person.state for person in WORLD.people)
    assert (states["deleted"], states["inactive"]) == (1, 3)
    names = Counter(person.name for person in WORLD.people)
    assert names["Mary O'Brien"] == 2
    assert any('"' in name for name in names)
    assert any(not name.isascii() for name in names)
    assert any(person.by_night for person in WORLD.people)


@given(st.lists(st.integers(0, 2 * DAY), min_size=1, max_size=6))
@settings(max_examples=15, deadline=None)
def test_parts_of_an_interval_add_up_to_the_whole(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), 2 * DAY]
    pieces = [
        WORLD.emissions(MONDAY + low, MONDAY + high) for low, high in pairwise(edges) if low < high
    ]
    assert sum(map(_bag, pieces), Counter()) == _bag(WORLD.emissions(MONDAY, MONDAY + 2 * DAY))


def test_all_users_and_nobody_add_up_to_everything() -> None:
    span = (MONDAY, MONDAY + 2 * DAY)
    everything = _bag(WORLD.emissions(*span))
    by_user = sum(
        (_bag(WORLD.emissions(*span, users=[person.id])) for person in WORLD.people), Counter()
    )
    nobody = Counter(
        {emission: n for emission, n in everything.items() if emission.user_id is None}
    )
    assert by_user + nobody == everything


def test_a_user_who_is_named_twice_counts_once() -> None:
    user = WORLD.people[0].id
    span = (MONDAY, MONDAY + DAY)
    assert _bag(WORLD.emissions(*span, users=[user, user, "nobody"])) == _bag(
        WORLD.emissions(*span, users=[user])
    )


def test_a_new_world_has_the_same_work_as_one_that_was_read_before() -> None:
    assert _bag(World(40).emissions(MONDAY, MONDAY + DAY)) == _bag(
        WORLD.emissions(MONDAY, MONDAY + DAY)
    )


def test_emissions_lie_inside_the_interval(month: list[Emission]) -> None:
    assert all(MONDAY <= emission.at < MONDAY + 28 * DAY for emission in month)


def test_handle_is_talk_hold_wrap_up_dialling_and_contacting() -> None:
    handled = 0
    for session in WORLD.sessions(MONDAY, MONDAY + 14 * DAY):
        metrics: Counter[str] = Counter()
        for _, name, value in session.events:
            metrics[name] += value or 0
        parts = ("tTalkComplete", "tHeldComplete", "tAcw", "tDialing", "tContacting")
        assert metrics["tHandle"] == sum(metrics[name] for name in parts)
        assert (metrics["tTalk"], metrics["tHeld"]) == (
            metrics["tTalkComplete"],
            metrics["tHeldComplete"],
        )
        handled += metrics["tHandle"] > 0
    assert handled > 1000


def test_some_components_are_emitted_before_their_handle(month: list[Emission]) -> None:
    handled = {
        emission.conversation_id: emission.at for emission in month if emission.metric == "tHandle"
    }
    talks = [
        (emission.at, handled.get(emission.conversation_id))
        for emission in month
        if emission.metric == "tTalkComplete"
    ]
    assert any(at == end for at, end in talks)
    assert any(end is not None and at < end for at, end in talks)
    assert any(end is not None and at // 1_800_000 < end // 1_800_000 for at, end in talks)


def test_the_month_includes_the_cases_that_exporters_get_wrong(month: list[Emission]) -> None:
    counts = Counter(emission.metric for emission in month)
    assert counts["tTalk"] > counts["tTalkComplete"]
    assert counts["tHandle"] > counts["tTalkComplete"] > counts["tAnswered"]
    assert {emission.media_type for emission in month} == {
        "voice",
        "message",
        "email",
        "callback",
        "chat",
    }
    assert {emission.direction for emission in month} == {"inbound", "outbound"}
    assert any(emission.user_id is None and emission.metric == "tAbandon" for emission in month)
    assert any(emission.user_id is not None and emission.queue_id is None for emission in month)
    assert not any(emission.user_id is None and emission.metric == "tHandle" for emission in month)
    assert all((emission.value is None) == emission.metric.startswith("n") for emission in month)


def test_a_working_day_has_a_plausible_number_of_sessions(month: list[Emission]) -> None:
    days = Counter(
        (emission.user_id, emission.at // DAY)
        for emission in month
        if emission.metric == "tHandle" and emission.user_id
    )
    usual = sorted(days.values())[len(days) // 2]
    assert 15 <= usual <= 45
    assert max(days.values()) <= 70


def test_agents_work_only_between_their_first_and_last_day() -> None:
    leaver = next(person for person in WORLD.people if person.state == "deleted")
    assert leaver.left is not None
    night = DAY if leaver.by_night else 0
    assert list(WORLD.emissions((leaver.left - 30) * DAY, leaver.left * DAY, [leaver.id]))
    assert not list(
        WORLD.emissions(leaver.left * DAY + night, (leaver.left + 30) * DAY, [leaver.id])
    )
    joiner = WORLD.people[4]
    assert not list(WORLD.emissions((joiner.joined - 60) * DAY, joiner.joined * DAY, [joiner.id]))
    assert list(WORLD.emissions(joiner.joined * DAY, (joiner.joined + 30) * DAY, [joiner.id]))


def test_shifts_follow_the_local_clock_over_a_clock_change() -> None:
    """Dublin sets its clocks back on 2023-10-29; then a shift begins an hour later in UTC."""
    agent = next(
        person
        for person in WORLD.people
        if person.state == "active" and person.shift == 9 and 0 in person.weekdays
    )

    def begins(day: int) -> set[int]:
        weeks = [day + 7 * DAY * n for n in range(4)]
        firsts = [
            min(
                (
                    emission.at
                    for emission in WORLD.emissions(at, at + DAY, [agent.id])
                    if emission.metric == "tAlert"
                ),
                default=0,
            )
            for at in weeks
        ]
        return {first % DAY // 3_600_000 for first in firsts if first}

    assert begins(MONDAY) == {8}
    assert begins(MONDAY + 28 * DAY) == {9}


def test_the_month_includes_all_other_metrics_that_can_be_exported(month: list[Emission]) -> None:
    counts = Counter(emission.metric for emission in month)
    expected = {
        "nOffered",
        "nConnected",
        "nTransferred",
        "nBlindTransferred",
        "nConsult",
        "nConsultTransferred",
        "nOverSla",
    }
    expected |= {"nOutbound", "nOutboundAttempted", "nOutboundConnected"}
    expected |= {
        "tAnswered",
        "tAbandon",
        "tAcd",
        "tWait",
        "tAlert",
        "tNotResponding",
        "tContacting",
        "tDialing",
    }
    assert expected <= counts.keys()
    assert counts["nTransferred"] == counts["nBlindTransferred"] + counts["nConsultTransferred"]
    waited = sum(emission.value or 0 for emission in month if emission.metric == "tWait")
    assert waited >= sum(
        emission.value or 0 for emission in month if emission.metric in ("tAnswered", "tAbandon")
    )
    late = [
        emission
        for emission in month
        if emission.metric == "tWait" and emission.user_id and (emission.value or 0) > 20_000
    ]
    assert len(late) == counts["nOverSla"]
