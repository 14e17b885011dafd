"""The one writer to standard error."""

from __future__ import annotations

import logging
import sys

import pytest

from asyncreport.terminal.stderr import TextLines, say


def test_a_line_has_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    say("a\x1b[2J name\nerror: forged")
    assert capsys.readouterr() == ("", "a [2J name error: forged\n")


def test_a_closed_stderr_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    say("nobody reads this")


def test_a_log_record_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    handler = TextLines()
    handler.emit(logging.LogRecord("x", logging.INFO, "x.py", 1, "%s\r failed", ("it",), None))
    assert capsys.readouterr().err == "it  failed\n"
