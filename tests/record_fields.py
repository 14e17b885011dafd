"""What docs/record.md says of each field of a record; types and order come from the code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from asyncreport.config.schema import DIMENSIONS, MULTI_VALUED
from asyncreport.config.zones import load_zone
from asyncreport.core.columns import NAMES, default_columns, known_columns
from asyncreport.core.job import Query
from asyncreport.core.table import Column, Kind
from asyncreport.core.timeline import Granularity, Grid

#: metrics that stand for all others: a time, and a number
METRICS = ("tAnswered", "nTransferred")

#: how a page names a type
TYPES: Mapping[Kind, str] = {
    "text": "text",
    "instant": "instant",
    "local": "local time",
    "date": "date",
    "integer": "integer",
    "number": "number",
}


@dataclass(frozen=True, slots=True)
class Field:
    """What is not in the code."""

    meaning: str
    #: as JSON has it
    example: str
    unit: str = ""
    #: empty: never
    null: str = ""


_NO_STATUS = "no status was reported"

#: by name; the fields of a dimension without a text of its own are `null` if there is no value
FIELDS: Mapping[str, Field] = {
    "team": Field("the team's name in the job file", '"billing"'),
    "user_id": Field(
        "the agent's id", '"20441e4d-ec05-4c5c-9848-9013eca2c425"', null="no user did this work"
    ),
    "user_name": Field(
        "the agent's name when the run looked it up",
        '"Mary O\'Brien"',
        null="no user, or the directory does not know the user",
    ),
    "interval_start": Field("the first instant of the bucket", '"2023-10-01T06:30:00.000Z"', "UTC"),
    "interval_end": Field(
        "the end of the bucket, not included", '"2023-10-01T07:00:00.000Z"', "UTC"
    ),
    "handled_count": Field(
        "handled interactions; each counts in the bucket in which its wrap-up ended",
        "6",
        "interactions",
    ),
    "total_talk_time_sec": Field("talk time of them", "641.615", "seconds, 3 places"),
    "total_hold_time_sec": Field(
        "hold time of them", "21.374", "seconds, 3 places", "`contract: entities`"
    ),
    "total_wrap_up_sec": Field("time of wrap-up after them", "149.926", "seconds, 3 places"),
    "total_handle_time_sec": Field(
        "handle time: talk, hold, wrap-up, and also dialing and contacting",
        "830.268",
        "seconds, 3 places",
    ),
    "avg_handle_time_sec": Field(
        "AHT: `total_handle_time_sec` / `handled_count`",
        "138.38",
        "seconds, 2 places",
        "nothing was handled",
    ),
    "t_answered_count": Field(
        "how many values the metric `tAnswered` has: answered interactions", "6", "as the metric"
    ),
    "t_answered_sum_ms": Field("their sum", "199897", "milliseconds"),
    "n_transferred_count": Field(
        "the metric `nTransferred`: interactions that were transferred", "0", "as the metric"
    ),
    "n_transferred_sum_ms": Field("0: a metric that only counts has no sum", "0", "milliseconds"),
    "interacting_sec": Field(
        "on queue, with an interaction", "830.268", "seconds, 3 places", _NO_STATUS
    ),
    "communicating_sec": Field(
        "on queue, in a call that did not come from a queue", "0.0", "seconds, 3 places", _NO_STATUS
    ),
    "idle_sec": Field("on queue, waiting", "969.732", "seconds, 3 places", _NO_STATUS),
    "not_responding_sec": Field(
        "on queue, an interaction was not answered", "0.0", "seconds, 3 places", _NO_STATUS
    ),
    "off_queue_sec": Field("logged in, off queue", "0.0", "seconds, 3 places", _NO_STATUS),
    "occupancy": Field(
        "interacting / (interacting + communicating + idle)",
        "0.4613",
        "share from 0 to 1, 4 places",
        "no time on queue",
    ),
    "interval_start_local": Field(
        "`interval_start` on the clocks of the job's zone", '"2023-10-01T07:30:00.000+01:00"'
    ),
    "interval_end_local": Field("the same for the end", '"2023-10-01T08:00:00.000+01:00"'),
    "date": Field("the local day on which the bucket begins", '"2023-10-01"'),
    "weekday": Field("its day of the week: 1 is Monday, 7 is Sunday", "7"),
    "job": Field("the name of the job", '"aht"'),
    "connection": Field("the name of the connection", '"default"'),
    "media_type": Field("voice, message, email, chat, callback and others", '"voice"'),
    "queue_id": Field("the queue", '"55c8b0ab-75fc-4c9b-9e08-c15109ad07bb"', null="no queue"),
    "queue_name": Field(
        "its name; comes with `queue_id`", '"Réclamations"', null="no queue, or an unknown one"
    ),
    "direction": Field("`inbound` or `outbound`, of this agent's part", '"inbound"'),
    "originating_direction": Field("the same, of the whole interaction", '"inbound"'),
    "division_id": Field("a division of the interaction", '"6bf23afe-419c-4ec7-a864-2615ff318bbe"'),
    "message_type": Field("webmessaging, whatsapp and others", '"whatsapp"', null="not a message"),
    "wrap_up_code": Field("the wrap-up code's id", '"a3bf4ac3-580e-4bc7-8710-19fdb0eba2e2"'),
    "interaction_type": Field("`contactCenter` or `enterprise`", '"contactCenter"'),
    "disconnect_type": Field("how the interaction ended", '"client"'),
    "used_routing": Field("the routing method that found the agent", '"Standard"'),
    "requested_language_id": Field(
        "the language that was asked for", '"b8722be8-cd36-4412-9635-e800836b3771"'
    ),
    "skill_expression_id": Field(
        "the group of the skill expression", '"3a8cd53d-d68c-488c-b212-de393b84d385"'
    ),
    "outbound_campaign_id": Field("the campaign", '"f1985723-4d69-4f83-96b2-c3256cc32cd6"'),
    "provider": Field("the source of the interaction", '"PureCloud Voice"'),
    "active_skill_id": Field("a skill that routing used", '"166a2e3e-7b6e-4290-8df0-f6a0e02806a1"'),
    "requested_routing_skill_id": Field(
        "a skill that was asked for", '"166a2e3e-7b6e-4290-8df0-f6a0e02806a1"'
    ),
    "requested_routing": Field("a routing method that was asked for", '"Standard"'),
    "wrap_up_name": Field("the name of `wrap_up_code`", '"Follow-up"'),
    "division_name": Field("the name of `division_id`", '"Home"'),
    "skill_name": Field(
        "the name of `active_skill_id`, else of `requested_routing_skill_id`", '"Sales talk"'
    ),
    "language_name": Field("the name of `requested_language_id`", '"Français"'),
}

_GRID = Grid(Granularity.PT30M, load_zone("UTC"))
_PLAIN = Query(grid=_GRID)
_SPLIT = Query(grid=_GRID, split_by=tuple(DIMENSIONS.values()))
_METRICS = Query(grid=_GRID, metrics=METRICS)
_OCCUPANCY = Query(grid=_GRID, occupancy=True)


def every_column() -> dict[str, Column]:
    """Give all columns that a file can have: with every dimension, occupancy, and two metrics."""
    found: dict[str, Column] = {}
    for query in (_PLAIN, _SPLIT, _METRICS, _OCCUPANCY):
        found |= known_columns(query)
    return found


def groups() -> Iterator[tuple[str, list[str]]]:
    """Walk the tables of the page: a title and the fields."""
    yield "Every record", _names(_PLAIN)
    yield "With `split_by`: between `user_name` and `interval_start`", _more(_SPLIT)
    yield "With `metrics: [tAnswered, nTransferred]`: two fields for each metric", _more(_METRICS)
    yield "With `occupancy: true`", _more(_OCCUPANCY)
    shown = {*_names(_SPLIT), *_names(_METRICS), *_names(_OCCUPANCY)}
    yield (
        "Only if `output.columns` lists them",
        [each for each in every_column() if each not in shown],
    )


def _names(query: Query) -> list[str]:
    """List the fields of a query's records."""
    return [each.name for each in default_columns(query)]


def _more(query: Query) -> list[str]:
    """List the fields that not every record has."""
    return [name for name in _names(query) if name not in _names(_PLAIN)]


_HEAD = ("| field | type | unit | null if | example | meaning |", "|---|---|---|---|---|---|")


def record_fields() -> str:
    """Write a table for each group of fields."""
    columns = every_column()
    lines = []
    for title, names in groups():
        lines += ["", f"### {title}", ""]
        lines += [
            "| field | type | unit | null if | example | meaning |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_row(columns[name]) for name in names]
    return "\n".join(lines).strip()


def _row(each: Column) -> str:
    """Write the table row of a field."""
    field = FIELDS[each.name]
    name = f"`{each.name}`" + (" \\*" if DIMENSIONS.get(each.name) in MULTI_VALUED else "")
    cells = [name, TYPES[each.kind], field.unit, null_rule(each.name) or "never"]
    return "| " + " | ".join([*cells, f"`{field.example}`", field.meaning]) + " |"


def null_rule(name: str) -> str:
    """Say when a field is null; empty: never."""
    if name in NAMES or name in DIMENSIONS:
        return FIELDS[name].null or "there is none"
    return FIELDS[name].null
