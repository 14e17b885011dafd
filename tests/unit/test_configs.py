"""Every shipped job file is planned: its chunks tile its range, once, for each user that it asks for."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from asyncreport.config import load_job
from asyncreport.core.plan import Demand, Freshness, plan
from asyncreport.core.timeline import parse_iso
from asyncreport.export.plans import wanted_users

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
NOW = parse_iso("2024-06-01T12:00Z")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_shipped_job_file_is_planned(path: Path) -> None:
    names = set(re.findall(r"\$\{(\w+)\}", path.read_text()))
    environ = (
        {"GENESYS_CLIENT_ID": "id", "GENESYS_CLIENT_SECRET": "secret"}
        | {name: f"value-{n}" for n, name in enumerate(sorted(names))}
        | {"GENESYS_ENV": "eu-west-1"}
    )
    job = load_job(path, environ=environ, now=NOW)
    for connection in job.connections:
        # Teams that are looked up have no members until a run asks.
        users = wanted_users(job, connection.name)
        users = ("looked-up",) if users == () else users
        want = Demand(
            connection=connection.name,
            grid=job.query.grid,
            interval=job.interval,
            users=users,
            length=job.chunk,
            population=500,
        )
        asked = Counter(
            (edge, user)
            for chunk in plan(want, [], Freshness(settle=job.output.settle, now=NOW)).chunks
            for edge in job.query.grid.edges(chunk.interval)[:-1]
            for user in chunk.users or (None,)
        )
        assert asked == Counter(
            (edge, user)
            for edge in job.query.grid.edges(job.interval)[:-1]
            for user in (users if users is not None else (None,))
        )


def test_the_job_files_that_the_readme_promises_are_there() -> None:
    assert {"backfill-year", "demo", "multi-team", "single-team"} <= {path.stem for path in CONFIGS}
