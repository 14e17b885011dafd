"""Any response ends in correct records or in an error of ours, after a bounded number of requests.

The responses are those of an emulated organisation with damaged values, keys or bytes, see
`mutations`, and arbitrary JSON and bytes. The 10,000 cases are the same in each run. A small share
of them runs always, the others only with the marker `model`; ASYNCREPORT_FUZZ=20 makes twenty times
as many.
"""

from __future__ import annotations

import itertools
import json
import os
import random
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncreport.api import contracts, directory, oauth, organization, wire
from asyncreport.api.aggregates import ConnectionState
from asyncreport.api.problems import problem
from asyncreport.api.wire import Request, Response
from asyncreport.config.zones import load_zone
from asyncreport.core.errors import AsyncReportError, RetriesExhausted, TransientError
from asyncreport.core.job import Chunk, Client, Query, Selector
from asyncreport.core.records import Accumulator, Block
from asyncreport.core.secret import Secret
from asyncreport.core.timeline import Granularity, Grid, Interval, parse_iso
from asyncreport.emulator.cloud import Cloud
from asyncreport.emulator.limits import CLIENT_ID, CLIENT_SECRET
from asyncreport.emulator.messages import Request as EmulatedRequest
from asyncreport.emulator.options import Options
from asyncreport.emulator.rosters import Kind, Rosters
from asyncreport.emulator.world import World
from asyncreport.engine.fetch import drive, fetch
from tests import clock
from tests.unit.api.mutations import mutated
from tests.unit.api.test_directory import look_up

FACTOR = int(os.environ.get("ASYNCREPORT_FUZZ", "1"))
#: requests in one case, at most, where a listing may have `MOST` pages
REQUESTS, MOST = 250, 50


def shares(some: int, every: int) -> list[Any]:
    """Split the numbers of cases: some run always, the others only with the marker `model`."""
    rest = range(some, every * FACTOR)
    return [
        pytest.param(range(some), id="some"),
        pytest.param(rest, id="the others", marks=pytest.mark.model),
    ]


#: characters of an error
LONGEST = 1500

WORLD = World(6, seed=3)
USERS = tuple(sorted(person.id for person in WORLD.people))
DAY = Interval(parse_iso("2024-01-15T00:00Z"), parse_iso("2024-01-16T00:00Z"))
#: a clock change is in it
WEEK = Interval(parse_iso("2024-03-28T00:00Z"), parse_iso("2024-04-02T23:00Z") - 86_400_000)

HOURS, DAYS = (
    Grid(Granularity.PT1H, load_zone("UTC")),
    Grid(Granularity.P1D, load_zone("Europe/Dublin")),
)
CHUNKS: dict[str, tuple[Query, Chunk]] = {
    "split": (
        Query(grid=HOURS, split_by=("queueId", "mediaType"), metrics=("tAnswered",)),
        Chunk(connection="c", month="", interval=DAY, users=None),
    ),
    "days": (Query(grid=DAYS), Chunk(connection="c", month="", interval=WEEK, users=USERS)),
    "occupancy": (
        Query(grid=HOURS, occupancy=True),
        Chunk(connection="c", month="", interval=DAY, users=USERS),
    ),
    "query-jobs": (
        Query(grid=HOURS, contract="query-jobs"),
        Chunk(connection="c", month="", interval=DAY, users=USERS),
    ),
    "entities": (
        Query(grid=HOURS, contract="entities"),
        Chunk(connection="c", month="", interval=DAY, users=USERS),
    ),
    "entities by day": (
        Query(grid=DAYS, contract="entities"),
        Chunk(connection="c", month="", interval=WEEK, users=None),
    ),
}

