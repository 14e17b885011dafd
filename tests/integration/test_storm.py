"""A third of all responses are faults of every kind: the output has the bytes of a calm run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncreport.emulator.limits import credentials
from asyncreport.export.summary import Summary
from asyncreport.net import attempts
from tests.emulator_process import Handle, emulator_process
from tests.exporting import connection, no_waits, run_here, write_job

SIZE = {"agents": 10, "seed": 8, "requests_per_minute": 0, "tokens_per_minute": 0, "job_polls": 0}
RANGE = {"start": "2024-01-01", "end": "2024-01-29", "granularity": "PT1H", "chunk": "PT6H"}
PAST, FAR = "Wed, 21 Oct 2015 07:28:00 GMT", "Tue, 19 Jan 2038 03:14:07 GMT"

#: everything that may replace a response or a part of one; no Retry-After above 0, as tests do not
#: wait, except for absurd ones
FAULTS: list[dict[str, Any]] = [
    {"status": 408},
    {"reset": "before"},
    {"status": 429},
    {"truncate": "length"},
    {"status": 429, "retry_after": 0},
    {"html": True},
    {"revoke_tokens": True},
    {"status": 500},
    {"status": 429, "retry_after": -30},
    {"garble": True},
    {"status": 429, "retry_after": PAST},
    {"hang": True},
    {"status": 502, "html": True},
    {"truncate": "json"},
    {"status": 429, "retry_after": "1e400"},
    {"gzip": "broken"},
    {"expire_tokens": True},
    {"status": 503},
    {"status": 429, "retry_after": "in a while"},
    {"reset": "headers"},
    {"status": 504, "retry_after": "nan"},
    {"status": 503, "body": ""},
    {"reset": "body"},
    {"revoke_tokens": True},
    {"status": 204},
    {"status": 429, "headers": {"date": FAR}, "retry_after": PAST},
    {
        "status": 200,
        "body": '{"message": "Internal", "code": "internal.server.error", "status": 500}',
    },
    {"status": 202, "body": '{"jobId": "of-another-query"}'},
    {"status": 429, "retry_after": 86_400},
    {"status": 503, "retry_after": "9" * 308},
]
#: responses that are unusual but valid
ODDITIES: list[dict[str, Any]] = [
    {"gzip": "whole"},
    {"drip": 0.01},
    {"content_type": "text/plain"},
    {"headers": {"date": FAR}},
    {"headers": {"date": PAST}},
    {"headers": {"date": "yesterday", "inin-correlation-id": None}},
    {
        "headers": {
            "inin-ratelimit-allowed": "999999",
            "inin-ratelimit-count": "-7",
            "inin-ratelimit-reset": "soon",
        }
    },
    {"headers": {"inin-ratelimit-allowed": "0", "inin-ratelimit-count": "99999999999999999999"}},
    {
        "headers": {
            "inin-ratelimit-allowed": "40000",
            "inin-ratelimit-count": "40001",
            "inin-ratelimit-reset": "0",
        }
    },
    {"drop_headers": True},
]
LOGIN: list[dict[str, Any]] = [
    {
        "status": 400,
        "body": '{"error": "invalid_request", "error_description": "rate limit exceeded; wait"}',
    },
    {"status": 429, "retry_after": 0},
    {"status": 503, "html": True},
    {"reset": "body"},
    {"garble": True},
    {"gzip": "broken"},
]


def storm(seed: int) -> list[dict[str, Any]]:
    """Damage a third of all responses, and make a quarter of the rest unusual."""
    third = {"probability": 0.33, "seed": seed}
    return [
        {"match": {"path": "/oauth/token", **third}, "do": LOGIN},
        {"match": {"path": "/api/", **third}, "do": FAULTS},
        {"match": {"path": "/api/", "probability": 0.25, "seed": 100 + seed}, "do": ODDITIES},
    ]


LIMITS = {"request_timeout": "PT1S", "max_attempts": 20, "concurrency": 8}

#: sections of each job, in addition to the range
JOBS: dict[str, dict[str, Any]] = {
    "aggregates": {},
    "occupancy": {"occupancy": True},
    "query-jobs": {"contract": "query-jobs", "range": {**RANGE, "chunk": "P1D"}},
    "entities": {"contract": "entities"},
    "cut": {"range": {**RANGE, "chunk": "P7D"}},
    "late": {"range": {**RANGE, "chunk": "P7D"}},
    "two clients": {},
}


@pytest.fixture(scope="module")
def emulator() -> Iterator[Handle]:
    """Serve short pages, and reject queries of more than a few hours."""
    with emulator_process(**SIZE, most_per_page=50, max_rows=100, clients=2) as handle:
        yield handle


@pytest.fixture(scope="module")
def slow_emulator() -> Iterator[Handle]:
    """Time out for queries of more than two days of everyone."""
    with emulator_process(**SIZE, slow_above=10 * 48) as handle:
        yield handle


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Give each job's output of a run without faults, in as few chunks as possible."""
    found = {}
    with emulator_process(**SIZE) as handle:
        for name, sections in JOBS.items():
            folder = tmp_path_factory.mktemp(name)
            assert export(
                folder, handle, {**sections, "range": {**RANGE, "chunk": "P28D"}}
            ).complete
            found[name] = (folder / "out.jsonl").read_bytes()
    return found


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    no_waits(monkeypatch)
    monkeypatch.setattr(attempts, "_MINUTE", 0.0)


