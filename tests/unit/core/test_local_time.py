"""Instants in messages: in the zone of the job, and always the same instant."""

from __future__ import annotations

import re
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreport.core.local_time import localized
from asyncreport.core.timeline import iso, parse_iso

DUBLIN = ZoneInfo("Europe/Dublin")
ZONES = ["UTC", "Europe/Dublin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "covers 2023-09-30T23:00:00.000Z/2024-01-01T00:00:00.000Z, 2 users",
            "covers 2023-10-01T00:00+01:00/2024-01-01T00:00+00:00, 2 users",
        ),
        ("now is 2024-07-01T09:37:40.224Z, so", "now is 2024-07-01T10:37:40+01:00, so"),
        # Both readings of an hour that the clocks repeat.
        ("2023-10-29T00:30:00.000Z", "2023-10-29T01:30+01:00"),
        ("2023-10-29T01:30:00.000Z", "2023-10-29T01:30+00:00"),
        ("(2023-10-01T00:00:00.000Z)", "(2023-10-01T01:00+01:00)"),
    ],
)
def test_instants_and_intervals_are_written_in_local_time(text: str, expected: str) -> None:
    assert localized(text, DUBLIN) == expected


@pytest.mark.parametrize(
    "text",
    [
        'sent: POST /x {"interval":"2023-10-01T00:00:00.000Z/2023-10-02T00:00:00.000Z"}',
        "the server says '2023-10-01T00:00:00.000Z/2023-10-02T00:00:00.000Z'",
        "exports/2023-10-01T00:00:00.000Z.jsonl",
        "2023-13-01T00:00:00.000Z",
        "0001-01-01T00:00:00Z in a zone west of Greenwich",
        "2023-10-01",
    ],
)
def test_what_was_sent_and_what_is_not_an_instant_stays(text: str) -> None:
    assert localized(text, ZoneInfo("America/St_Johns")) == text


def test_utc_keeps_its_letter() -> None:
    assert localized("2023-10-01T00:00:00.000Z", ZoneInfo("UTC")) == "2023-10-01T00:00Z"


@given(st.integers(0, 4_000_000_000), st.sampled_from(ZONES))
def test_the_instant_stays_the_same(second: int, zone: str) -> None:
    text = localized(f"at {iso(second * 1000)}", ZoneInfo(zone))
    assert parse_iso(text.removeprefix("at ")) == second * 1000


@given(st.text(), st.sampled_from(ZONES))
def test_any_text_can_be_localized(text: str, zone: str) -> None:
    instants = re.findall(r"\d{4}-\d\d-\d\dT\d\d:\d\d", localized(text, ZoneInfo(zone)))
    assert all(datetime.fromisoformat(each) for each in instants)
