"""The names that Python programs import."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest

import asyncreport
from asyncreport.core import errors
from tests.blocks import ROOT

CHANGELOG = (ROOT / "docs" / "CHANGELOG.md").read_text()


def test_the_version_is_the_newest_one_of_the_changelog() -> None:
    newest, *_ = re.findall(r"^## (\S+), \d{4}-\d\d-\d\d$", CHANGELOG, re.MULTILINE)
    assert newest == asyncreport.__version__


def test_every_public_name_exists() -> None:
    for name in asyncreport.__all__:
        assert getattr(asyncreport, name).__doc__


@pytest.mark.parametrize("name", ["run", "plan", "check", "verify", "status"])
def test_each_command_is_a_function_and_a_coroutine_of_the_same_signature(name: str) -> None:
    function, coroutine = getattr(asyncreport, name), getattr(asyncreport, f"{name}_async")
    assert inspect.signature(function) == inspect.signature(coroutine)
    assert inspect.iscoroutinefunction(coroutine)


def test_all_errors_are_public() -> None:
    found = inspect.getmembers(errors, inspect.isclass)
    ours = {name for name, kind in found if issubclass(kind, asyncreport.AsyncReportError)}
    assert ours <= set(asyncreport.__all__)


def test_notebooks_can_complete_every_public_name() -> None:
    assert set(asyncreport.__all__) <= set(dir(asyncreport))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = asyncreport.nothing


def test_only_the_command_line_changes_how_often_python_looks_for_cycles() -> None:
    """The process of a program that uses the package is its own."""
    used = "import asyncreport, asyncreport.export.run"
    ran = "import atexit, gc, sys; from asyncreport.cli import main; sys.argv = ['a', '--version']"
    show = "print(gc.get_threshold()[0])"
    default = _printed(f"import gc; {show}")
    assert _printed(f"import gc; {used}; {show}") == default
    assert _printed(f"{ran}; atexit.register(lambda: {show}); main()") != default


def _printed(code: str) -> str:
    """Run code in a process of its own; give the last line that it prints."""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]