Steps = Generator[Request, Any, Any]
QUEUE = WORLD.queues[0]
LISTINGS: dict[str, Callable[[], Steps]] = {
    "a group by name": lambda: look_up(Selector(kind="group", value="Pilot")),
    "a team by name": lambda: directory.look_up(Selector(kind="team", value="Billing East"), None),
    "a queue by id": lambda: directory.look_up(Selector(kind="queue", value=QUEUE.id), None),
    "everyone": directory.all_user_ids,
    "names": lambda: directory.user_names(USERS),
    "names of queues": lambda: directory.names("queue_name", [queue.id for queue in WORLD.queues]),
    "divisions": organization.visible_divisions,
    "limits": lambda: _once(organization.limits_request()),
    "how many": lambda: _once(directory.user_count_request()),
    "token": lambda: _once(
        oauth.token_request(Client(client_id=CLIENT_ID, client_secret=Secret(CLIENT_SECRET)))
    ),
}


def _members(kind: Kind, name: str) -> tuple[str, ...]:
    """List the members of the emulator's world; deleted users are not listed."""
    states = {person.id: person.state for person in WORLD.people}
    roster = next(each for each in Rosters(WORLD).of(kind) if name in (each.name, each.id))
    return tuple(sorted(user for user in roster.members if states[user] != "deleted"))


#: what each listing gives if nothing is spoiled; of a group, team or queue its members
EXPECTED: dict[str, Callable[[], object]] = {
    "groups": lambda: _members("group", "Pilot"),
    "a team by name": lambda: _members("team", "Billing East"),
    "a queue by id": lambda: _members("queue", QUEUE.id),
    "everyone": lambda: tuple(sorted(person.id for person in WORLD.people)),
    "names": lambda: {each.id: each.name for each in WORLD.people if each.id in USERS},
    "names of queues": lambda: {queue.id: queue.name for queue in WORLD.queues},
    "how many": lambda: len(WORLD.people),
}


@pytest.fixture(autouse=True)
def few_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_PAGES", MOST)


def _once(request: Request) -> Steps:
    return (yield request)


#: what an organisation says is the same each time, query jobs apart
_ANSWERS: dict[object, tuple[int, bytes]] = {}


class Server:
    """Respond with what `spoil` makes of a good body; raise the errors that a lane would raise."""

    def __init__(
        self,
        spoil: Callable[[bytes], bytes],
        *,
        honest: bool = True,
        status: Callable[[], int] = lambda: 200,
    ) -> None:
        self._cloud = (
            Cloud(
                WORLD,
                Options(requests_per_minute=0, tokens_per_minute=0, job_polls=0, most_per_page=20),
            )
            if honest
            else None
        )
        self._spoil = spoil
        self._status = status
        self.asked = 0

    async def ask(self, request: Request) -> Any:
        self.asked += 1
        assert self.asked <= REQUESTS, "it asks without end"
        status, good = (
            (self._status(), b"") if self._cloud is None else self._good(self._cloud, request)
        )
        body = self._spoil(good)
        try:
            if not 200 <= status < 300:
                raise problem(request, Response(status=status, headers={}, body=body))
            return request.decode(body)
        except TransientError as error:
            raise RetriesExhausted(f"{error}; gave up") from error

    def _good(self, cloud: Cloud, request: Request) -> tuple[int, bytes]:
        key = (request.method, request.path, request.query, request.body)
        if "/jobs" in request.path or key not in _ANSWERS:
            _ANSWERS[key] = self._answered(cloud, request)
        return _ANSWERS[key]

    def _answered(self, cloud: Cloud, request: Request) -> tuple[int, bytes]:
        headers = {name.lower(): value for name, value in request.headers.items()}
        if request.host == "api":
            headers["authorization"] = f"Bearer {self._token(cloud)}"
        ask = EmulatedRequest(
            method=request.method,
            path=request.path,
            query=request.query,
            headers=headers,
            body=request.body or b"",
        )
        answer = cloud.respond(ask, float(self.asked))
        return answer.status, answer.body

    def _token(self, cloud: Cloud) -> str:
        asked = oauth.token_request(
            Client(client_id=CLIENT_ID, client_secret=Secret(CLIENT_SECRET))
        )
        headers = {name.lower(): value for name, value in asked.headers.items()}
        answer = cloud.respond(
            EmulatedRequest(
                method="POST", path=asked.path, headers=headers, body=asked.body or b""
            ),
            float(self.asked),
        )
        return oauth.decode_grant(answer.body).access_token.reveal()


