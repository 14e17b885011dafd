"""Connections that run apart: `{connection}` in the paths, a team on several connections."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.request import Request, urlopen

import pytest

import asyncreport
from asyncreport.store.lock import locked
from tests.blocks import ROOT, texts
from tests.emulator_process import Handle, emulator_process
from tests.exporting import FAIL_SOON, call, connection, start

DAY = {"start": "2024-01-01", "end": "2024-01-03", "granularity": "PT1H"}
NAMES = ("acme", "globex", "initech")
#: a server that is down
DEAD = "http://127.0.0.1:1"
APART = {"path": "out/{connection}.jsonl", "per_team": "out/{connection}-{team}.jsonl"}


@pytest.fixture(scope="module")
def emulators() -> Iterator[dict[str, Handle]]:
    """Serve three organisations with the same names of teams, and other users in each."""
    with (
        emulator_process(agents=12, seed=1, requests_per_minute=0) as acme,
        emulator_process(agents=12, seed=2, requests_per_minute=0) as globex,
        emulator_process(agents=12, seed=3, requests_per_minute=0) as initech,
    ):
        yield dict(zip(NAMES, (acme, globex, initech), strict=True))


class Bureau:
    """A job of several organisations in a folder."""

    def __init__(self, folder: Path, emulators: dict[str, Handle]) -> None:
        self.folder = folder
        self.emulators = emulators
        self.job: dict[str, Any] = {
            "name": "bureau",
            "connections": {name: connection(each) for name, each in emulators.items()},
            "range": DAY,
            "teams": [
                {"name": "all", "everyone": True, "connections": "all"},
                {"name": "sales", "team": "Sales", "connections": ["globex", "acme"]},
            ],
            "output": APART,
        }

    def call(self, command: str, *arguments: str) -> Any:
        path = self.folder / "job.yaml"
        path.write_text(json.dumps(self.job))
        return call(command, str(path), *arguments, cwd=self.folder)

    def lines(self, name: str) -> list[dict[str, Any]]:
        text = (self.folder / "out" / name).read_text()
        return [json.loads(line) for line in text.splitlines()]

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.folder / "out").glob("*.jsonl")}

    def refuse(self, name: str) -> None:
        self.job["connections"][name]["client_secret"] = "revoked"


@pytest.fixture
def bureau(tmp_path: Path, emulators: dict[str, Handle]) -> Bureau:
    return Bureau(tmp_path, emulators)


def test_each_connection_has_its_files_and_its_state(bureau: Bureau) -> None:
    result = bureau.call("run")
    assert result.code == 0, result.err
    places, *lines = result.err.splitlines()
    assert places == (
        "bureau: the files of each complete connection are "
        "out/{connection}.jsonl, out/{connection}-{team}.jsonl"
    )
    assert [line.partition(":")[0] for line in lines] == [f"bureau/{name}" for name in NAMES]
    assert sorted(bureau.files()) == [
        "acme-all.jsonl",
        "acme-sales.jsonl",
        "acme.jsonl",
        "globex-all.jsonl",
        "globex-sales.jsonl",
        "globex.jsonl",
        "initech-all.jsonl",
        "initech.jsonl",
    ]
    for name in NAMES:
        state = bureau.folder / "out" / ".asyncreport" / "bureau" / name
        summary = json.loads((state / "summary.json").read_bytes())
        assert (summary["job"], summary["complete"]) == (f"bureau/{name}", True)
        assert sum(summary["records"].values()) == len(bureau.lines(f"{name}.jsonl"))
    assert {line["team"] for line in bureau.lines("acme.jsonl")} == {"all", "sales"}
    assert {line["team"] for line in bureau.lines("initech.jsonl")} == {"all"}


def test_the_example_prints_what_the_page_shows(tmp_path: Path) -> None:
    result = call("run", str(ROOT / "configs" / "organisations.yaml"), cwd=tmp_path)
    assert result.code == 0
    assert [result.err] == texts("organisations.md", "")


def test_a_connection_alone_exports_the_same_bytes(bureau: Bureau) -> None:
    """Running apart changes where files are, and nothing in them."""
    assert bureau.call("run").code == 0
    apart = bureau.files()
    alone = Bureau(bureau.folder, {})
    alone.job["connections"] = {"acme": bureau.job["connections"]["acme"]}
    alone.job["teams"] = [
        {"name": "all", "everyone": True},
        {"name": "sales", "team": "Sales"},
    ]
    alone.job["output"] = {"path": "out/alone.jsonl"}
    assert alone.call("run").code == 0
    assert alone.files()["alone.jsonl"] == apart["acme.jsonl"]


def test_one_that_fails_leaves_the_others_alone(bureau: Bureau) -> None:
    assert bureau.call("run").code == 0
    before = bureau.files()
    bureau.job["range"] = {**DAY, "end": "2024-01-04"}
    bureau.refuse("acme")
    result = bureau.call("run")
    assert result.code == 3
    assert "Traceback" not in result.err
    last = result.err.splitlines()[-3:]
    # What needs attention is last, although acme is the first connection.
    assert [line.partition(":")[0] for line in last] == [
        "bureau/globex",
        "bureau/initech",
        "bureau/acme",
    ]
    assert last[-1].startswith("bureau/acme: exit code 3: error: POST /oauth/token: 401")
    after = bureau.files()
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {name for name in after if not name.startswith("acme")}


@pytest.mark.parametrize("command", ["verify", "plan"])
def test_a_command_goes_on_with_the_connections_after_one_that_refuses(
    command: str, bureau: Bureau
) -> None:
    # `plan` asks for the members of a team that no run has looked up; `verify` for the totals.
    if command == "verify":
        assert bureau.call("run").code == 0
    bureau.refuse("acme")
    result = bureau.call(command)
    assert result.code == 3
    (line,) = result.err.splitlines()
    assert line.startswith("bureau/acme: error: POST /oauth/token: 401")
    assert "globex" in result.out
    assert "initech" in result.out


def test_a_server_that_is_down_does_not_stop_the_verification_of_the_others(
    bureau: Bureau,
) -> None:
    assert bureau.call("run").code == 0
    bureau.job["limits"] = FAIL_SOON
    bureau.job["connections"]["acme"] |= {"login_url": DEAD, "api_url": DEAD}
    result = bureau.call("verify")
    assert result.code == 1
    failed = [line for line in result.out.splitlines() if line.startswith("FAIL")]
    assert failed
    assert all(line.startswith("FAIL  acme: ") for line in failed)
    assert "OK    initech: " in result.out


def test_a_person_is_erased_from_the_connections_after_one_that_fails(bureau: Bureau) -> None:
    assert bureau.call("run").code == 0
    user = bureau.lines("initech.jsonl")[0]["user_id"]
    with locked(bureau.folder / "out" / ".asyncreport" / "bureau" / "acme" / "lock"):
        result = bureau.call("clean", "--user", user)
    assert result.code == 5
    assert result.err.startswith("bureau/acme: error: ")
    assert user not in {line["user_id"] for line in bureau.lines("initech.jsonl")}


@pytest.mark.parametrize(
    "command", ["status", "clean", pytest.param("report", marks=pytest.mark.extra)]
)
def test_a_damaged_state_of_one_connection_does_not_stop_the_others(
    command: str, bureau: Bureau
) -> None:
    assert bureau.call("run").code == 0
    state = bureau.folder / "out" / ".asyncreport" / "bureau" / "acme"
    (manifest,) = state.rglob("manifest.jsonl")
    manifest.write_text("{}\n" + manifest.read_text())
    arguments = ("-o", "{connection}.html") if command == "report" else ()
    result = bureau.call(command, *arguments)
    assert result.code == 5
    errors = [line for line in result.err.splitlines() if "error: " in line]
    assert [line.partition(":")[0] for line in errors] == ["bureau/acme"]
    assert "initech" in result.out + result.err


@pytest.mark.parametrize("command", ["check", "plan", "status", "verify"])
def test_the_json_of_several_connections_has_one_in_each_line(command: str, bureau: Bureau) -> None:
    assert bureau.call("run").code == 0
    lines = bureau.call(command, "--json").out.splitlines()
    assert [json.loads(line)["job"] for line in lines] == [f"bureau/{name}" for name in NAMES]


def test_a_connection_that_fails_has_its_line_of_json(bureau: Bureau) -> None:
    bureau.refuse("globex")
    result = bureau.call("plan", "--json", "--log-format", "json")
    assert result.code == 3
    _, failed, _ = map(json.loads, result.out.splitlines())
    assert (failed["job"], failed["exit_code"]) == ("bureau/globex", 3)
    message = json.loads(result.err)
    assert message["level"] == "error"
    assert message["message"] == f"bureau/globex: error: {failed['error']}"


def test_one_that_another_process_exports_does_not_stop_the_others(bureau: Bureau) -> None:
    folder = bureau.folder / "out" / ".asyncreport" / "bureau" / "globex"
    folder.mkdir(parents=True)
    with locked(folder / "lock"):
        result = bureau.call("run")
    assert result.code == 5
    assert "acme.jsonl" in bureau.files()
    assert "globex.jsonl" not in bureau.files()
    assert "bureau/globex: exit code 5: error: " in result.err


def test_a_job_that_is_split_later_fetches_nothing_again(
    bureau: Bureau, emulators: dict[str, Handle]
) -> None:
    bureau.job["output"] = {"path": "out/whole.jsonl"}
    assert bureau.call("run").code == 0
    seen = {name: len(queries(each)) for name, each in emulators.items()}
    bureau.job["output"] = APART
    assert bureau.call("run").code == 0
    bureau.job["output"] = {"path": "out/whole.jsonl"}
    assert bureau.call("run").code == 0
    assert {name: len(queries(each)) for name, each in emulators.items()} == seen
    whole = bureau.lines("whole.jsonl")
    assert len(whole) == sum(len(bureau.lines(f"{name}.jsonl")) for name in NAMES)


def queries(emulator: Handle) -> list[Any]:
    return [entry for entry in emulator.log() if entry["path"].endswith("aggregates/query")]


def test_a_team_of_several_connections_in_one_file(bureau: Bureau) -> None:
    """Lines are in the order of teams, then of connections as the job has them, then of users."""
    bureau.job["range"] = {**DAY, "end": "2024-01-08"}
    bureau.job["output"] = {
        "path": "out/whole.jsonl",
        "per_team": "out/{team}.jsonl",
        "columns": ["connection", "team", "user_id", "interval_start", "handled_count"],
    }
    result = bureau.call("run")
    assert result.code == 0, result.err
    lines = bureau.lines("whole.jsonl")
    order = [(line["team"], line["connection"]) for line in lines]
    assert list(dict.fromkeys(order)) == [
        ("all", "acme"),
        ("all", "globex"),
        ("all", "initech"),
        ("sales", "acme"),
        ("sales", "globex"),
    ]
    for each in dict.fromkeys(order):
        users = [line["user_id"] or "" for line, of in zip(lines, order, strict=True) if of == each]
        assert users == sorted(users)
    assert bureau.lines("sales.jsonl") == [line for line in lines if line["team"] == "sales"]
    assert f"  sales: {len(bureau.lines('sales.jsonl')):,} records" in result.err
    assert bureau.call("verify").code == 0
    # The members of both are remembered, each with its connection.
    assert "members" not in bureau.call("status").out


def test_the_other_commands_take_each_connection_in_turn(bureau: Bureau) -> None:
    assert bureau.call("run").code == 0
    plan = bureau.call("plan")
    assert plan.code == 0
    assert [line for line in plan.out.splitlines() if "0 chunks to fetch" in line] == [
        f"{name}: 1 part reused, 0 chunks to fetch" for name in NAMES
    ]
    status = bureau.call("status")
    assert status.out.count("no run is in progress") == 3
    assert bureau.call("verify").code == 0
    (bureau.folder / "out" / "globex.jsonl").unlink()
    assert bureau.call("verify").code == 1
    assert bureau.call("clean", "--dry-run").out.splitlines() == [
        f"bureau/{name}: nothing to delete: the job asks every query that has parts"
        for name in NAMES
    ]


def test_one_person_is_erased_wherever_it_is(bureau: Bureau) -> None:
    assert bureau.call("run").code == 0
    before = bureau.files()
    user = next(line["user_id"] for line in bureau.lines("globex.jsonl") if line["user_id"])
    result = bureau.call("clean", "--user", user)
    assert result.code == 0
    assert f"bureau/acme: nothing is stored about user {user}" in result.out
    after = bureau.files()
    assert user.encode() not in b"".join(after.values())
    assert {name for name in after if after[name] != before[name]} >= {"globex.jsonl"}
    assert after["acme.jsonl"] == before["acme.jsonl"]


@pytest.mark.extra
def test_a_report_for_each_connection(bureau: Bureau) -> None:
    assert bureau.call("run").code == 0
    refused = bureau.call("report", "-o", "page.html")
    assert (refused.code, refused.out) == (2, "")
    assert "write {connection} into the path: -o report-{connection}.html" in refused.err
    assert bureau.call("report", "-o", "page-{connection}.html").code == 0
    assert sorted(path.name for path in bureau.folder.glob("*.html")) == [
        f"page-{name}.html" for name in NAMES
    ]


def test_the_python_api_takes_one_connection(bureau: Bureau, monkeypatch: Any) -> None:
    monkeypatch.chdir(bureau.folder)
    with pytest.raises(asyncreport.ConfigError, match="accepted: 'acme', 'globex', 'initech'"):
        asyncreport.run(bureau.job)
    summary = asyncreport.run(bureau.job, connection="globex")
    assert (summary.job, summary.complete) == ("bureau/globex", True)
    found = list(asyncreport.records(bureau.job, connection="globex"))
    assert len(found) == sum(summary.records.values())
    bureau.job["output"] = {"path": "out/whole.jsonl"}
    with pytest.raises(asyncreport.ConfigError, match="is exported as a whole"):
        asyncreport.status(bureau.job, connection="globex")


def test_shares_and_a_merge_write_the_bytes_of_one_run(bureau: Bureau, tmp_path: Path) -> None:
    bureau.job["output"] = {"path": "out/whole.jsonl", "per_team": "out/{team}.jsonl"}
    early = bureau.call("run", "--connections", "1/2")
    assert early.code == 0, early.err
    # The first and the third, in the order of their names; no file of all connections is written.
    ended = [line.partition(":")[0] for line in early.err.splitlines() if "exit code" in line]
    assert ended == ["bureau/acme", "bureau/initech"]
    assert bureau.files() == {}
    incomplete = bureau.call("merge")
    assert incomplete.code == 1
    assert "not fetched yet\n" in incomplete.err
    assert "`asyncreport run` fetches them, `asyncreport merge` fetches nothing" in incomplete.err
    assert "the same error" not in incomplete.err
    assert bureau.files() == {}
    assert bureau.call("run", "--connections", "2/2").code == 0
    seen = [len(queries(each)) for each in bureau.emulators.values()]
    merged = bureau.call("merge")
    assert merged.code == 0, merged.err
    assert seen == [len(queries(each)) for each in bureau.emulators.values()]
    assert bureau.call("verify").code == 0
    once = Bureau(tmp_path / "once", bureau.emulators)
    once.folder.mkdir()
    once.job["output"] = bureau.job["output"]
    assert once.call("run").code == 0
    assert once.files() == bureau.files()


def test_a_share_that_is_killed_loses_and_doubles_nothing(bureau: Bureau, tmp_path: Path) -> None:
    bureau.job["output"] = {"path": "out/whole.jsonl"}
    bureau.job["range"] = {**DAY, "chunk": "P1D"}
    bureau.job["limits"] = {"concurrency": 1}
    assert bureau.call("run", "--connections", "2/2").code == 0
    acme = bureau.emulators["acme"]
    seen = len(queries(acme))
    # One chunk is saved; the next query gets no answer.
    acme.faults([{"match": {"path": "aggregates/query", "after": 1}, "do": {"hang": True}}])
    try:
        path = str(bureau.folder / "job.yaml")
        with start("run", path, "--connections", "1/2", cwd=bureau.folder) as share:
            while len(queries(acme)) < seen + 2:
                assert share.poll() is None
            # Its locks are held: the merge does not write what is half fetched.
            assert bureau.call("merge").code == 5
            share.kill()
            share.wait()
    finally:
        acme.faults([])
    assert bureau.call("merge").code == 1
    assert bureau.files() == {}
    assert bureau.call("run", "--connections", "1/2").code == 0
    assert bureau.call("merge").code == 0
    once = Bureau(tmp_path / "once", bureau.emulators)
    once.folder.mkdir()
    once.job["output"] = bureau.job["output"]
    once.job["range"] = bureau.job["range"]
    assert once.call("run").code == 0
    assert once.files() == bureau.files()


def test_shares_tile_the_connections(bureau: Bureau) -> None:
    ran = []
    for number in (1, 2, 3, 4, 5):
        result = bureau.call("run", "--connections", f"{number}/5")
        assert result.code == 0, result.err
        lines = [line.partition(":")[0] for line in result.err.splitlines()]
        # A share that ran says first where the files are.
        ran += [line for line in lines if line != "bureau"]
    nothing = "this share has no connection"
    assert ran == [*(f"bureau/{name}" for name in NAMES), nothing, nothing]
    assert {"acme.jsonl", "globex.jsonl", "initech.jsonl"} <= bureau.files().keys()


@pytest.mark.parametrize("share", ["0/3", "4/3", "3", "a/b", "1/0", "-1/3", "1/3/5"])
def test_a_wrong_share_is_refused(bureau: Bureau, share: str) -> None:
    result = bureau.call("run", f"--connections={share}")
    assert (result.code, result.out) == (2, "")
    assert f"{share!r} is not a share such as 3/16: the third of sixteen" in result.err


def test_a_second_job_with_the_same_files_names_the_first(bureau: Bureau) -> None:
    assert bureau.call("run").code == 0
    before = bureau.files()
    bureau.job["name"] = "copy"
    result = bureau.call("run", "--connections", "1/3")
    assert result.code == 2
    assert "acme.jsonl is an output file of the job 'bureau/acme', and two jobs" in result.err
    assert bureau.files() == before


def test_there_is_nothing_to_merge_if_each_has_files_of_its_own(bureau: Bureau) -> None:
    result = bureau.call("merge")
    assert result.code == 2
    assert "and nothing is left to merge" in result.err


def handled(lines: list[dict[str, Any]], *by: str) -> dict[Any, int]:
    """Add up the handled interactions."""
    sums: Counter[Any] = Counter()
    for line in lines:
        sums[tuple(line[key] for key in by)] += line["handled_count"]
    return dict(sums)


def test_a_roll_up_adds_a_team_up_over_its_connections(bureau: Bureau) -> None:
    bureau.job["range"] = {**DAY, "start": "2024-01-28", "end": "2024-02-06"}
    bureau.job["output"] = {
        "path": "out/whole.jsonl",
        "rollups": [
            {"by": ["team"], "every": "P1D", "path": "out/teams.jsonl"},
            {"by": ["team", "user"], "every": "P1D", "path": "out/users.jsonl"},
        ],
    }
    assert bureau.call("run").code == 0
    lines = [{**line, "day": line["interval_start"][:10]} for line in bureau.lines("whole.jsonl")]
    teams = [{**row, "day": row["interval_start"][:10]} for row in bureau.lines("teams.jsonl")]
    users = [{**row, "day": row["interval_start"][:10]} for row in bureau.lines("users.jsonl")]
    assert handled(teams, "team", "day") == handled(lines, "team", "day")
    assert len(teams) == len(handled(teams, "team", "day"))
    assert handled(users, "team", "user_id", "day") == handled(lines, "team", "user_id", "day")


@pytest.mark.extra
def test_a_report_tells_the_teams_of_connections_apart(bureau: Bureau) -> None:
    bureau.job["range"] = {**DAY, "end": "2024-01-08"}
    bureau.job["output"] = {
        "path": "out/whole.jsonl",
        "columns": ["connection", "team", "user_id", "handled_count"],
    }
    assert bureau.call("run").code == 0
    result = bureau.call("report", "-o", "page.html")
    assert result.code == 0, result.err
    lines = bureau.lines("whole.jsonl")
    people = {line["user_id"] for line in lines} - {None}
    # The records of an agent in two teams count in both, and the page says so.
    total = sum(line["handled_count"] for line in lines)
    assert f"5 teams, {len(people)} agents, {total:,} handled" in result.err
    sales = [line for line in lines if line["team"] == "sales" and line["connection"] == "acme"]
    alone = bureau.call("report", "-o", "sales.html", "--team", "sales (acme)")
    assert alone.code == 0, alone.err
    total = sum(line["handled_count"] for line in sales)
    assert f"1 team, {len({line['user_id'] for line in sales})} agent" in alone.err
    assert f"{total:,} handled" in alone.err
    unknown = bureau.call("report", "-o", "sales.html", "--team", "sales")
    assert unknown.code == 2
    assert "sales (acme), sales (globex)" in unknown.err


class Region(ThreadingHTTPServer):
    """One host of two organisations: each request goes to that of its OAuth client."""

    def __init__(self, emulators: dict[str, Handle]) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.emulators = emulators

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Forward(BaseHTTPRequestHandler):
    """Send each request on, with the credentials of the emulator."""

    server: Region

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"] or 0))
        given = self.headers["authorization"]
        headers = {"content-type": self.headers["content-type"] or "", "authorization": given}
        if self.path == "/oauth/token":
            client = b64decode(given.removeprefix("Basic ")).decode().partition(":")[0]
            owner = self.server.emulators[client]
            pair = f"{owner.client_id}:{owner.client_secret}"
            headers["authorization"] = "Basic " + b64encode(pair.encode()).decode()
        else:
            # Both emulators give the same tokens; the name of the client is in front of them.
            client, _, token = given.removeprefix("Bearer ").partition(".")
            owner = self.server.emulators[client]
            headers["authorization"] = f"Bearer {token}"
        request = Request(
            owner.url + self.path, data=body or None, headers=headers, method=self.command
        )
        with urlopen(request) as response:
            answer = response.read()
            if self.path == "/oauth/token":
                answer = answer.replace(b'"access_token":"', f'"access_token":"{client}.'.encode())
                assert f"{client}.".encode() in answer
            self.send_response(response.status)
            self.send_header("content-type", response.headers["content-type"])
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_GET = do_POST  # noqa: N815 - the name that http.server calls

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def region(emulators: dict[str, Handle]) -> Iterator[Region]:
    both = {name: emulators[name] for name in ("acme", "globex")}
    with Region(both) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("path", ["out/whole.jsonl", "out/{connection}.jsonl"])
def test_two_organisations_of_one_region(bureau: Bureau, region: Region, path: str) -> None:
    """They have the same host, and their clients tell them apart."""
    bureau.job["output"] = {"path": path, "columns": ["connection", "user_name", "handled_count"]}
    assert bureau.call("run").code == 0
    before = bureau.files()
    for name in ("acme", "globex"):
        host = {"api_url": region.url, "login_url": region.url, "client_id": name}
        bureau.job["connections"][name] = {**bureau.job["connections"][name], **host}
    bureau.job["name"] = "region"
    bureau.job["output"]["path"] = path.replace("out/", "out/region-")
    result = bureau.call("run")
    assert result.code == 0, result.err
    for name, content in before.items():
        assert bureau.files()[f"region-{name}"] == content
    assert bureau.call("verify").code == 0


def test_one_organisation_twice_is_refused(bureau: Bureau, region: Region) -> None:
    """With two clients only the server can say it."""
    region.emulators["second"] = region.emulators["acme"]
    host = {"api_url": region.url, "login_url": region.url}
    bureau.job["connections"] = {
        name: {**bureau.job["connections"]["acme"], **host, "client_id": name}
        for name in ("acme", "second")
    }
    bureau.job["teams"] = [{"name": "all", "everyone": True, "connections": "all"}]
    bureau.job["output"] = {"path": "out/whole.jsonl"}
    result = bureau.call("run")
    assert (result.code, bureau.files()) == (2, {})
    assert "connections.second is the same organisation as connections.acme" in result.err