def export(folder: Path, emulator: Handle, sections: dict[str, Any]) -> Summary:
    return run_here(write_job(folder, emulator, **{"range": RANGE, "limits": LIMITS, **sections}))


@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_storm_changes_no_byte(
    emulator: Handle,
    slow_emulator: Handle,
    calm: dict[str, bytes],
    tmp_path: Path,
    name: str,
    seed: int,
) -> None:
    emulator, job = slow_emulator if name == "late" else emulator, JOBS[name]
    if name == "two clients":
        reached = connection(
            emulator,
            clients=[
                {"client_id": each, "client_secret": secret} for each, secret in credentials(2)
            ],
        )
        job = {
            "connections": {
                "default": {
                    key: value
                    for key, value in reached.items()
                    if key not in ("client_id", "client_secret")
                }
            }
        }
    before = len(emulator.log())
    emulator.faults(storm(seed))
    try:
        summary = export(tmp_path, emulator, job)
    finally:
        emulator.faults([])
    assert summary.complete
    assert (tmp_path / "out.jsonl").read_bytes() == calm[name]
    faults = [seen["fault"] for seen in emulator.log()[before:]]
    assert len(faults) / 4 < sum(fault in FAULTS + LOGIN for fault in faults) < len(faults) / 2
    assert [each for each in FAULTS if each not in faults] == []
    assert any(each in faults for each in ODDITIES)
    assert name not in ("cut", "late") or summary.chunks_split > 0
    assert (
        name != "two clients"
        or len({seen["client"] for seen in emulator.log()[before:] if seen["client"]}) == 2
    )


@pytest.mark.parametrize(("life", "granted"), [(1, 86_400), (86_400, 1)])
def test_a_token_with_a_wrong_lifetime_changes_no_byte(
    calm: dict[str, bytes], tmp_path: Path, life: int, granted: int
) -> None:
    """With faults, so that the run takes longer than several lifetimes."""
    with emulator_process(**SIZE, token_life=life, token_life_reported=granted) as emulator:
        emulator.faults(
            [
                {
                    "match": {"path": "/api/", "probability": 0.33, "seed": 3},
                    "do": [{"status": 503}, {"drip": 0.02}],
                }
            ]
        )
        summary = export(tmp_path, emulator, {"limits": {**LIMITS, "concurrency": 2}})
        logins = [seen for seen in emulator.log() if seen["path"] == "/oauth/token"]
    assert summary.complete
    assert (tmp_path / "out.jsonl").read_bytes() == calm["aggregates"]
    assert len(logins) >= 2
