"""What a job is made of, checked and typed: Job, Team, Connection, Chunk. Pure.

`config` builds these from a job file; every layer above reads them and none changes them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from asyncreport.core.timeline import DAY, HOUR, Grid, Interval

#: output formats by file suffix
FORMATS = {".jsonl": "JSON lines"}

#: raise when the bytes of a part change their meaning: parts of another layout are not reused
LAYOUT = 1

#: user predicates in one query, at most: https://developer.genesys.cloud/analyticsdatamanagement/analytics/aggregate/user-query
USERS_PER_QUERY = 100


class Secret:
    """A text that no `repr`, log or traceback shows; `reveal()` is the one way to it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def reveal(self) -> str:
        """Give the text itself."""
        return self._text


class Client(Struct, frozen=True, kw_only=True):
    """One OAuth client (client credentials grant)."""

    client_id: str
    client_secret: Secret


class EmulatorSize(Struct, frozen=True, kw_only=True):
    """The size and seed of an emulator that runs in the process instead of a host."""

    agents: int = 40
    seed: int = 1
    #: OAuth clients that it offers, each with a lane; the records do not depend on it
    clients: int = 1


class Connection(Struct, frozen=True, kw_only=True):
    """One organisation: its hosts and its OAuth clients."""

    name: str
    #: `https://api.mypurecloud.ie`, no slash at the end; empty until an emulator is up
    api_url: str = ""
    #: `https://login.mypurecloud.ie`
    login_url: str = ""
    clients: tuple[Client, ...] = ()
    #: the server's limit for one client; the throttle stays under it
    requests_per_minute: int = 300
    #: `http://user:password@proxy:3128`, or None for a direct road
    proxy: Secret | None = None
    #: set instead of hosts and clients
    emulator: EmulatorSize | None = None
    #: the token request carries the credentials in its form, not in a header: the `entities` contract's way
    credentials_in_form: bool = False

    @property
    def lanes(self) -> int:
        """Count the OAuth clients, each of which has a rate budget of its own."""
        return len(self.clients) if self.emulator is None else self.emulator.clients

    @property
    def identity(self) -> str:
        """Name the organisation in fingerprints: its host, or the emulator's size and seed."""
        if self.emulator is not None:
            return f"emulator:agents={self.emulator.agents},seed={self.emulator.seed}"
        return self.api_url


class Selector(Struct, frozen=True, kw_only=True):
    """Whose members a team is."""

    kind: Literal["group", "team", "queue"]
    #: an id, or an exact name
    value: str

    def __str__(self) -> str:
        return f"{self.kind} {self.value}"


class Team(Struct, frozen=True, kw_only=True):
    """A named set of users of one connection."""

    name: str
    #: the connection's name
    connection: str
    #: user ids as the job lists them or as the directory told; None: everyone, or nobody has looked `selector` up yet
    users: tuple[str, ...] | None = None
    #: None: the users are listed, or everyone
    selector: Selector | None = None


class Filter(Struct, frozen=True, kw_only=True):
    """What narrows the interactions; an empty tuple narrows nothing."""

    media_types: tuple[str, ...] = ()
    #: queue ids
    queues: tuple[str, ...] = ()
    #: division ids
    divisions: tuple[str, ...] = ()


class Limits(Struct, frozen=True, kw_only=True):
    """How hard to try."""

    #: requests under way at once, per lane
    concurrency: int = 16
    #: of one request
    max_attempts: int = 8
    #: seconds on one request, waits included
    give_up_after: float = 900.0
    #: seconds on one attempt
    request_timeout: float = 60.0


class ChunkLength(Struct, frozen=True, kw_only=True):
    """A chunk's length as the job file gives it; both None: a whole slot."""

    days: int | None = None
    #: divides a day
    hours: int | None = None

    @property
    def ms(self) -> int | None:
        """Give the length in ms; None: a whole slot."""
        if self.days is None and self.hours is None:
            return None
        return (self.days or 0) * DAY + (self.hours or 0) * HOUR


class Output(Struct, frozen=True, kw_only=True):
    """Where the records go."""

    #: may hold `{month}`
    path: str
    #: holds `{team}`, may hold `{month}`; None: no such files
    per_team: str | None = None
    #: ms; a part fetched sooner than this after its end is fetched again by the next run
    settle: int


class Query(Struct, frozen=True, kw_only=True):
    """What is asked of every chunk: all that shapes a part's bytes but its interval and users."""

    contract: Literal["aggregates", "query-jobs", "entities"] = "aggregates"
    grid: Grid
    #: dimensions beside the user, in the order of the columns, as the vendor spells them: `mediaType`, `queueId`
    split_by: tuple[str, ...] = ()
    filter: Filter = Filter()
    #: routing-status times as further columns
    occupancy: bool = False
    #: metrics that become further columns, as the vendor spells them: `tAnswered`, `nTransferred`
    metrics: tuple[str, ...] = ()

    def fingerprint(self, identity: str) -> str:
        """Digest what a part's bytes depend on, hosts included (32 hex digits)."""
        shape = msgspec.json.encode([LAYOUT, identity, self])
        return hashlib.sha256(shape).hexdigest()[:32]


class Job(Struct, frozen=True, kw_only=True):
    """One job file, resolved: a name, what to ask of whom, over which range, into which files."""

    name: str
    connections: tuple[Connection, ...]
    interval: Interval
    query: Query
    #: None: as long as memory allows
    chunk: ChunkLength | None = None
    teams: tuple[Team, ...]
    limits: Limits = Limits()
    output: Output

    @property
    def state_folder(self) -> Path:
        """Give the folder of parts and manifest: `.asyncreport/<name>` beside the output."""
        folder = Path(self.output.path).parent
        while "{" in str(folder):  # a {month} in a folder's name: state is one for all months
            folder = folder.parent
        return folder / ".asyncreport" / self.name

    def connection(self, name: str) -> Connection:
        """Find a connection by name; raise KeyError where the job has none so named."""
        for connection in self.connections:
            if connection.name == name:
                return connection
        raise KeyError(name)


class Chunk(Struct, frozen=True, kw_only=True):
    """The unit of work: a run of whole buckets x a batch of users x a connection."""

    #: the connection's name
    connection: str
    #: the month its buckets begin in
    month: str
    interval: Interval
    #: sorted ids, at most `USERS_PER_QUERY`; None: every user, and what no user handled
    users: tuple[str, ...] | None
    #: numbers of the standing parts that this one's replaces
    replaces: tuple[int, ...] = ()


class Part(Struct, frozen=True, kw_only=True):
    """The durable file of one finished chunk, as its manifest line describes it."""

    #: counts up through the manifest; names the file
    number: int
    #: `Query.fingerprint` of the connection it was asked of
    fingerprint: str
    month: str
    interval: Interval
    #: sorted ids; None: every user, and what no user handled
    users: tuple[str, ...] | None
    #: start of the run that fetched it, an instant
    fetched_at: int
    #: records in it
    count: int
    #: bytes of the whole file
    size: int
    #: where its index begins
    index_at: int
    #: of the whole file, hex
    sha256: str
    #: a refresh is to replace it and has not yet
    refresh_pending: bool = False


def batches(ids: Sequence[str], size: int = USERS_PER_QUERY) -> Iterator[tuple[str, ...]]:
    """Cut ids into batches that one request can name."""
    for start in range(0, len(ids), size):
        yield tuple(ids[start : start + size])
