"""docs/coming-from-a-requests-loop.md: the loop, the job and the comparison are run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.blocks import texts
from tests.emulator_process import Handle, emulator_process
from tests.exporting import PATIENCE, call, environ

pytestmark = pytest.mark.extra

PAGE = "coming-from-a-requests-loop.md"
(LOOP,) = texts(PAGE, "python", "The loop")
(COMPARE,) = texts(PAGE, "python", "Compare both")
(JOB,) = texts(PAGE, "yaml")
(PRINTED,) = texts(PAGE, "", "Compare both")

QUERY = "/aggregates/query"


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=40, seed=1, requests_per_minute=0) as handle:
        yield handle


def variables(emulator: Handle) -> dict[str, str]:
    return {
        "GENESYS_API_URL": emulator.url,
        "GENESYS_LOGIN_URL": emulator.url,
        "GENESYS_CLIENT_ID": emulator.client_id,
        "GENESYS_CLIENT_SECRET": emulator.client_secret,
    }


def script(name: str, text: str, folder: Path, **more: str) -> str:
    """Run a script of the page in a folder; give what it printed."""
    (folder / name).write_text(text)
    done = subprocess.run(
        [sys.executable, name],
        cwd=folder,
        env=environ(NO_PROXY="127.0.0.1", **more),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def compare(emulator: Handle, folder: Path) -> str:
    """Run the loop and the job, and compare them."""
    script("loop.py", LOOP, folder, **variables(emulator))
    (folder / "job.yaml").write_text(JOB)
    done = call("run", "job.yaml", cwd=folder, **variables(emulator))
    assert done.code == 0, done.err
    return script("compare.py", COMPARE, folder)


def test_both_are_equal_but_for_the_hour_that_the_page_names(
    emulator: Handle, tmp_path: Path
) -> None:
    assert compare(emulator, tmp_path) == PRINTED


FAULTS: list[dict[str, Any]] = [{"status": 503}, {"status": 401, "expire_tokens": True}]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_loop_loses_days_without_a_word_and_the_export_does_not(
    emulator: Handle, tmp_path: Path, fault: dict[str, Any]
) -> None:
    emulator.faults([{"match": {"path": QUERY, "nth": [3]}, "do": fault}])
    script("loop.py", LOOP, tmp_path, **variables(emulator))
    emulator.faults([{"match": {"path": QUERY, "nth": [1]}, "do": fault}])
    (tmp_path / "job.yaml").write_text(JOB)
    assert call("run", "job.yaml", cwd=tmp_path, **variables(emulator)).code == 0
    emulator.faults([])
    totals = script("compare.py", COMPARE, tmp_path).splitlines()[0].split(" ms in the ")
    calm = PRINTED.splitlines()[0].split(" ms in the ")
    assert totals[1] == calm[1]  # the export
    assert int(totals[0].replace(",", "")) < int(calm[0].replace(",", ""))
