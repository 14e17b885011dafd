"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.object_servers import STORAGES, Storage


@pytest.fixture(autouse=True, scope="session")
def no_syncs() -> Iterator[None]:
    """Let no write of this process wait for the disk; `tests.template` does it for the forked ones.

    Tests of the store spend half of their time there. That each sync is where it must be is proved
    by a model of a disk (`test_crash.py`), and a process that is killed loses no write, synced or
    not. Processes that are not forked sync as they do everywhere.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(scope="module", params=STORAGES)
def storage(request: pytest.FixtureRequest) -> Iterator[Storage]:
    """Start each of the storages that speak S3."""
    with STORAGES[request.param]() as found:
        yield found
