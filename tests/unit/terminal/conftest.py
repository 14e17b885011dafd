"""Every test of the terminal writes messages as the command line does."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from asyncreport.terminal.stderr import show_messages


@pytest.fixture(autouse=True)
def messages() -> Iterator[None]:
    logger = logging.getLogger("asyncreport")
    before = logger.level, logger.handlers
    show_messages()
    yield
    logger.level, logger.handlers = before
