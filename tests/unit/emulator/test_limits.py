"""The rate limit of one token."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asyncreport.emulator.limits import Token, Window

#: eighths of a second: sums of them are exact
_STEPS = st.lists(st.integers(0, 560).map(lambda eighths: eighths / 8), max_size=60)


def _times(steps: list[float]) -> list[float]:
    return [sum(steps[: n + 1]) for n in range(len(steps))]


@given(_STEPS, st.integers(1, 8))
def test_no_60_seconds_let_more_requests_through_than_allowed(
    steps: list[float], allowed: int
) -> None:
    window, passed = Window(), []
    for now in _times(steps):
        if not window.count(now, allowed).refused:
            passed.append(now)
            assert sum(now - then < 60 for then in passed) <= allowed


@given(_STEPS, st.integers(1, 8))
def test_a_request_after_the_reset_is_accepted(steps: list[float], allowed: int) -> None:
    window = Window()
    for now in _times(steps):
        verdict = window.count(now, allowed)
    if steps:
        assert 1 <= verdict.reset <= 60
        assert not window.count(now + verdict.reset, allowed).refused


def test_a_refused_request_counts_like_any_other() -> None:
    window = Window()
    for now in (0.0, 1.0, 2.0):
        window.count(now, 2)
    assert window.count(60.5, 2).refused
    assert not window.count(121.0, 2).refused


def test_the_headers_have_the_count_and_the_seconds_until_the_reset() -> None:
    window = Window()
    window.count(10.0, 300)
    assert window.count(20.5, 300).headers == {
        "inin-ratelimit-count": "2",
        "inin-ratelimit-allowed": "300",
        "inin-ratelimit-reset": "50",
    }


def test_a_token_does_not_show_its_text() -> None:
    assert "s3cret" not in repr(Token(1, "s3cret", "c", 0.0))
