"""Connections in a table, from the command line to the files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.emulator_process import Handle, emulator_process
from tests.exporting import Call, call, connection

NAMES = ("acme", "globex")


@pytest.fixture(scope="module")
def emulators() -> Iterator[dict[str, Handle]]:
    """Serve two organisations."""
    with (
        emulator_process(agents=12, seed=1, requests_per_minute=0) as acme,
        emulator_process(agents=12, seed=2, requests_per_minute=0) as globex,
    ):
        yield dict(zip(NAMES, (acme, globex), strict=True))


class Bureau:
    """A job of two organisations in a folder; their secrets are in variables."""

    def __init__(self, folder: Path, emulators: dict[str, Handle]) -> None:
        self._folder = folder
        self._emulators = emulators
        self.connections = {
            name: connection(each, client_secret=f"${{{name.upper()}}}")
            for name, each in emulators.items()
        }
        (folder / "jobs").mkdir()

    def write_table(self, *names: str) -> None:
        with (self._folder / "jobs" / "connections.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["name", *self.connections["acme"]], delimiter=";")
            writer.writeheader()
            writer.writerows({"name": name, **self.connections[name]} for name in names)

    def call(self, command: str, *arguments: str, **sections: Any) -> Call:
        job = {
            "name": "bureau",
            **sections,
            "range": {"start": "2024-01-01", "end": "2024-01-03"},
            "teams": [{"name": "all", "everyone": True, "connections": "all"}],
            "output": {"path": "out/{connection}.jsonl"},
        }
        path = self._folder / "jobs" / "bureau.yaml"
        path.write_text(json.dumps(job))
        secrets = {name.upper(): each.client_secret for name, each in self._emulators.items()}
        return call(command, str(path), *arguments, cwd=self._folder, **secrets)

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self._folder / "out").glob("*.jsonl")}

    def queries(self) -> list[int]:
        """Count the requests for data that each organisation has answered."""
        logs = [each.log() for each in self._emulators.values()]
        return [sum("/analytics/" in line["path"] for line in log) for log in logs]


@pytest.fixture
def bureau(tmp_path: Path, emulators: dict[str, Handle]) -> Bureau:
    return Bureau(tmp_path, emulators)


def test_a_table_is_exported_and_moving_a_connection_fetches_nothing(bureau: Bureau) -> None:
    bureau.write_table(*NAMES)
    first = bureau.call("run", connections_from="connections.csv")
    assert first.code == 0, first.err
    assert [line.partition(":")[0] for line in first.err.splitlines()] == [
        "bureau",
        "bureau/acme",
        "bureau/globex",
    ]
    files = bureau.files()
    assert sorted(files) == ["acme.jsonl", "globex.jsonl"]
    assert all(map(json.loads, files["acme.jsonl"].splitlines()))

    fetched = bureau.queries()
    assert min(fetched) > 0
    bureau.write_table("acme")
    own = {"globex": bureau.connections["globex"]}
    both = bureau.call("run", connections=own, connections_from="connections.csv")
    assert both.code == 0, both.err
    neither = bureau.call("run", connections=bureau.connections)
    assert neither.code == 0, neither.err
    assert bureau.queries() == fetched
    assert bureau.files() == files


def test_a_mistake_in_a_table_is_refused_before_any_request(bureau: Bureau) -> None:
    bureau.connections["globex"]["client_secret"] = "s3cr3t"
    bureau.write_table(*NAMES)
    result = bureau.call("run", connections_from="connections.csv")
    assert (result.code, result.out) == (2, "")
    assert "connections.csv:3: connections.globex.client_secret: must be a variable" in result.err
    assert "s3cr3t" not in result.err
