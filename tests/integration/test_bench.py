"""The bench measures what it says: it serves the emulator's responses and checks the rows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import ProxyHandler, Request, build_opener

import pytest

from asyncreport.emulator import Options, World
from asyncreport.emulator.cloud import Cloud
from asyncreport.emulator.limits import CLIENT_ID
from asyncreport.emulator.messages import Request as EmulatedRequest
from tests.bench import board, bureau, contest, workers
from tests.bench.load import Load, Server, Verdict, serving
from tests.bench.peers import pull
from tests.bench.sides import Pull, Side, sides
from tests.bench.table import markdown, streamed
from tests.exporting import run_here

LOAD = Load(agents=6, days=3)
_OPENER = build_opener(ProxyHandler({}))
_JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(LOAD) as handle:
        yield handle


def call(url: str, body: bytes, headers: dict[str, str]) -> Any:
    with _OPENER.open(
        Request(url, data=body, headers=headers, method="POST"), timeout=60
    ) as answer:
        return answer.read()


def bearer(server: Server) -> dict[str, str]:
    grant = urlencode(
        {
            "grant_type": "client_credentials",
            "client_id": server.client_id,
            "client_secret": server.client_secret,
        }
    )
    found = json.loads(
        call(
            f"{server.url}/oauth/token",
            grant.encode(),
            {"content-type": "application/x-www-form-urlencoded"},
        )
    )
    return {**_JSON, "authorization": f"Bearer {found['access_token']}"}


def test_the_load_server_responds_to_every_query_as_the_emulator_does(server: Server) -> None:
    server.reset(latency=0.0)
    headers, cloud = (
        bearer(server),
        Cloud(World(LOAD.agents, LOAD.seed), Options(requests_per_minute=0)),
    )
    token = cloud.tokens.issue(CLIENT_ID, 0.0).text
    bodies = [json.dumps(query).encode() for query in pull.queries(LOAD.asked(server))]
    for body in bodies:
        ask = EmulatedRequest(
            method="POST",
            path=pull.PATH,
            headers={**_JSON, "authorization": f"Bearer {token}"},
            body=body,
        )
        assert call(server.url + pull.PATH, body, headers) == cloud.respond(ask, 1.0).body
    call(server.url + pull.PATH, bodies[0], headers)
    counts = server.counts()
    assert len(bodies) == LOAD.days
    assert [
        counts[name]
        for name in ("requests", "queries", "answered", "again", "throttled", "unprepared")
    ] == [4, 4, 4, 1, 0, 0]
    assert counts["sent"] > 1000
    assert counts["crowd"] == 1


def test_the_load_server_limits_every_client(server: Server) -> None:
    server.reset(latency=0.0, limit=2)
    headers, body = bearer(server), json.dumps(next(pull.queries(LOAD.asked(server)))).encode()
    for _ in range(2):
        call(server.url + pull.PATH, body, headers)
    with pytest.raises(HTTPError) as refused:
        call(server.url + pull.PATH, body, headers)
    with refused.value as answer:
        assert answer.code == 429
        assert int(answer.headers["retry-after"]) > 50
        assert answer.headers["inin-ratelimit-allowed"] == "2"
    assert [server.counts()[name] for name in ("queries", "answered", "throttled")] == [3, 2, 1]


@pytest.mark.parametrize("number", range(2))
def test_asyncreport_sends_the_queries_of_its_peers_and_its_rows_are_right(
    server: Server, tmp_path: Path, number: int
) -> None:
    side = sides(None)[number]
    server.reset(latency=0.0)
    command = side.command(Pull(load=LOAD, server=server, folder=tmp_path, days=LOAD.days))
    run_here(Path(command[-1]))
    assert LOAD.judge(side.output(tmp_path)) == Verdict(
        right=len(LOAD.truth), wrong=0, missing=0, twice=0
    )
    counts = server.counts()
    assert (counts["queries"], counts["again"]) == (LOAD.days if number == 0 else 1, 0)
    assert counts["unprepared"] == number


def test_the_rows_that_the_peers_share_are_right(server: Server, tmp_path: Path) -> None:
    server.reset(latency=0.0)
    headers, names = (
        bearer(server),
        {person.id: person.name for person in World(LOAD.agents, LOAD.seed).people},
    )
    found = []
    for query in pull.queries(LOAD.asked(server)):
        found += pull.rows(
            json.loads(call(server.url + pull.PATH, json.dumps(query).encode(), headers)), names
        )
    (tmp_path / "out.jsonl").write_text(pull.lines(found))
    assert LOAD.judge([tmp_path / "out.jsonl"]).clean
    first_days = [row for row in found if row["interval_start"] < "2024-01-03"]
    (tmp_path / "out.jsonl").write_text(pull.lines(first_days))
    assert LOAD.judge([tmp_path / "out.jsonl"], 2).clean
    assert LOAD.judge([tmp_path / "out.jsonl"]).missing == len(found) - len(first_days) > 0


def test_missing_doubled_changed_and_cut_rows_are_found(server: Server, tmp_path: Path) -> None:
    run_here(
        Path(
            sides(None)[0].command(Pull(load=LOAD, server=server, folder=tmp_path, days=LOAD.days))[
                -1
            ]
        )
    )
    out = tmp_path / "out.jsonl"
    first, second, third, *rest = out.read_text().splitlines(keepends=True)
    changed = second.replace('"handled_count":', '"handled_count":1')
    out.write_text("".join([changed, third, third, *rest, first[:40]]))
    assert LOAD.judge([out]) == Verdict(right=len(LOAD.truth) - 2, wrong=2, missing=1, twice=1)


def test_a_run_is_measured_and_the_next_run_finishes_a_killed_one(server: Server) -> None:
    ours = sides(None)[0]
    terms = contest.Terms(load=LOAD, server=server, latency=0.0, days=LOAD.days)
    run = contest.must(ours, terms)
    assert run.verdict.clean
    assert run.cpu > 0
    assert 10 < run.rss_mb < 500
    killed = contest.kill(ours, terms)
    assert killed.answered >= LOAD.days // 2
    assert killed.queries <= LOAD.days
    assert killed.complete


def test_a_failed_contender_is_reported_with_its_own_message(server: Server) -> None:
    side = Side(
        "broken", lambda _: [sys.executable, "-c", "raise SystemExit('out of order')"], lambda _: []
    )
    terms = contest.Terms(load=LOAD, server=server, latency=0.0, days=1)
    assert contest.run(side, terms).code == 1
    with pytest.raises(RuntimeError, match="broken ended with 1: out of order"):
        contest.must(side, terms)


def test_a_command_is_measured_alone() -> None:
    """Its exit code, and its own memory peak."""
    command = [
        sys.executable,
        "-S",
        "-E",
        contest.LAUNCHER[-1],
        "60",
        sys.executable,
        "-S",
        "-E",
        "-c",
        "raise SystemExit(3)",
    ]
    measured = json.loads(
        subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    )
    assert measured["code"] == 3
    assert 0 < measured["cpu"] < measured["seconds"] * 4
    assert 1 < measured["rss_mb"] < 30


def test_a_table_is_markdown_with_numbers_on_the_right() -> None:
    table = markdown(("what", "n", "met"), [("a|b", 1234, True), ("c", 0.5, False)])
    assert table.splitlines() == [
        "| what |     n | met |",
        "| ---- | ----: | --- |",
        "| a\\|b | 1,234 | yes |",
        "| c    | 0.500 | no  |",
    ]


def ran(cpu: float, rows: int) -> contest.Run:
    counts = {"requests": rows + 1, "crowd": 1, "throttled": 0, "unprepared": 0}
    return contest.Run(
        code=0,
        stderr="",
        seconds=2 * cpu,
        cpu=cpu,
        rss_mb=50.0,
        counts=counts,
        verdict=Verdict(rows, 0, 0, 0),
    )


def test_the_cpu_of_a_row_excludes_the_start_of_the_process() -> None:
    score = board.Score([ran(3.0, 201), ran(9.0, 201), ran(5.0, 201)], ran(1.0, 1))
    assert (score.cpu, score.per_row, round(score.start, 6)) == (5.0, 0.02, 0.98)
    quicker = board.Score([ran(1.0, 201)], ran(0.5, 1))
    assert board._budget("peer", quicker, score, 8) == (
        "CPU per record against: peer",
        "at most 1/8",
        "1/8.0 beyond start-up; 1/5.0 with it",
        "yes",
    )
    assert board._budget("peer", quicker, score, 9)[-1] == "**no**"
    (*_, line) = streamed(board._PULLED, [board._pulled("peer", score, quicker)])
    assert [cell.strip() for cell in line.split("|")[1:4]] == ["peer", "10.0", "5.00"]


def test_a_row_is_printed_before_the_next_one_is_measured() -> None:
    """A contest that is broken off keeps its figures."""

    def rows() -> Iterator[tuple[object, ...]]:
        yield ("a|b", 1234)
        raise RuntimeError("broken off")

    lines = streamed(("who", "how many"), rows())
    assert [next(lines), next(lines), next(lines)] == [
        "| who | how many |",
        "| --- | --- |",
        "| a\\|b | 1,234 |",
    ]
    with pytest.raises(RuntimeError, match="broken off"):
        next(lines)


def test_a_contest_with_a_limit_reports_the_result_of_each(server: Server) -> None:
    terms = contest.Terms(load=LOAD, server=server, latency=0.0, limit=1000, days=LOAD.days)
    head, _, line = board.limits(sides(None)[:1], terms)
    cells = dict(
        zip(
            [cell.strip() for cell in head.split("|")],
            [cell.strip() for cell in line.split("|")],
            strict=True,
        )
    )
    # the organisation, the listed users (before the pull), and the divisions that the client sees
    others = 4
    assert (cells["who"], cells["requests"], cells["429s"], cells["exit code"]) == (
        "asyncreport",
        str(LOAD.days + others),
        "0",
        "0",
    )
    assert cells["rows: right, missing, twice, wrong"] == f"{len(LOAD.truth)}, 0, 0, 0"


@pytest.mark.parametrize("night", workers.NIGHTS)
def test_the_longest_first_is_near_the_time_that_no_order_beats(night: str) -> None:
    plans = workers.plans(night, seed=1)
    assert sum(plans) / workers.WORKERS <= workers.least(plans)
    assert workers.least(plans) - 1 <= workers.longest_first(plans) <= 1.01 * workers.least(plans)


@pytest.mark.model
@pytest.mark.parametrize("night", workers.NIGHTS)
def test_the_longest_first_never_takes_a_third_more(night: str) -> None:
    """Graham's bound is 4/3 of the best order; with few plans it matters."""
    for number in (20, 30, 100):
        for seed in range(100):
            plans = workers.plans(night, seed, number)
            best = max(workers.least(plans), 2 * sorted(plans)[-21] if number > 20 else 0)
            assert workers.longest_first(plans) <= 4 / 3 * best + 1


def test_the_bench_of_many_organisations_exports_each(tmp_path: Path) -> None:
    with bureau.organisations(3) as urls:
        job = bureau.write_job(tmp_path, urls, end="2024-01-03", chunk="P7D")
        bureau.run(job)
    sizes = [path.stat().st_size for path in tmp_path.glob("org-*.jsonl")]
    assert len(sizes) == 3
    assert min(sizes) > 0
