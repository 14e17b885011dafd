"""Define what a job consists of: Job, Team, Connection, Query, Chunk, Part. Pure.

`config` builds a Job from a job file. All values are checked and immutable.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from asyncreport.core.authorities import Authorities
from asyncreport.core.fingerprint import digest, digest_of_format_1
from asyncreport.core.outputs import Output
from asyncreport.core.secret import Secret
from asyncreport.core.timeline import DAY, HOUR, Grid, Interval

#: the most users that one query may name:
#: https://developer.genesys.cloud/analyticsdatamanagement/analytics/aggregate/user-query
USERS_PER_QUERY = 100


class Client(Struct, frozen=True, kw_only=True):
    """One OAuth client (client credentials grant)."""

    client_id: str
    client_secret: Secret


class EmulatorSize(Struct, frozen=True, kw_only=True):
    """The size and seed of an emulator that runs in this process instead of a host."""

    agents: int = 40
    seed: int = 1
    #: OAuth clients, each with a lane of its own; the records do not depend on it
    clients: int = 1


class Connection(Struct, frozen=True, kw_only=True):
    """One organisation: its hosts and its OAuth clients."""

    name: str
    #: `https://api.mypurecloud.ie`, without a slash at the end; empty until an emulator runs
    api_url: str = ""
    #: `https://login.mypurecloud.ie`
    login_url: str = ""
    clients: tuple[Client, ...] = ()
    #: the server's limit for one client; the throttle stays under it
    requests_per_minute: int = 300
    #: `http://user:password@proxy:3128`; None: a direct connection
    proxy: Secret | None = None
    authorities: Authorities = Authorities()
    #: set instead of hosts and clients
    emulator: EmulatorSize | None = None
    #: send the credentials of a token request in its form instead of a header, as the `entities`
    #: contract needs
    credentials_in_form: bool = False
    #: another connection of the job has the same host: that of another organisation in its region
    shares_host: bool = False

    @property
    def lanes(self) -> int:
        """Count the OAuth clients; each has a rate limit of its own."""
        if self.emulator is not None:
            return self.emulator.clients
        return len(self.clients)

    @property
    def identity(self) -> str:
        """Name the organisation in fingerprints: its host, or the emulator's size and seed."""
        if self.emulator is not None:
            return f"emulator:agents={self.emulator.agents},seed={self.emulator.seed}"
        return self.api_url

    @property
    def directory(self) -> str:
        """Name the organisation in what was looked up: names, addresses, divisions."""
        if self.shares_host:
            return f"{self.identity} {self.name}"
        return self.identity


class Selector(Struct, frozen=True, kw_only=True):
    """The group, team or queue whose members a team has."""

    kind: Literal["group", "team", "queue"]
    #: an id, or an exact name
    value: str

    def __str__(self) -> str:
        """Write it as in messages: `group Night Shift`."""
        return f"{self.kind} {self.value}"


class Team(Struct, frozen=True, kw_only=True):
    """A named set of users of one connection."""

    name: str
    #: the connection's name
    connection: str
    #: all users of the connection, and what no user handled; then `users` is empty
    everyone: bool = False
    #: user ids from the job file or the directory; empty until `selector` is looked up
    users: tuple[str, ...] = ()
    #: e-mail addresses from the job file, as given; empty once they are looked up
    emails: tuple[str, ...] = ()
    #: None: the users are listed, or everyone
    selector: Selector | None = None
    #: other connections of the job have a team of the same name
    one_of_several: bool = False

    @property
    def selection(self) -> str:
        """Say how the users are selected: `everyone`, `listed users`, `group Night Shift`."""
        if self.one_of_several:
            return f"{self._selection} of {self.connection}"
        return self._selection

    @property
    def _selection(self) -> str:
        """Say it without the connection."""
        if self.everyone:
            return "everyone"
        if self.selector is None:
            return "listed users"
        return str(self.selector)


class Filter(Struct, frozen=True, kw_only=True):
    """Which interactions count; an empty tuple means all."""

    media_types: tuple[str, ...] = ()
    #: queue ids
    queues: tuple[str, ...] = ()
    #: division ids
    divisions: tuple[str, ...] = ()


#: attempts to reach a host while a person waits
_TO_REACH = 3


class Limits(Struct, frozen=True, kw_only=True):
    """How many requests to send at once, and when to give up."""

    #: requests at once, per lane
    concurrency: int = 16
    #: attempts of one request
    max_attempts: int = 8
    #: of these, attempts to reach a host that has never responded; None: all
    to_reach: int | None = None
    #: seconds for one request, waits included
    give_up_after: float = 900.0
    #: seconds for one attempt
    request_timeout: float = 60.0

    @property
    def impatient(self) -> Limits:
        """Give the limits for a person who waits: an unknown host is soon given up."""
        return replace(self, to_reach=_TO_REACH)


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