def fetched(name: str, server: Server) -> list[Block] | None:
    """Fetch a chunk; return its checked blocks, or None after a checked error of ours."""
    query, chunk = CHUNKS[name]
    blocks = ended(lambda: fetch(chunk, query, server.ask, ConnectionState(all_users=USERS)))
    if blocks is not None:
        spans = {
            str(Interval(*pair)) for pair in itertools.pairwise(query.grid.edges(chunk.interval))
        }
        assert [block.user for block in blocks] == sorted(
            (block.user for block in blocks), key=lambda user: user or ""
        )
        for block in blocks:
            assert chunk.users is None or block.user in chunk.users
            rows = [json.loads(line, parse_constant=refused) for line in block.lines.splitlines()]
            assert len(rows) == block.count
            assert {f"{row['interval_start']}/{row['interval_end']}" for row in rows} <= spans
            numbers = [
                value for row in rows for value in row.values() if isinstance(value, int | float)
            ]
            assert all(0 <= number <= 2**53 for number in numbers)
    return blocks


def refused(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def ended(work: Callable[[], Any]) -> Any:
    """Run it to its end; return the result, or None after a readable error of ours."""
    try:
        return clock.run(work())
    except AsyncReportError as error:
        assert 0 < len(str(error)) <= LONGEST
        return None


@pytest.mark.parametrize("seeds", shares(50, 1200))
@pytest.mark.parametrize("name", CHUNKS)
def test_spoiled_answers_make_records_that_hold_or_an_error_of_ours(
    name: str, seeds: range
) -> None:
    """7,200 cases; the good answer makes records, some spoiled ones do, and some do not."""
    assert fetched(name, Server(bytes))
    outcomes: Counter[bool] = Counter()
    for seed in seeds:
        rng = random.Random(f"{name} {seed}")
        spoiled = lambda good, rng=rng: mutated(good, rng) if good and rng.random() < 0.5 else good  # noqa: E731
        outcomes[fetched(name, Server(spoiled)) is None] += 1
    assert min(outcomes[True], outcomes[False]) > len(seeds) / 25


@pytest.mark.parametrize("name", CHUNKS)
@pytest.mark.parametrize(
    "instead",
    ["Results", "RESULTS", "", "\u202e", "id", "interval", "message", "error", "jobId", None],
)
def test_an_answer_that_says_something_else_in_place_of_what_it_reports_takes_no_row_away(
    name: str, instead: str | None
) -> None:
    """If a key is renamed or an error is in its place: all records are there, or an error."""
    told = {"message": "Internal", "code": "internal.server.error", "status": 500}
    spoilt = 1
    for victim in itertools.count(1):
        turns = itertools.count(1)

        def spoil(good: bytes, victim: int = victim, turns: Iterator[int] = turns) -> bytes:
            answer = json.loads(good) if good else {}
            if not answer.keys() & {"results", "entities"} or next(turns) != victim:
                return good
            value = [answer.pop(key) for key in ("results", "entities") if key in answer]
            return json.dumps(
                {**answer, **({instead: value[0]} if instead is not None else told)}
            ).encode()

        blocks = fetched(name, Server(spoil))
        if blocks == _calm(name) and next(turns) <= victim:
            break  # there are no more answers than that
        assert blocks is None
        spoilt += 1
    assert spoilt > 1


@pytest.mark.parametrize("seeds", shares(10, 120))
@pytest.mark.parametrize("name", LISTINGS)
def test_spoiled_listings_end_in_what_was_asked_for_or_an_error_of_ours(
    name: str, seeds: range
) -> None:
    """1,200 cases."""
    calm = ended(lambda: drive(LISTINGS[name](), Server(bytes).ask))
    assert calm is not None
    if name in EXPECTED:
        assert EXPECTED[name]() == getattr(calm, "users", calm)
    for seed in seeds:
        rng = random.Random(f"{name} {seed}")
        server = Server(lambda good, rng=rng: mutated(good, rng) if rng.random() < 0.7 else good)  # type: ignore[misc]
        ended(lambda server=server: drive(LISTINGS[name](), server.ask))  # type: ignore[misc]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "results",
                    "entities",
                    "group",
                    "userId",
                    "data",
                    "interval",
                    "metrics",
                    "stats",
                    "jobId",
                    "state",
                    "id",
                ]
            )
            | st.text(max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
BODIES = (
    st.binary(max_size=60)
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.sampled_from([b"{}", b"null", b"[]", b'{"jobId":"j"}'])
)


arbitrary_answers = given(st.sampled_from(sorted(CHUNKS)), st.lists(BODIES, min_size=1, max_size=4))


@settings(max_examples=50, deadline=None, derandomize=True)
@arbitrary_answers
def test_arbitrary_answers_make_records_that_hold_or_an_error_of_ours(
    name: str, bodies: list[bytes]
) -> None:
    """One body after the other, and then from the start again."""
    turns = itertools.cycle(bodies)
    fetched(name, Server(lambda _: next(turns), honest=False))


@pytest.mark.model
@settings(max_examples=1000 * FACTOR, deadline=None, derandomize=FACTOR == 1)
@arbitrary_answers
def test_a_thousand_arbitrary_answers_do(name: str, bodies: list[bytes]) -> None:
    turns = itertools.cycle(bodies)
    fetched(name, Server(lambda _: next(turns), honest=False))


arbitrary_statuses = given(
    st.sampled_from(sorted(LISTINGS)),
    st.lists(BODIES, min_size=1, max_size=4),
    st.lists(st.integers(100, 600), min_size=1, max_size=4),
)


@settings(max_examples=50, deadline=None, derandomize=True)
@arbitrary_statuses
def test_arbitrary_statuses_and_bodies_end_in_what_was_asked_for_or_an_error_of_ours(
    name: str, bodies: list[bytes], statuses: list[int]
) -> None:
    """There is a success among the failures now and then."""
    _list_with(name, bodies, statuses)


@pytest.mark.model
@settings(max_examples=600 * FACTOR, deadline=None, derandomize=FACTOR == 1)
@arbitrary_statuses
def test_six_hundred_arbitrary_statuses_do(
    name: str, bodies: list[bytes], statuses: list[int]
) -> None:
    _list_with(name, bodies, statuses)


def _list_with(name: str, bodies: list[bytes], statuses: list[int]) -> None:
    turns, marks = itertools.cycle(bodies), itertools.cycle([*statuses, 200])
    server = Server(lambda _: next(turns), honest=False, status=lambda: next(marks))
    ended(lambda: drive(LISTINGS[name](), server.ask))


@pytest.mark.parametrize("name", ["query-jobs", "entities"])
@pytest.mark.parametrize("empty", [True, False])
def test_pages_that_always_lead_on_come_to_an_end(name: str, empty: bool) -> None:
    """Each with a cursor never seen before: that is no circle, and has no end either."""
    turns = itertools.count()

    def spoil(good: bytes) -> bytes:
        answer = json.loads(good) if good else {}
        kept = {} if empty and answer.keys() & {"results", "entities"} else answer
        return json.dumps(
            {**kept, "cursor": f"c{next(turns)}", "nextPage": f"p{next(turns)}"}
        ).encode()

    server = Server(spoil, honest=True)
    server._good = lambda cloud, request, good=server._good: good(cloud, _first_page(request))  # type: ignore[method-assign]
    assert fetched(name, server) is None
    assert MOST <= server.asked < MOST + 10


def _first_page(request: Request) -> Request:
    """Ask for the first page, whatever page is asked for: the emulator does not know the others."""
    body = json.loads(request.body) if request.body else None
    if body is not None:
        body.pop("pageToken", None)
    return Request(
        method=request.method,
        path=request.path,
        headers=request.headers,
        body=None if body is None else json.dumps(body).encode(),
    )


@pytest.mark.parametrize(
    "name", [name for name in LISTINGS if name not in ("limits", "how many", "token")]
)
@pytest.mark.parametrize(
    "said", [{"pageCount": 10**15}, {"pageCount": None, "nextUri": "?pageNumber="}]
)
def test_a_listing_that_always_leads_on_comes_to_an_end(name: str, said: dict[str, Any]) -> None:
    turns = itertools.count()

    def spoil(_: bytes) -> bytes:
        leads = {
            **said,
            **({"nextUri": f"{said['nextUri']}{next(turns)}"} if "nextUri" in said else {}),
        }
        return json.dumps(
            {"id": QUEUE.id, "entities": [{"id": f"id-{next(turns)}", "name": "Pilot"}], **leads}
        ).encode()

    server = Server(spoil, honest=False)
    ended(lambda: drive(LISTINGS[name](), server.ask))
    assert server.asked <= 4 * MOST


torn_answers = given(
    st.sampled_from(["split", "days", "occupancy", "query-jobs"]), st.integers(0, 2**32)
)


@pytest.mark.model
@settings(max_examples=300 * FACTOR, deadline=None, derandomize=FACTOR == 1)
@torn_answers
def test_three_hundred_valid_answers_make_the_same_records(name: str, seed: int) -> None:
    _tear(name, seed)


@settings(max_examples=30, deadline=None, derandomize=True)
@torn_answers
def test_valid_answers_make_the_same_records_in_any_order_and_split_in_any_way(
    name: str, seed: int
) -> None:
    """Groups in several containers, buckets in several entries, a sum in two halves."""
    _tear(name, seed)


def _tear(name: str, seed: int) -> None:
    rng = random.Random(seed)

    def torn(good: bytes) -> bytes:
        answer = json.loads(good) if good else {}
        if "results" in answer:
            answer["results"] = _torn(answer["results"], rng)
        return json.dumps(answer).encode() if good else good

    assert fetched(name, Server(torn)) == _calm(name)


_CALM: dict[str, list[Block] | None] = {}


def _calm(name: str) -> list[Block] | None:
    if name not in _CALM:
        _CALM[name] = fetched(name, Server(bytes))
    assert _CALM[name]
    return _CALM[name]


def _torn(results: list[dict[str, Any]], rng: random.Random) -> list[dict[str, Any]]:
    """Say the same in more containers, entries and measures, in another order."""
    found = []
    for container in results:
        for datum in container["data"]:
            for measure in datum["metrics"]:
                halves = _halves(measure["stats"], rng)
                found += [
                    {**container, "data": [{**datum, "metrics": [{**measure, "stats": stats}]}]}
                    for stats in halves
                ]
    rng.shuffle(found)
    return found


def _halves(stats: dict[str, Any], rng: random.Random) -> list[dict[str, Any]]:
    if rng.random() < 0.5:
        return [stats]
    first = {
        key: rng.randrange(int(value) + 1)
        for key, value in stats.items()
        if key in ("sum", "count")
    }
    return [
        {**stats, **first},
        {**stats, **{key: stats[key] - value for key, value in first.items()}},
    ]


def test_the_contracts_ask_as_they_are_asked() -> None:
    """These tests use the product's own driver, so a contract's first request is what is sent."""
    query, chunk = CHUNKS["days"]
    steps = contracts.steps(
        query, chunk, Accumulator(query.grid.edges(chunk.interval), query), ConnectionState(), []
    )
    first = next(steps)
    assert isinstance(first, Request)
    assert b"timeZone" in (first.body or b"")
