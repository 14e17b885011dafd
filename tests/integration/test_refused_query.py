"""A query that is refused without a reason: the messages say where to look."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.emulator_process import Handle, emulator_process
from tests.exporting import call, write_job

REFUSAL = {"status": 400, "code": "bad.request", "message": "Bad Request"}
METRICS = ["nTransferred", "tAbandon", "nOffered"]
DAY = {"start": "2024-01-15", "end": "2024-01-16"}
ALONE = "metric {}, alone: "


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    with emulator_process(agents=4, seed=3, requests_per_minute=0) as handle:
        yield handle


def check(tmp_path: Path, emulator: Handle, refused: str, **job: Any) -> tuple[int, str]:
    """Check a job while the server refuses each query that has a word in its body."""
    emulator.faults(
        [{"match": {"path": "conversations/aggregates", "body": refused}, "do": REFUSAL}]
    )
    try:
        result = call("check", str(write_job(tmp_path, emulator, range=DAY, **job)), cwd=tmp_path)
    finally:
        emulator.faults([])
    return result.code, result.out


def test_check_names_the_metric_that_the_server_refuses(emulator: Handle, tmp_path: Path) -> None:
    code, out = check(tmp_path, emulator, "tAbandon", metrics=METRICS, split_by=["queue_id"])
    assert code == 4
    assert "400 bad.request: Bad Request; the server does not say what is wrong;" in out
    assert "metrics (nTransferred, tAbandon, nOffered), split_by (queue_id)" in out
    assert [metric for metric in METRICS if ALONE.format(metric) in out] == ["tAbandon"]


def test_check_blames_no_metric_if_the_query_is_refused_without_metrics_too(
    emulator: Handle, tmp_path: Path
) -> None:
    code, out = check(tmp_path, emulator, "queueId", metrics=METRICS, split_by=["queue_id"])
    assert code == 4
    assert not [metric for metric in METRICS if ALONE.format(metric) in out]


def test_check_asks_metric_by_metric_only_after_a_refusal(emulator: Handle, tmp_path: Path) -> None:
    since = len(emulator.log())
    code, _ = check(tmp_path, emulator, "no such word", metrics=METRICS)
    queries = [each for each in emulator.log()[since:] if "aggregates" in each["path"]]
    assert (code, len(queries)) == (0, 1)


@pytest.mark.parametrize(("queues", "warned"), [(300, False), (301, True)])
def test_more_than_300_queues_are_a_warning(
    emulator: Handle, tmp_path: Path, queues: int, warned: bool
) -> None:
    ids = [f"{n:08x}-0000-4000-8000-000000000000" for n in range(queues)]
    job = write_job(tmp_path, emulator, range=DAY, filter={"queues": ids})
    warning = "filter.queues has 301 queues; the server may refuse more than 300 in one query"
    checked = call("check", str(job), cwd=tmp_path)
    planned = call("plan", str(job), cwd=tmp_path)
    assert (checked.code, planned.code) == (0, 0)
    assert (f"WARN  {warning}" in checked.out) is warned
    assert (f"warning: {warning}" in planned.out) is warned
