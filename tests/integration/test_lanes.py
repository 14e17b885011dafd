"""Several OAuth clients of one organisation: shared work, one output, and a client that is lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncreport.emulator import World
from asyncreport.emulator.limits import credentials
from tests.emulator_process import Handle, emulator_process
from tests.exporting import call, connection, no_waits, run_here, write_job

CLIENTS = [
    {"client_id": client_id, "client_secret": secret} for client_id, secret in credentials(3)
]
IDS = [client["client_id"] for client in CLIENTS]
USERS = [person.id for person in World(agents=6, seed=5).people]
RANGE = {"start": "2024-01-01", "end": "2024-01-31", "granularity": "PT1H", "chunk": "P1D"}


@pytest.fixture(scope="module")
def module_emulator() -> Iterator[Handle]:
    with emulator_process(
        agents=6, seed=5, requests_per_minute=0, clients=2, job_polls=0
    ) as handle:
        yield handle


@pytest.fixture
def emulator(module_emulator: Handle) -> Iterator[Handle]:
    yield module_emulator
    module_emulator.faults([])


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    no_waits(monkeypatch)


def job(folder: Path, emulator: Handle, clients: list[dict[str, str]], **sections: Any) -> Path:
    folder.mkdir(exist_ok=True)
    reached = connection(emulator, clients=clients)
    del reached["client_id"], reached["client_secret"]
    sections = {"range": RANGE, "teams": [{"name": "sales", "users": USERS}], **sections}
    return write_job(folder, emulator, connections={"default": reached}, **sections)


def by_client(emulator: Handle, since: int) -> Counter[str | None]:
    """Count the answered queries of each client."""
    queries = [
        entry
        for entry in emulator.log()[since:]
        if "aggregates" in entry["path"] and entry["status"] == 200
    ]
    return Counter(entry["client"] for entry in queries)


def test_two_clients_share_the_work_and_give_the_output_of_one(
    emulator: Handle, tmp_path: Path
) -> None:
    run_here(job(tmp_path / "one", emulator, CLIENTS[:1]))
    before = len(emulator.log())
    summary = run_here(job(tmp_path / "two", emulator, CLIENTS[:2]))
    assert (
        (tmp_path / "one/out.jsonl").read_bytes()
        == (tmp_path / "two/out.jsonl").read_bytes()
        != b""
    )
    shares = by_client(emulator, before)
    assert set(shares) == set(IDS[:2])
    assert sum(shares.values()) == summary.chunks_fetched == 30
    assert min(shares.values()) >= 5
    assert summary.requests == len(emulator.log()) - before, "of both lanes"


def test_a_client_deactivated_during_a_run_causes_a_warning_and_loses_no_record(
    tmp_path: Path,
) -> None:
    with emulator_process(agents=6, seed=5, requests_per_minute=0, clients=2) as emulator:
        run_here(job(tmp_path / "one", emulator, CLIENTS[:1]))
        emulator.faults(
            [{"match": {"path": "aggregates", "nth": [12]}, "do": {"deactivate": IDS[0]}}]
        )
        before = len(emulator.log())
        result = call("run", str(job(tmp_path / "two", emulator, CLIENTS[:2])), cwd=tmp_path)
        shares = by_client(emulator, before)
    assert (result.code, result.out) == (0, ""), result.err
    (warning,) = (line for line in result.err.splitlines() if line.startswith("warning: "))
    assert warning.startswith(
        f"warning: default: client {IDS[0]} was refused; the other clients are used instead: "
    )
    assert not any(client["client_secret"] in result.err for client in CLIENTS)
    assert (tmp_path / "one/out.jsonl").read_bytes() == (tmp_path / "two/out.jsonl").read_bytes()
    assert sum(shares.values()) == 30, "each chunk was answered once"
    assert shares[IDS[1]] > shares[IDS[0]] >= 1
    assert json.loads((tmp_path / "two/.asyncreport/job/summary.json").read_text())["gaps"] == []


def test_the_refusal_of_the_last_client_ends_the_run(emulator: Handle, tmp_path: Path) -> None:
    wrong = [{**client, "client_secret": "a guess"} for client in CLIENTS[:2]]
    result = call("run", str(job(tmp_path, emulator, wrong)), cwd=tmp_path)
    assert result.code == 3
    assert result.err.count("warning: ") == 1
    assert "error: " in result.err
    assert "a guess" not in result.err


@pytest.mark.parametrize("contract", ["aggregates", "query-jobs"])
def test_a_verification_goes_on_with_the_clients_that_are_accepted(
    emulator: Handle, tmp_path: Path, contract: str
) -> None:
    path = job(tmp_path, emulator, [CLIENTS[2], CLIENTS[1]], contract=contract)
    assert run_here(path).complete
    result = call("verify", str(path), cwd=tmp_path)
    *lines, warning = result.out.splitlines()
    assert (result.code, {line[:4] for line in lines}) == (0, {"OK  "})
    assert warning.startswith(
        f"WARN  default: client {IDS[2]} was refused; the other clients are used instead: "
    )
    assert "the totals are equal to those of the server: 6 users" in result.out


def test_a_verification_whose_clients_are_all_refused_ends_like_a_run(
    emulator: Handle, tmp_path: Path
) -> None:
    assert run_here(job(tmp_path, emulator, CLIENTS[:2])).complete
    wrong = [{**client, "client_secret": "a guess"} for client in CLIENTS[:2]]
    result = call("verify", str(job(tmp_path, emulator, wrong)), cwd=tmp_path)
    assert result.code == 3
    assert result.err.count("error: ") == 1


@pytest.mark.parametrize("contract", ["query-jobs", "entities"])
def test_other_contracts_go_on_without_a_refused_client(
    emulator: Handle, tmp_path: Path, contract: str
) -> None:
    span = {**RANGE, "end": "2024-01-08"}
    run_here(job(tmp_path / "one", emulator, CLIENTS[:1], contract=contract, range=span))
    summary = run_here(
        job(tmp_path / "two", emulator, [CLIENTS[2], CLIENTS[1]], contract=contract, range=span)
    )
    assert summary.complete
    assert (
        (tmp_path / "one/out.jsonl").read_bytes()
        == (tmp_path / "two/out.jsonl").read_bytes()
        != b""
    )


def test_a_client_without_a_token_loses_no_record(emulator: Handle, tmp_path: Path) -> None:
    """Neither in look-ups nor in chunks; it is not reported as refused."""
    # Only this contract names the client in the body of the token request.
    sections = {"contract": "entities", "teams": [{"name": "everyone", "everyone": True}]}
    run_here(job(tmp_path / "one", emulator, CLIENTS[:1], **sections))
    emulator.faults([{"match": {"path": "/oauth/token", "body": IDS[0]}, "do": {"status": 503}}])
    before = len(emulator.log())
    summary = run_here(job(tmp_path / "two", emulator, CLIENTS[:2], **sections))
    assert summary.complete
    assert (
        (tmp_path / "one/out.jsonl").read_bytes()
        == (tmp_path / "two/out.jsonl").read_bytes()
        != b""
    )
    assert set(by_client(emulator, before)) == {IDS[1]}
    assert sum(entry["status"] == 503 for entry in emulator.log()[before:]) == 8, (
        "it was tried once, with all its attempts"
    )


def test_without_any_token_all_chunks_are_missing_for_one_reason(
    emulator: Handle, tmp_path: Path
) -> None:
    """It is reported once, and few requests are sent."""
    emulator.faults([{"match": {"path": "/oauth/token"}, "do": {"status": 503}}])
    before = len(emulator.log())
    limits = {"max_attempts": 1, "request_timeout": "PT1S", "give_up_after": "PT2S"}
    path = job(tmp_path, emulator, CLIENTS[:2], contract="entities", limits=limits)
    result = call("run", str(path), cwd=tmp_path)
    assert result.code == 1
    assert result.err.count("POST /oauth/token: 503") == 2, (
        "in the warning about the first lost client, and as the reason of the gaps"
    )
    assert "30 chunks are missing" in result.err
    assert len(emulator.log()) - before < 20


def test_look_ups_use_a_client_that_is_accepted(emulator: Handle, tmp_path: Path) -> None:
    """The first one is unknown; the second one gets members, the number of users and names."""
    path = job(
        tmp_path, emulator, [CLIENTS[2], CLIENTS[1]], teams=[{"name": "everyone", "everyone": True}]
    )
    planned = call("plan", str(path), cwd=tmp_path)
    assert planned.code == 0
    assert planned.out.startswith(f"warning: default: client {IDS[2]} was refused")
    assert "at 30,000 requests per minute with each of 2 clients" in planned.out
    result = call("run", str(path), cwd=tmp_path)
    assert (result.code, result.out) == (0, ""), result.err
    assert all(
        json.loads(line)["user_name"]
        for line in (tmp_path / "out.jsonl").read_text().splitlines()
        if json.loads(line)["user_id"]
    )


def test_a_check_reports_each_client(emulator: Handle, tmp_path: Path) -> None:
    result = call("check", str(job(tmp_path, emulator, [CLIENTS[1], CLIENTS[2]])), cwd=tmp_path)
    lines = result.out.splitlines()
    assert result.code == 3
    assert [line for line in lines if line.startswith("FAIL")] == [lines[-5]]
    assert lines[0].startswith(f"OK    client {IDS[1]}: reached ")
    assert lines[-5].startswith(f"FAIL  client {IDS[2]}: credentials and hosts")
    assert lines[-4:-2] == [
        "OK    team 'sales' (listed users) has 6 users today",
        "OK    6 listed users found in the directory",
    ]


def test_the_emulator_of_a_job_offers_several_clients(tmp_path: Path) -> None:
    paths = {}
    for clients in (1, 2):
        folder = tmp_path / str(clients)
        folder.mkdir()
        paths[clients] = folder / "job.json"
        emulated = {
            "default": {
                "emulator": {"agents": 6, "seed": 5, "clients": clients},
                "requests_per_minute": 30_000,
            }
        }
        output = {"path": str(folder / "out.jsonl")}
        paths[clients].write_text(
            json.dumps(
                {
                    "name": "job",
                    "connections": emulated,
                    "range": RANGE,
                    "teams": [{"name": "all", "everyone": True}],
                    "output": output,
                }
            )
        )
    assert [run_here(path).complete for path in paths.values()] == [True, True]
    assert (tmp_path / "1/out.jsonl").read_bytes() == (tmp_path / "2/out.jsonl").read_bytes() != b""
