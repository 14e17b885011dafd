"""The job file as it is written: its keys, their types, and the JSON Schema made of both. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, inspect

from asyncreport.config.metrics import METRICS
from asyncreport.config.place import Place
from asyncreport.config.regions import NAMES
from asyncreport.config.validate import check
from asyncreport.config.yaml import Node
from asyncreport.core.columns import column
from asyncreport.core.job import Secret
from asyncreport.core.timeline import Granularity

#: what records can be split by besides the user, as the vendor spells it:
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

#: dimensions of which one interaction can have several values, as the vendor spells them: records split by them do not add up
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


def _text(description: str, *examples: str) -> Meta:
    return Meta(description=description, examples=list(examples) or None)


def _one_of(names: Iterable[str]) -> Meta:
    # Editors must not underline a ${VARIABLE}.
    return Meta(extra_json_schema={"anyOf": [{"enum": list(names)}, {"pattern": r"\$\{"}]})


class EmulatorFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The size and seed of an emulator."""

    agents: Annotated[
        int, Meta(ge=1, le=100_000, description="users of the emulated organisation")
    ] = 40
    seed: Annotated[
        int, Meta(ge=0, le=2**31 - 1, description="another seed is another organisation")
    ] = 1
    clients: Annotated[
        int,
        Meta(
            ge=1,
            le=10,
            description="OAuth clients that ask at once, each within a limit of its own",
        ),
    ] = 1


class ClientFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of several OAuth clients of an organisation."""

    client_id: Annotated[str, _text("the OAuth client's id", "${GENESYS_CLIENT_ID}")]
    client_secret: Annotated[Secret, _text("the OAuth client's secret", "${GENESYS_CLIENT_SECRET}")]


class ConnectionFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One organisation: `region`, or `api_url` and `login_url`, or `emulator`; OAuth clients of the grant type client credentials."""

    region: (
        Annotated[
            str, _text("a domain or an AWS region", "mypurecloud.ie", "eu-west-1"), _one_of(NAMES)
        ]
        | UnsetType
    ) = UNSET
    api_url: (
        Annotated[str, _text("of a gateway, instead of region", "https://gateway.example/api")]
        | UnsetType
    ) = UNSET
    login_url: (
        Annotated[str, _text("of a gateway, instead of region", "https://gateway.example/login")]
        | UnsetType
    ) = UNSET
    emulator: Annotated[
        bool | EmulatorFile,
        Meta(description="true, or agents, seed and clients, instead of all hosts and credentials"),
    ] = False
    client_id: (
        Annotated[str, _text("the OAuth client's id", "${GENESYS_CLIENT_ID}")] | UnsetType
    ) = UNSET
    client_secret: (
        Annotated[Secret, _text("the OAuth client's secret", "${GENESYS_CLIENT_SECRET}")]
        | UnsetType
    ) = UNSET
    clients: (
        Annotated[
            list[ClientFile],
            Meta(
                min_length=1,
                description="several OAuth clients, each with client_id and client_secret, instead of one: they share the work",
            ),
        ]
        | UnsetType
    ) = UNSET
    requests_per_minute: Annotated[
        int,
        Meta(
            ge=1,
            le=30_000,
            description="the server's limit for one client; the pace stays under it",
        ),
    ] = 300
    proxy: (
        Annotated[
            Secret,
            _text(
                "an HTTP proxy; left out: HTTPS_PROXY and NO_PROXY of the environment",
                "http://proxy.example:3128",
            ),
        ]
        | UnsetType
    ) = UNSET
    allow_http: Annotated[
        bool, Meta(description="true: api_url and login_url may be http:// beyond this machine")
    ] = False


class RangeFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What time the records cover, and in which buckets."""

    start: Annotated[
        str,
        _text(
            "the first instant, a date such as 2023-01-01",
            "2023-01-01",
            "2023-01-01T09:30",
            "yesterday",
        ),
    ]
    end: Annotated[
        str,
        _text(
            "the first instant after the range, a date such as 2024-01-01",
            "2024-01-01",
            "today",
            "now",
        ),
    ]
    time_zone: Annotated[str, _text("an IANA name", "Europe/Dublin", "America/New_York")] = "UTC"
    granularity: Annotated[
        str,
        _text("the length of a bucket; none: one bucket for the whole range", "PT30M", "P1D"),
        _one_of(GRANULARITIES),
    ] = "PT1H"
    chunk: (
        Annotated[
            str,
            _text(
                "the length of a query: PnD (1-31), P1M, or PTnH that divides a day; left out: as long as memory allows",
                "P7D",
                "PT12H",
            ),
        ]
        | UnsetType
    ) = UNSET


class FilterFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which interactions count."""

    media_types: (
        Annotated[
            list[Annotated[str, _one_of(MEDIA_TYPES)]],
            Meta(min_length=1, description="media types; left out: all"),
        ]
        | UnsetType
    ) = UNSET
    queues: (
        Annotated[list[str], Meta(min_length=1, description="queue ids; left out: all")] | UnsetType
    ) = UNSET
    divisions: (
        Annotated[
            list[str],
            Meta(min_length=1, description="division ids; left out: all that the client may see"),
        ]
        | UnsetType
    ) = UNSET


class TeamFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named set of users: `users`, or today's members of a `group`, `team` or `queue`, or everyone."""

    name: Annotated[str, _text("the team's name in the records", "billing")]
    users: (
        Annotated[
            list[str],
            Meta(
                min_length=1, description="user ids; with no users, group, team or queue: everyone"
            ),
        ]
        | UnsetType
    ) = UNSET
    group: Annotated[str, _text("a group's id or exact name", "Night Shift")] | UnsetType = UNSET
    team: Annotated[str, _text("a team's id or exact name", "Billing East")] | UnsetType = UNSET
    queue: Annotated[str, _text("a queue's id or exact name", "Billing")] | UnsetType = UNSET
    connection: (
        Annotated[
            str, _text("the name of a connection; left out: default, or the only one", "default")
        ]
        | UnsetType
    ) = UNSET


class LimitsFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How hard to try."""

    concurrency: Annotated[int, Meta(ge=1, le=64, description="requests under way at once")] = 16
    max_attempts: Annotated[int, Meta(ge=1, le=20, description="attempts of one request")] = 8
    give_up_after: Annotated[
        str, _text("on one request, waits included, as an ISO 8601 duration", "PT15M")
    ] = "PT15M"
    request_timeout: Annotated[str, _text("on one attempt, as an ISO 8601 duration", "PT1M")] = (
        "PT1M"
    )


class OutputFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the records go."""

    path: Annotated[
        str,
        _text(
            "a file such as exports/aht.jsonl; may hold {month}",
            "exports/aht.jsonl",
            "exports/{month}.jsonl",
        ),
    ]
    per_team: (
        Annotated[
            str,
            _text("a file for each team; holds {team}, may hold {month}", "exports/{team}.jsonl"),
        ]
        | UnsetType
    ) = UNSET
    settle: Annotated[
        str,
        _text(
            "what was fetched sooner than this after its end is fetched again by the next run",
            "P4D",
        ),
    ] = "P4D"


class JobFile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job of asyncreport: what to ask of whom, over which range, into which files."""

    name: Annotated[str, _text("the job's name, which its state is kept under", "aht-2023")]
    connections: (
        Annotated[
            dict[str, ConnectionFile],
            Meta(
                description="organisations by name; left out: one named default, "
                "from GENESYS_CLIENT_ID, GENESYS_CLIENT_SECRET and GENESYS_ENV"
            ),
        ]
        | UnsetType
    ) = UNSET
    contract: Annotated[
        Literal["aggregates", "query-jobs", "entities"],
        Meta(
            description="the dialect spoken to the API; query-jobs: for answers too large to be had at once; "
            "entities: for gateways that speak select and where"
        ),
    ] = "aggregates"
    range: Annotated[RangeFile, Meta(description="start and end")]
    split_by: Annotated[
        list[Annotated[str, _one_of(DIMENSIONS)]],
        Meta(description="dimensions that split each agent's buckets into several records"),
    ] = []
    occupancy: Annotated[
        bool,
        Meta(description="true: routing-status times and occupancy as columns; not with split_by"),
    ] = False
    metrics: Annotated[
        list[Annotated[str, _one_of(METRICS)]],
        Meta(
            description="further metrics of the vendor's, each a count and a sum in ms as columns"
        ),
    ] = []
    filter: Annotated[FilterFile, Meta(description="which interactions count; left out: all")] = (
        FilterFile()
    )
    teams: Annotated[
        list[TeamFile], Meta(min_length=1, description="at least one team with a name")
    ]
    limits: Annotated[LimitsFile, Meta(description="how hard to try")] = LimitsFile()
    output: Annotated[OutputFile, Meta(description="path, where the records go")]


def convert(root: Node) -> JobFile:
    """Convert a tree of nodes; raise ConfigError for a key or a type that a job file does not have."""
    check(Place(root), inspect.type_info(JobFile))
    return msgspec.convert(_plain(root), JobFile, dec_hook=lambda _, text: Secret(text))


def _plain(node: Node) -> object:
    match node.value:
        case dict(members):
            return {key: _plain(member) for key, member in members.items()}
        case list(items):
            return [_plain(item) for item in items]
        case scalar:
            return scalar


def job_schema() -> dict[str, Any]:
    """Give the JSON Schema (draft 2020-12) of a job file, for editors."""
    schema = msgspec.json.schema(JobFile, schema_hook=lambda _: {"type": "string"})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "asyncreport job",
        **schema,
    }
