"""The programs of docs/loading.md, executed against what they name.

Each block is taken from the page and run as a script in the job's folder, for a first export and
for a second one with other numbers and without a member who left. After both, the table has exactly
the records of the export.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from ruamel.yaml import YAML

from asyncreport.emulator.rosters import Rosters
from asyncreport.emulator.world import World
from tests.blocks import texts
from tests.emulator_process import Handle, emulator_process
from tests.exporting import call, connection, environ, restate

pytestmark = pytest.mark.extra

PAGE = (Path(__file__).parents[2] / "docs" / "loading.md").read_text()
MONTHS = ("2024-01", "2024-02")
ZONE = ZoneInfo("Europe/Berlin")
NUMBERS = (
    "total_talk_time_sec",
    "total_hold_time_sec",
    "total_wrap_up_sec",
    "total_handle_time_sec",
    "avg_handle_time_sec",
)

#: a record: its month, texts, instants, count, numbers
Row = tuple[Any, ...]


def recipe(title: str) -> str:
    """Give the last block of a section of the page."""
    return recipes(title)[-1]


def recipes(title: str) -> list[str]:
    """Give the blocks of a section of the page."""
    return texts("loading.md", "python", title)


@dataclass(frozen=True, slots=True)
class Loader:
    """The job of the page in a folder, and the organisation that it exports."""

    folder: Path
    emulator: Handle
    group: Any

    def export(self) -> None:
        """Write the files, with another number than the server will send later."""
        self._run()
        restate(self.folder / "exports/.asyncreport/aht/default", "2024-01-31T23:00:00.000Z")
        self._run()

    def export_again(self) -> None:
        """Fetch the changed part again, without a member who left."""
        self.emulator.members("group", self.group.id, self.group.members[1:])
        self._run("--refresh", "2024-01-01/2024-03-01")

    def _run(self, *options: str) -> None:
        done = call("run", "aht.yaml", *options, cwd=self.folder)
        assert done.code == 0, done.err

    @property
    def job(self) -> Path:
        return self.folder / "aht.yaml"

    def run(self, script: str, **variables: str) -> str:
        """Run a recipe as a script in the folder; give what it printed."""
        done = self.attempt(script, **variables)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def attempt(self, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a recipe as a script in the folder, which may fail."""
        path = self.folder / "recipe.py"
        path.write_text(script)
        return subprocess.run(
            [sys.executable, str(path)],
            cwd=self.folder,
            env=environ(**variables),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def swap_columns(self) -> None:
        """Write the files with two columns of one type in each other's place."""
        names = self._csv(MONTHS[0]).read_text().splitlines()[0].split(",")
        talk, hold = (names.index(each) for each in NUMBERS[:2])
        names[talk], names[hold] = names[hold], names[talk]
        job = json.loads(self.job.read_text())
        job["output"]["columns"] = names
        self.job.write_text(json.dumps(job))
        self._run()

    def _csv(self, month: str) -> Path:
        return self.folder / f"exports/aht-{month}.csv"

    def records(self) -> list[Row]:
        """Read the records of the CSV files with the standard library."""
        found = []
        for month in MONTHS:
            text = self._csv(month).read_text()
            found += [(month, *record(each)) for each in csv.DictReader(text.splitlines())]
        return sorted(found, key=repr)

    def sums(self) -> dict[tuple[str, str], tuple[float, int]]:
        """Add up handle time, in ms, and handled interactions of each team and local day."""
        found: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
        for _, team, _, _, start, _, count, *numbers in self.records():
            sums = found[team, str(start.astimezone(ZONE).date())]
            sums[0] += round(numbers[3] * 1000)
            sums[1] += count
        return {key: (total, count) for key, (total, count) in found.items()}


def record(row: dict[str, str]) -> Row:
    """Give the values of a line of CSV their types."""
    instants = (datetime.fromisoformat(row[f"interval_{end}"]) for end in ("start", "end"))
    numbers = (float(row[name]) if row[name] else None for name in NUMBERS)
    texts = (row["team"], row["user_id"] or None, row["user_name"] or None)
    return (*texts, *instants, int(row["handled_count"]), *numbers)


@pytest.fixture
def loader(tmp_path: Path) -> Iterator[Loader]:
    # The names of deleted users are not in the directory any more.
    with emulator_process(agents=16, seed=8, requests_per_minute=0, purged=True) as emulator:
        rosters = Rosters(World(agents=16, seed=8)).of("group")
        group = next(each for each in rosters if each.name == "Équipe d'accueil")
        found = Loader(tmp_path, emulator, group)
        block = texts("loading.md", "yaml")[0]
        job = YAML(typ="safe").load(block)
        job["connections"]["default"] = connection(emulator)
        job["teams"].append({"name": 'Büro "Nord", früh', "group": group.id})
        # As JSON, which is YAML.
        found.job.write_text(json.dumps(job, default=str))
        yield found


def check(loader: Loader, load: Callable[[], None], table: Callable[[], list[Row]]) -> None:
    """Load both exports; after each the table has the records of the files."""
    loader.export()
    load()
    first = loader.records()
    assert sorted(table(), key=repr) == first
    loader.export_again()
    second = loader.records()
    load()
    assert sorted(table(), key=repr) == second
    # A record with another number, and records that are gone.
    assert set(second) - set(first)
    assert len(second) < len(first)
    assert any(row[3] is None for row in second)
    assert any(row[-1] is None for row in second)


def in_utc(rows: list[Row]) -> list[Row]:
    """Write instants as the files do."""
    return [tuple(map(_in_utc, row)) for row in rows]


def _in_utc(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def test_duckdb(loader: Loader) -> None:
    import duckdb

    def table() -> list[Row]:
        with duckdb.connect(str(loader.folder / "aht.duckdb")) as database:
            return in_utc(database.sql("SELECT * FROM handle_times").fetchall())

    check(loader, lambda: _run(loader, "DuckDB"), table)
    loader.swap_columns()
    _run(loader, "DuckDB")
    assert sorted(table(), key=repr) == loader.records()


def _run(loader: Loader, title: str, **variables: str) -> None:
    loader.run(recipe(title), **variables)


def test_duckdb_reads_the_files(loader: Loader) -> None:
    loader.export()
    printed = loader.run(recipes("DuckDB")[0])
    assert "everyone" in printed
    assert "Büro" in printed


@pytest.fixture
def server() -> Iterator[str]:
    """Start a PostgreSQL that nobody else reaches; give the folder of its socket."""
    # The path of a socket must be short.
    with TemporaryDirectory() as name:
        data = f"{name}/data"
        if as_postgres():
            shutil.chown(name, "postgres")
        run(tool("initdb"), "--auth=trust", "--username=postgres", "--encoding=UTF8", data)
        options = f"-c listen_addresses= -c fsync=off -c unix_socket_directories={name}"
        control = (tool("pg_ctl"), "-D", data, "-w")
        run(*control, "-l", f"{name}/log", "-o", options, "start")
        try:
            yield name
        finally:
            run(*control, "-m", "immediate", "stop")


def run(*command: str) -> None:
    """Run a program of PostgreSQL, which refuses to run as root."""
    # Its output goes to a file: the server that it starts keeps a pipe open.
    with TemporaryFile() as output:
        subprocess.run(
            [*as_postgres(), *command],
            check=True,
            cwd="/",
            stdout=output,
            stderr=output,
            timeout=60,
        )


def as_postgres() -> list[str]:
    """Give what runs a command as the user of Debian's package, if this is root."""
    # Its folder is not in every PATH.
    program = shutil.which("runuser") or "/usr/sbin/runuser"
    return [program, "-u", "postgres", "--"] if os.geteuid() == 0 else []


def tool(name: str) -> str:
    """Find a program of PostgreSQL: Debian has them in a folder of their own."""
    found = [str(path) for path in Path("/usr/lib/postgresql").glob(f"*/bin/{name}")]
    return max(found, default=None) or shutil.which(name) or pytest.skip(f"no {name} found")


def test_postgresql(loader: Loader, server: str) -> None:
    import psycopg

    address = {"PGHOST": server, "PGDATABASE": "postgres", "PGUSER": "postgres"}

    def table() -> list[Row]:
        with psycopg.connect(host=server, dbname="postgres", user="postgres") as database:
            return in_utc(database.execute("SELECT * FROM handle_times").fetchall())

    check(loader, lambda: _run(loader, "PostgreSQL", **address), table)
    before = table()
    loader.swap_columns()
    refused = loader.attempt(recipe("PostgreSQL"), **address)
    assert "column name mismatch" in refused.stderr
    assert table() == before


def test_dlt(loader: Loader) -> None:
    def load() -> None:
        _run(loader, "dlt", **quiet(loader.folder))

    check(loader, load, lambda: loaded_by_dlt(loader))
    loader.swap_columns()
    load()
    assert sorted(loaded_by_dlt(loader), key=repr) == loader.records()


def quiet(folder: Path) -> dict[str, str]:
    """Keep dlt from sending statistics, and from the folder that it has for a user."""
    return {"RUNTIME__DLTHUB_TELEMETRY": "false", "DLT_DATA_DIR": str(folder / "data-of-user")}


def loaded_by_dlt(loader: Loader) -> list[Row]:
    """Read the table that dlt made."""
    import duckdb

    with duckdb.connect(str(loader.folder / "genesys.duckdb")) as database:
        query = "SELECT month, * EXCLUDE (month) FROM aht.handle_times"
        return in_utc(database.sql(query).fetchall())


def test_dlt_loads_each_folder(loader: Loader) -> None:
    """What one folder loaded is not taken for loaded in another folder of the same user."""
    loader.export()
    variables = quiet(loader.folder)
    other = replace(loader, folder=loader.folder / "other")
    shutil.copytree(loader.folder / "exports", other.folder / "exports")
    for each in (loader, other):
        _run(each, "dlt", **variables)
        assert sorted(loaded_by_dlt(each), key=repr) == each.records()


def test_dlt_loads_everything_again(loader: Loader) -> None:
    """The option that the page names brings back what somebody deleted in the table."""
    import duckdb

    loader.export()
    variables = quiet(loader.folder)
    _run(loader, "dlt", **variables)
    with duckdb.connect(str(loader.folder / "genesys.duckdb")) as database:
        database.execute("DELETE FROM aht.handle_times WHERE handled_count > 1")
    option = 'refresh="drop_resources"'
    assert f"`{option}`" in PAGE
    again = recipe("dlt").replace("run(handle_times())", f"run(handle_times(), {option})")
    assert option in again
    loader.run(again, **variables)
    assert sorted(loaded_by_dlt(loader), key=repr) == loader.records()


@pytest.mark.parametrize(
    ("title", "save"),
    [
        ("pandas", 'sums.rename_axis(["team", "day"]).to_csv("sums.csv")'),
        ("Polars", 'sums.collect().write_csv("sums.csv")'),
    ],
)
def test_tables_in_memory(loader: Loader, title: str, save: str) -> None:
    loader.export()
    loader.export_again()
    loader.run(f"{recipe(title)}\n{save}\n")
    text = (loader.folder / "sums.csv").read_text()
    found = {}
    for row in csv.DictReader(text.splitlines()):
        total, count = float(row["total_handle_time_sec"]), int(row["handled_count"])
        found[row["team"], row["day"]] = round(total * 1000), count
        if count:
            assert float(row["aht"]) == pytest.approx(total / count)
    assert found == loader.sums()
