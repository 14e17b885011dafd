"""The keys of a job file, their types and descriptions, and the JSON Schema of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, inspect

from asyncreport.config.metrics import METRICS
from asyncreport.config.regions import NAMES
from asyncreport.config.validate import Place, check_types
from asyncreport.config.yaml import Node
from asyncreport.core.columns import column
from asyncreport.core.outputs import WEEKDAY_HOUR
from asyncreport.core.secret import Secret
from asyncreport.core.timeline import Granularity

#: what records can be split by in addition to the user, as the vendor spells it:
#: https://developer.genesys.cloud/analyticsdatamanagement/analytics/aggregate/conversation-query
_DIMENSIONS = (
    "mediaType",
    "queueId",
    "direction",
    "originatingDirection",
    "divisionId",
    "messageType",
    "wrapUpCode",
    "interactionType",
    "disconnectType",
    "usedRouting",
    "requestedLanguageId",
    "skillExpressionId",
    "outboundCampaignId",
    "provider",
    "activeSkillId",
    "requestedRoutingSkillId",
    "requestedRouting",
)

#: dimensions that can have several values in one interaction, as the vendor spells them: records
#: split by them do not add up to the total
MULTI_VALUED = frozenset(
    {"divisionId", "activeSkillId", "requestedRoutingSkillId", "requestedRouting"}
)

#: `media_type` -> `mediaType`
DIMENSIONS = {column(dimension): dimension for dimension in _DIMENSIONS}

#: the media of interactions, as the vendor spells them
MEDIA_TYPES = (
    "voice",
    "message",
    "email",
    "chat",
    "callback",
    "internalmessage",
    "cobrowse",
    "screenshare",
    "screenmonitoring",
    "video",
)

GRANULARITIES = tuple(granularity.value for granularity in Granularity)

#: the buckets of a roll-up
EVERY = ("PT1H", "P1D", "P1W", "P1M", WEEKDAY_HOUR)

#: what becomes of the buckets of a roll-up without records
FILLS = ("none", "zero")

T = TypeVar("T")


def _key(description: str, *examples: str) -> Meta:
    """Describe a key; messages show the first example."""
    return Meta(description=description, examples=list(examples) or None)


def _number(
    low: int,
    high: int,
    description: str,
) -> Meta:
    """Describe an integer and its limits, both included."""
    return Meta(ge=low, le=high, description=description)


def _list(description: str) -> Meta:
    """Describe a list that must have an item."""
    return Meta(min_length=1, description=description)


def _one_of(names: Iterable[str]) -> Meta:
    """Let editors complete names; the loader checks them itself, to suggest the nearest one."""
    known = {"enum": list(names)}
    # Editors must not underline a ${VARIABLE}.
    variable = {"pattern": r"\$\{"}
    return Meta(extra_json_schema={"anyOf": [known, variable]})


class EmulatorFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The size and seed of an emulator."""

    agents: Annotated[
        int,
        _number(
            1,
            100_000,
            "users of the emulated organisation",
        ),
    ] = 40
    seed: Annotated[
        int,
        _number(
            0,
            2**31 - 1,
            "another seed gives another organisation",
        ),
    ] = 1
    clients: Annotated[
        int,
        _number(
            1,
            10,
            "OAuth clients that work in parallel, each with its own rate limit",
        ),
    ] = 1


class ClientFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of several OAuth clients of an organisation."""

    client_id: Annotated[str, _key("the OAuth client's id", "${GENESYS_CLIENT_ID}")]
    client_secret: Annotated[Secret, _key("the OAuth client's secret", "${GENESYS_CLIENT_SECRET}")]


class ConnectionFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One organisation: `region`, or `api_url` and `login_url`, or `emulator`."""

    region: Annotated[
        str | UnsetType,
        _key(
            "a domain or an AWS region",
            "mypurecloud.ie",
            "eu-west-1",
        ),
        _one_of(NAMES),
    ] = UNSET
    api_url: Annotated[
        str | UnsetType,
        _key("the API of a gateway, instead of region", "https://gateway.example/api"),
    ] = UNSET
    login_url: Annotated[
        str | UnsetType,
        _key("the login host of a gateway, instead of region", "https://gateway.example/login"),
    ] = UNSET
    emulator: Annotated[
        bool | EmulatorFile,
        _key("true, or agents, seed and clients; instead of hosts and credentials"),
    ] = False
    client_id: Annotated[str | UnsetType, _key("the OAuth client's id", "${GENESYS_CLIENT_ID}")] = (
        UNSET
    )
    client_secret: Annotated[
        Secret | UnsetType,
        _key("the OAuth client's secret", "${GENESYS_CLIENT_SECRET}"),
    ] = UNSET
    clients: (
        Annotated[
            list[ClientFile],
            _list(
                "several OAuth clients that share the work, each with client_id and client_secret"
            ),
        ]
        | UnsetType
    ) = UNSET
    requests_per_minute: Annotated[
        int,
        _number(
            1,
            30_000,
            "the server's rate limit for one OAuth client; requests stay below it",
        ),
    ] = 300
    proxy: Annotated[
        Secret | UnsetType,
        _key(
            "an HTTP proxy; default: HTTPS_PROXY and NO_PROXY of the environment",
            "http://proxy.example:3128",
        ),
    ] = UNSET
    allow_http: Annotated[
        bool,
        _key("true: api_url and login_url of other machines may start with http://"),
    ] = False


class RangeFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The time that the records cover, and the length of their buckets."""

    start: Annotated[
        str,
        _key(
            "the start of the range: a date, a date-time, or a moment such as last_month",
            "2023-01-01",
            "2023-01-01T09:30",
            "today-P35D",
        ),
    ]
    end: Annotated[
        str,
        _key(
            "the end of the range (exclusive): a date, a date-time, or a moment such as today",
            "2024-01-01",
            "today",
            "this_month",
        ),
    ]
    time_zone: Annotated[
        str,
        _key(
            "an IANA time zone",
            "Europe/Dublin",
            "America/New_York",
        ),
    ] = "UTC"
    granularity: Annotated[
        str,
        _key(
            "the length of a bucket; none: one bucket for the whole range",
            "PT30M",
            "P1D",
        ),
        _one_of(GRANULARITIES),
    ] = "PT1H"
    chunk: Annotated[
        str | UnsetType,
        _key(
            "the length of one query: PnD (1-31), P1M, or PTnH where n divides a day; "
            "default: as long as memory allows",
            "P7D",
            "PT12H",
        ),
    ] = UNSET


class FilterFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The interactions that count."""

    media_types: (
        Annotated[list[Annotated[str, _one_of(MEDIA_TYPES)]], _list("media types; default: all")]
        | UnsetType
    ) = UNSET
    queues: Annotated[list[str], _list("queue ids; default: all")] | UnsetType = UNSET
    divisions: (
        Annotated[list[str], _list("division ids; default: all that the OAuth client can see")]
        | UnsetType
    ) = UNSET


class TeamFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A set of users: `users`, the members of a `group`, `team` or `queue`, or `everyone`."""

    name: Annotated[str, _key("the team's name in the records", "billing")]
    users: Annotated[list[str], _list("user ids or e-mail addresses of users")] | UnsetType = UNSET
    group: Annotated[str | UnsetType, _key("a group's id or exact name", "Night Shift")] = UNSET
    team: Annotated[str | UnsetType, _key("a team's id or exact name", "Billing East")] = UNSET
    queue: Annotated[str | UnsetType, _key("a queue's id or exact name", "Billing")] = UNSET
    everyone: Annotated[bool, _key("true: all users of the connection")] = False
    connection: Annotated[
        str | UnsetType,
        _key(
            "the name of a connection; default: the one named default, or the only one",
            "default",
        ),
    ] = UNSET
    connections: Annotated[
        str | list[str] | UnsetType,
        _key("names of connections, or all: a team of this name on each of them", "all"),
    ] = UNSET


class LimitsFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many requests at once, and how long to retry them."""

    concurrency: Annotated[
        int,
        _number(
            1,
            64,
            "requests in flight at once",
        ),
    ] = 16
    max_attempts: Annotated[
        int,
        _number(
            1,
            20,
            "attempts of one request",
        ),
    ] = 8
    give_up_after: Annotated[
        str, _key("time for one request, waits included, as an ISO 8601 duration", "PT15M")
    ] = "PT15M"
    request_timeout: Annotated[
        str, _key("time for one attempt, as an ISO 8601 duration", "PT1M")
    ] = "PT1M"


class CsvFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How CSV files are written."""

    delimiter: Annotated[
        str, _key("what separates fields: a comma, a semicolon, a tab or |", ",", ";")
    ] = ","
    decimal: Annotated[
        str, _key("what separates whole numbers from decimals: . or a comma", ".", ",")
    ] = "."
    bom: Annotated[bool, _key("true: begin with a byte order mark, which Excel looks for")] = False
    escape_formulas: Annotated[
        bool,
        _key("true: put ' in front of text that begins with = + - @ or a tab"),
    ] = True


class RollUpFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sums of the records over longer buckets."""

    by: Annotated[
        list[Annotated[str, _key("a column", "team")]],
        _list("what a row is of: team, user, and dimensions of split_by"),
    ]
    every: Annotated[
        str,
        _key("the length of a bucket, or weekday_hour: each hour of the week", "P1D"),
        _one_of(EVERY),
    ]
    path: Annotated[
        str | list[str],
        _key(
            "a file such as exports/daily.csv, or a list; may contain {month}, {connection}",
            "exports/d.csv",
        ),
    ]
    fill: Annotated[
        str,
        _key("zero: write the buckets without records too; none: leave them out", "zero"),
        _one_of(FILLS),
    ] = "none"


class OutputFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the records are written, and in which form."""

    path: Annotated[
        str | list[str],
        _key(
            "a file such as exports/aht.jsonl or s3://bucket/aht.jsonl, or a list of files; may "
            "contain {month}; with {connection}, each connection runs by itself",
            "exports/aht.jsonl",
            "exports/{month}.csv",
        ),
    ]
    per_team: (
        Annotated[
            str | list[str],
            _key(
                "a file for each team, or a list; contains {team}, may contain {month} and "
                "{connection}",
                "exports/{team}.jsonl",
            ),
        ]
        | UnsetType
    ) = UNSET
    columns: (
        Annotated[
            list[str | dict[str, str]],
            _list("the columns of all files, in order: a name, or NAME: NEW NAME"),
        ]
        | UnsetType
    ) = UNSET
    csv: Annotated[CsvFile, _key("delimiter, decimal, bom and escape_formulas of CSV files")] = (
        CsvFile()
    )
    rollups: Annotated[list[RollUpFile], _key("files with sums over longer buckets")] = []
    report: (
        Annotated[
            str,
            _key(
                "an HTML page with charts and tables, which each run brings up to date; "
                "needs pip install 'asyncreport[report]'",
                "exports/aht.html",
            ),
        ]
        | UnsetType
    ) = UNSET
    settle: Annotated[
        str,
        _key("data that was fetched sooner than this after its end is fetched again", "P4D"),
    ] = "P4D"


class JobFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job of asyncreport: what to fetch, for which range and teams, and where to write it."""

    name: Annotated[str, _key("the job's name; its state folder has this name", "aht-2023")]
    connections: Annotated[
        dict[str, ConnectionFile] | UnsetType,
        _key(
            "organisations by name; default: one named default, "
            "from GENESYS_CLIENT_ID, GENESYS_CLIENT_SECRET and GENESYS_ENV"
        ),
    ] = UNSET
    connections_from: Annotated[
        str | list[str] | UnsetType,
        _key(
            "files of more connections, or a list of them: CSV with a line for each, or YAML with "
            "NAME: connection; relative to the folder of the job file",
            "connections.csv",
            "connections/*.yaml",
        ),
    ] = UNSET
    contract: Annotated[
        Literal["aggregates", "query-jobs", "entities"],
        _key(
            "the protocol of the API; query-jobs: for results too large for one response; "
            "entities: for gateways that use select and where"
        ),
    ] = "aggregates"
    range: Annotated[RangeFile, _key("start and end")]
    split_by: Annotated[
        list[Annotated[str, _one_of(DIMENSIONS)]],
        _key("dimensions that split each agent's buckets into several records"),
    ] = []
    occupancy: Annotated[
        bool,
        _key("true: add columns for routing-status times and occupancy; not with split_by"),
    ] = False
    metrics: Annotated[
        list[Annotated[str, _one_of(METRICS)]],
        _key("more metrics of the vendor; each adds two columns, a count and a sum in ms"),
    ] = []
    filter: Annotated[FilterFile, _key("the interactions that count; default: all")] = FilterFile()
    teams: Annotated[list[TeamFile], _list("at least one team with a name")]
    limits: Annotated[LimitsFile, _key("how many requests at once, and how long to retry them")] = (
        LimitsFile()
    )
    output: Annotated[OutputFile, _key("path, the file to write")]


def convert(root: Node) -> JobFile:
    """Convert a tree of nodes; raise ConfigError for an unknown key or a wrong type."""
    check_types(Place.of(root), _job_file_type())
    return msgspec.convert(
        _plain(root),
        JobFile,
        dec_hook=_secret,
    )


def convert_connection(node: Node) -> ConnectionFile:
    """Convert the tree of one connection, whose types were checked together with its job."""
    return msgspec.convert(_plain(node), ConnectionFile, dec_hook=_secret)


@lru_cache(maxsize=1)
def _job_file_type() -> inspect.Type:
    """Describe the type of a job file; its annotations take longer to read than a job file."""
    return inspect.type_info(JobFile)


def _secret(_: type, text: str) -> Secret:
    """Build a Secret, the one type of a job file that msgspec does not know."""
    return Secret(text)


def _plain(node: Node) -> object:
    """Give the values of a tree without their positions."""
    value = node.value
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def unset_to_none(value: T | UnsetType) -> T | None:
    """Give the value of an optional key; None if the file does not have it."""
    if isinstance(value, UnsetType):
        return None
    return value


def job_schema() -> dict[str, Any]:
    """Give the JSON Schema (draft 2020-12) of a job file, for editors."""
    schema = msgspec.json.schema(JobFile, schema_hook=lambda _: {"type": "string"})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "asyncreport job",
        **schema,
    }
