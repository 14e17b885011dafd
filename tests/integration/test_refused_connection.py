"""Files of all connections together, and one of the organisations refuses its OAuth client."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.emulator_process import Handle, emulator_process
from tests.exporting import call, connection

RANGE = {"start": "2024-01-01", "end": "2024-01-04", "granularity": "PT1H", "chunk": "P1D"}
COLUMNS = ["connection", "user_id", "handled_count"]
EVERYONE = [{"name": "all", "everyone": True, "connections": "all"}]
NO_PERMISSION = {
    "match": {"path": "aggregates/query"},
    "do": {"status": 403, "code": "missing.permissions", "message": "No."},
}


@pytest.fixture(scope="module")
def emulators() -> Iterator[dict[str, Handle]]:
    with (
        emulator_process(agents=12, seed=1, requests_per_minute=0) as acme,
        emulator_process(agents=12, seed=2, requests_per_minute=0) as globex,
    ):
        yield {"acme": acme, "globex": globex}


class Bureau:
    """A job of two organisations with one output file."""

    def __init__(self, folder: Path, emulators: dict[str, Handle]) -> None:
        self.folder = folder
        self.job: dict[str, Any] = {
            "name": "bureau",
            "connections": {name: connection(each) for name, each in emulators.items()},
            "range": RANGE,
            "teams": EVERYONE,
            "output": {
                "path": "whole.jsonl",
                "columns": ["connection", "user_id", "handled_count"],
            },
        }

    def run(self, *arguments: str, command: str = "run") -> Any:
        path = self.folder / "job.yaml"
        path.write_text(json.dumps(self.job))
        return call(command, *arguments, str(path), cwd=self.folder)

    def refuse(self, name: str) -> None:
        self.job["connections"][name]["client_secret"] = "revoked"

    @property
    def exported(self) -> set[str]:
        """Give the connections that have records in the file."""
        lines = (self.folder / "whole.jsonl").read_text().splitlines()
        return {json.loads(line)["connection"] for line in lines}

    @property
    def summary(self) -> dict[str, Any]:
        path = self.folder / ".asyncreport" / "bureau" / "summary.json"
        found: dict[str, Any] = json.loads(path.read_bytes())
        return found


@pytest.fixture
def bureau(tmp_path: Path, emulators: dict[str, Handle]) -> Iterator[Bureau]:
    yield Bureau(tmp_path, emulators)
    for each in emulators.values():
        each.faults([])


def masked(text: str) -> str:
    text = re.sub(r"correlation id [^\]]+", "correlation id ID", text)
    text = re.sub(r"\d+\.\d s\b", "N s", text)
    return re.sub(r"/\S*/whole", "whole", text)


def test_the_others_go_on_and_the_run_ends_with_3(
    bureau: Bureau, emulators: dict[str, Handle], snapshot: SnapshotAssertion
) -> None:
    emulators["globex"].faults([NO_PERMISSION])
    result = bureau.run("--allow-partial")
    assert masked(result.err) == snapshot
    assert (result.code, bureau.exported) == (3, {"acme"})
    assert (bureau.summary["partial"], len(bureau.summary["gaps"])) == (True, 3)
    assert {gap["exit_code"] for gap in bureau.summary["gaps"]} == {3}
    emulators["globex"].faults([])
    again = bureau.run()
    assert (again.code, bureau.exported) == (0, {"acme", "globex"})
    assert "3 chunks fetched, 3 reused" in again.err.replace(" parts", "")


def test_no_file_is_written_unless_the_person_allows_it(bureau: Bureau) -> None:
    """What the others have is saved: the next run does not fetch it again."""
    bureau.refuse("acme")
    result = bureau.run()
    assert result.code == 3
    assert not (bureau.folder / "whole.jsonl").exists()
    assert "missing: acme, 3 chunks: POST /oauth/token: 401" in result.err
    assert "3 chunks are missing; the output files were not changed; when the client has" in (
        result.err
    )
    allowed = bureau.run("--allow-partial")
    assert (allowed.code, bureau.exported) == (3, {"globex"})
    assert "0 chunks fetched, 3 parts reused" in allowed.err


def test_a_client_that_is_refused_later_leaves_gaps(
    bureau: Bureau, emulators: dict[str, Handle]
) -> None:
    """Also if nothing else is to fetch."""
    assert bureau.run().code == 0
    bureau.job["range"] = {**RANGE, "end": "2024-01-05"}
    emulators["globex"].faults([NO_PERMISSION])
    assert bureau.run("--allow-partial").code == 3
    emulators["acme"].faults([NO_PERMISSION])
    result = bureau.run("--allow-partial")
    assert (result.code, bureau.exported) == (3, {"acme", "globex"})
    assert [gap["connection"] for gap in bureau.summary["gaps"]] == ["globex"]


def test_a_team_of_a_refused_connection_is_missing(bureau: Bureau) -> None:
    bureau.job["teams"] = [{"name": "sales", "team": "Sales", "connections": "all"}]
    bureau.refuse("globex")
    result = bureau.run("--allow-partial")
    assert (result.code, bureau.exported) == (3, {"acme"})
    assert (
        "team 'sales' (team Sales of globex) cannot be looked up: globex: POST /oauth/token: 401"
        in (result.err)
    )
    assert [team["exit_code"] for team in bureau.summary["unknown_teams"]] == [3]
    plan = bureau.run(command="plan")
    assert (plan.code, "acme: 3 parts reused" in plan.out) == (3, True), plan.out


def test_a_refused_list_of_users_leaves_gaps(bureau: Bureau) -> None:
    """A query of statuses needs the ids of all users."""
    bureau.job["occupancy"] = True
    bureau.job["output"] = {"path": "whole.jsonl", "columns": ["connection", "occupancy"]}
    bureau.refuse("globex")
    result = bureau.run("--allow-partial")
    assert (result.code, bureau.exported) == (3, {"acme"}), result.err
    assert len(bureau.summary["gaps"]) == 3


def test_the_error_names_the_connection_its_variables_and_its_host(bureau: Bureau) -> None:
    bureau.job["connections"]["acme"] |= {"client_id": "${ACME_ID}", "client_secret": "${ACME_KEY}"}
    (bureau.folder / ".env").write_text("ACME_ID=someone\nACME_KEY=wrong\n")
    result = bureau.run()
    host = bureau.job["connections"]["acme"]["login_url"]
    assert (
        "check the client id and the client secret (ACME_ID, ACME_KEY), "
        f"and that they belong to {host}" in result.err
    )
    assert "acme: " in result.err
    assert "GENESYS_CLIENT_ID" not in result.err
    assert "wrong" not in result.err


def test_both_are_refused(bureau: Bureau) -> None:
    bureau.refuse("acme")
    bureau.refuse("globex")
    result = bureau.run("--allow-partial")
    assert result.code == 3
    assert "missing: acme, 3 chunks: " in result.err
    assert "missing: globex, 3 chunks: " in result.err
    assert not (bureau.folder / "whole.jsonl").exists()


@pytest.mark.parametrize("command", ["plan", "verify"])
def test_other_commands_name_the_connection(bureau: Bureau, command: str) -> None:
    assert bureau.run().code == 0
    bureau.refuse("globex")
    bureau.job["range"] = {**RANGE, "end": "2024-01-05"} if command == "plan" else RANGE
    result = bureau.run(command=command)
    assert "globex: POST /oauth/token: 401" in result.err + result.out
    assert result.code == 3