class Query(Struct, frozen=True, kw_only=True):
    """What to ask for every chunk: all that a part's bytes depend on except interval and users.

    Names and values are part of the fingerprint; a default must never change.
    """

    contract: Literal["aggregates", "query-jobs", "entities"] = "aggregates"
    grid: Grid
    #: dimensions in addition to the user, in the vendor's spelling and the order of the columns:
    #: `mediaType`, `queueId`
    split_by: tuple[str, ...] = ()
    filter: Filter = Filter()
    #: add the routing-status times
    occupancy: bool = False
    #: metrics to add, in the vendor's spelling: `tAnswered`, `nTransferred`
    metrics: tuple[str, ...] = ()

    def fingerprint(self, identity: str) -> str:
        """Digest what a part's bytes depend on, with the organisation (32 hex digits)."""
        return digest(self, identity)

    def fingerprints(self, identity: str) -> tuple[str, ...]:
        """Give the fingerprints of parts that this query may use: today's, then format 1's."""
        return digest(self, identity), digest_of_format_1(self, identity)


class Job(Struct, frozen=True, kw_only=True):
    """A resolved job file: what to ask, for whom, over which range, and into which files."""

    name: str
    connections: tuple[Connection, ...]
    interval: Interval
    #: of a moving range: parts that end in it, or at its end, are deleted; None: none are
    left_behind: Interval | None = None
    query: Query
    #: None: as long as memory allows
    chunk: ChunkLength | None = None
    teams: tuple[Team, ...]
    limits: Limits = Limits()
    output: Output
    #: what a person should know about how the file was read
    notes: tuple[str, ...] = ()
    #: of a bucket: `AWS_REGION` and so on, by their names
    storage: dict[str, Secret] = {}
    #: set if this is one connection of a larger job: the larger job's `parts_folder`
    within: Path | None = None

    @property
    def state_folder(self) -> Path:
        """Give the folder of what a run remembers: names, members, outputs, summary."""
        if self.within is None:
            return self.parts_folder
        return self.within / self.connections[0].name

    @property
    def parts_folder(self) -> Path:
        """Give the folder that has a folder with manifest and parts for each connection.

        `.asyncreport/<name>` next to the first output.
        """
        if self.within is not None:
            return self.within
        folder = Path(self.output.paths[0]).parent
        # If each month or connection has a folder, all share one state folder above them.
        while "{" in str(folder):
            folder = folder.parent
        return folder / ".asyncreport" / self.name

    @property
    def impatient(self) -> Job:
        """Give the job for a person who waits: an unknown host is soon given up."""
        return replace(self, limits=self.limits.impatient)

    def connection(self, name: str) -> Connection:
        """Find a connection by name; raise KeyError for an unknown name."""
        for connection in self.connections:
            if connection.name == name:
                return connection
        raise KeyError(name)


#: a connection's name and the number of one of its parts
PartKey = tuple[str, int]


class Chunk(Struct, frozen=True, kw_only=True):
    """The unit of work: consecutive buckets x a batch of users x a connection."""

    #: the connection's name
    connection: str
    #: the month its buckets begin in
    month: str
    interval: Interval
    #: sorted ids, at most `USERS_PER_QUERY`; None: every user, and what no user handled
    users: tuple[str, ...] | None
    #: numbers of the current parts that the part of this chunk replaces
    replaces: tuple[int, ...] = ()

    @property
    def replaced_keys(self) -> frozenset[PartKey]:
        """Identify in the job the parts that the part of this chunk replaces."""
        return frozenset((self.connection, number) for number in self.replaces)


class Part(Struct, frozen=True, kw_only=True):
    """The durable file of a finished chunk, as its manifest line describes it."""

    #: the connection's name; its folder has the file
    connection: str
    #: ascending in the connection's manifest; names the file
    number: int
    #: `Query.fingerprint` for its connection
    fingerprint: str
    month: str
    interval: Interval
    #: sorted ids; None: every user, and what no user handled
    users: tuple[str, ...] | None
    #: start of the run that fetched it, an instant
    fetched_at: int
    #: records
    count: int
    #: bytes of the file
    size: int
    #: offset of the index in the file
    index_at: int
    #: of the file, in hex
    sha256: str
    #: digest of its month's bucket edges when it was fetched; None: saved by an earlier version
    edges: str | None = None
    #: a refresh was requested and has not replaced it yet
    refresh_pending: bool = False

    @property
    def key(self) -> PartKey:
        """Identify the part in its job."""
        return self.connection, self.number


def batches(ids: Sequence[str], size: int = USERS_PER_QUERY) -> Iterator[tuple[str, ...]]:
    """Cut ids into batches that one request can name."""
    for start in range(0, len(ids), size):
        yield tuple(ids[start : start + size])
