"""A date that is written as in some country gets a suggestion, unless it may be two dates."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncreport.config.similar_dates import similar_date


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1.3.2024", "2024-03-01"),
        ("01.03.2024", "2024-03-01"),
        ("13/1/2024", "2024-01-13"),
        ("1/13/2024", "2024-01-13"),
        ("13-01-2024", "2024-01-13"),
        ("2024/1/3", "2024-01-03"),
        ("2024-1-3", "2024-01-03"),
        ("2024.01.03", "2024-01-03"),
        ("20240103", "2024-01-03"),
        ("5/5/2024", "2024-05-05"),
        ("30", "today-P30D"),
        ("007", "today-P7D"),
        ("last 30 days", "today-P30D"),
        ("90d", "today-P90D"),
        ("1 day ago", "today-P1D"),
        ("0/3/2024", ""),
        ("2024", ""),
        ("30 weeks", ""),
        ("30.2.2024", ""),
        ("1.3.24", ""),
        ("1.3-2024", ""),
        ("1.3.2024 10:00", ""),
        ("0.0.0000", ""),
        ("soon", ""),
    ],
)
def test_the_date_that_is_meant(text: str, meant: str) -> None:
    assert similar_date(text) == (meant and f" (did you mean '{meant}'?)")


@pytest.mark.parametrize("text", ["1/3/2024", "01-03-2024"])
def test_both_days_are_named_if_europe_and_the_united_states_differ(text: str) -> None:
    assert similar_date(text) == " (did you mean 2024-03-01 or 2024-01-03?)"


@settings(deadline=None)
@given(st.dates(), st.sampled_from(["{:%d.%m.%Y}", "{:%Y/%m/%d}", "{:%m/%d/%Y}", "{:%d/%m/%Y}"]))
def test_a_suggestion_is_the_date_or_nothing(day: date, form: str) -> None:
    assert str(day) in similar_date(form.format(day)) or similar_date(form.format(day)) == ""


@settings(deadline=None)
@given(st.text("0123456789./-", max_size=12))
def test_any_text_is_no_error(text: str) -> None:
    assert similar_date(text) == "" or similar_date(text).startswith(" (did you mean ")
