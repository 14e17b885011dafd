"""The names that Python programs import."""

from __future__ import annotations

import inspect

import pytest

import asyncreport


def test_every_public_name_exists() -> None:
    for name in asyncreport.__all__:
        assert getattr(asyncreport, name).__doc__


def test_run_takes_a_job_and_its_start() -> None:
    names = list(inspect.signature(asyncreport.run).parameters)
    assert names == ["job", "now", "say", "watch", "choices", "shared"]


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = asyncreport.nothing
