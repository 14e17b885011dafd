"""Every shipped job file can be planned: its chunks cover the range once for each of its users."""

from __future__ import annotations

import re
from collections import Counter
from itertools import product
from pathlib import Path

import pytest

from asyncreport.config import load_job
from asyncreport.core.freshness import Freshness
from asyncreport.core.plan import Demand, plan
from asyncreport.core.timeline import parse_iso
from asyncreport.export.plans import wanted_users
from asyncreport.formats import Library

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
NOW = parse_iso("2024-06-01T12:00Z")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_chunks_of_a_shipped_job_cover_its_range_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The chart library is an extra.
    monkeypatch.setattr(Library, "is_installed", True)
    job = load_job(path, environ=environ_for(path), now=NOW)
    grid = job.query.grid
    for connection in job.connections:
        users = wanted_users(job, connection.name)
        if users == ():  # the members are looked up by a run
            users = ("looked-up",)
        demand = Demand(
            connection=connection.name,
            grid=grid,
            interval=job.interval,
            users=users,
            length=job.chunk,
            population=500,
        )
        chunks = plan(demand, [], Freshness(settle=job.output.settle, now=NOW)).chunks
        planned: Counter[tuple[int, str | None]] = Counter()
        for chunk in chunks:
            planned.update(product(grid.edges(chunk.interval)[:-1], chunk.users or (None,)))
        assert planned == Counter(product(grid.edges(job.interval)[:-1], users or (None,)))


def environ_for(path: Path) -> dict[str, str]:
    """Give each variable of a job file, and of its table, a value of its own."""
    text = path.read_text()
    table = path.with_suffix(".csv")
    if table.exists():
        text += table.read_text()
    names = sorted(set(re.findall(r"\$\{(\w+)\}", text)))
    values = {name: f"value-{n}" for n, name in enumerate(names)}
    credentials = {"GENESYS_CLIENT_ID": "id", "GENESYS_CLIENT_SECRET": "secret"}
    return credentials | values | {"GENESYS_ENV": "eu-west-1"}


def test_the_job_files_that_the_readme_names_exist() -> None:
    assert {"backfill-year", "demo", "multi-team", "single-team"} <= {path.stem for path in CONFIGS}
