"""Parts are reused as long as their query is the same: its digest must never change by itself."""

from __future__ import annotations

import pytest
from msgspec import defstruct
from msgspec.structs import replace

from asyncreport.config.zones import load_zone
from asyncreport.core.fingerprint import digest, digest_of_format_1
from asyncreport.core.job import Filter, Query
from asyncreport.core.timeline import DAY, Granularity, Grid, Interval

IRELAND = "https://api.mypurecloud.ie"
EMULATOR = "emulator:agents=40,seed=1"
HOURS = Grid(Granularity.PT1H, load_zone("UTC"))
DAYS = Grid(Granularity.P1D, load_zone("Europe/Dublin"))
WHOLE = Grid(
    Granularity.NONE, load_zone("America/Mexico_City"), Interval(19_000 * DAY, 19_031 * DAY)
)

QUERIES = {
    "plain": (Query(grid=HOURS), EMULATOR),
    "days": (Query(grid=DAYS), IRELAND),
    "occupancy": (Query(grid=HOURS, occupancy=True, metrics=("tAnswered",)), IRELAND),
    "one bucket": (Query(grid=WHOLE, contract="entities"), IRELAND),
    "everything": (
        Query(
            grid=DAYS,
            contract="query-jobs",
            split_by=("queueId", "mediaType"),
            filter=Filter(media_types=("voice",), queues=("q1", "q2"), divisions=("d",)),
            metrics=("nTransferred", "tAnswered"),
        ),
        IRELAND,
    ),
}
#: by query: today's digest, and that of version 0.1.0
DIGESTS = {
    "plain": ("ad8d9fd4db574951aaeb6111ccb01c7f", "33837eed381ee1b72f0c6f7b9fb38004"),
    "days": ("7390d4e59dd6f842def32f8eaf2b29b1", "65772d0cb3caeed6a4026872e48a6c0f"),
    "occupancy": ("9cf3d2168a5e370c5b971e0a994b1537", "0c9fa8b5ebd812d5b7c05c147f93fde5"),
    "one bucket": ("0be77c14cf8ee31cb30d5f44bfb1b093", "a8105599b5a519d44914eaa5ad128f3c"),
    "everything": ("f5ad98a18898218731cce9ba0b0a41ea", "33f4618c2b556c210e6ab6387e382a8f"),
}


@pytest.mark.parametrize("name", QUERIES)
def test_the_digests_of_a_query_stay_as_they_are(name: str) -> None:
    """If this fails, every user fetches everything again: change the code, not the digest."""
    query, identity = QUERIES[name]
    assert query.fingerprints(identity) == DIGESTS[name]
    assert query.fingerprint(identity) == DIGESTS[name][0]


def test_a_new_optional_field_changes_no_digest_until_it_is_used() -> None:
    grown = defstruct("Grown", [("sampling", int, 1)], bases=(Query,), frozen=True, kw_only=True)
    for query, identity in QUERIES.values():
        fields = {name: getattr(query, name) for name in query.__struct_fields__}
        unused, used = grown(**fields), grown(**fields, sampling=2)
        assert digest(unused, identity) == digest(query, identity)
        assert digest_of_format_1(unused, identity) == digest_of_format_1(query, identity)
        assert digest(used, identity) != digest(query, identity)
        assert digest_of_format_1(used, identity) != digest_of_format_1(query, identity)


def test_every_difference_is_another_digest() -> None:
    query, identity = QUERIES["everything"]
    others = [
        replace(query, grid=HOURS),
        replace(query, grid=Grid(Granularity.P1D, load_zone("UTC"))),
        replace(query, contract="aggregates"),
        replace(query, split_by=("mediaType", "queueId")),
        replace(query, filter=Filter()),
        replace(query, filter=replace(query.filter, queues=("q1",))),
        replace(query, occupancy=True),
        replace(query, metrics=()),
    ]
    found = [each.fingerprints(identity) for each in [query, *others]]
    found.append(query.fingerprints("https://api.mypurecloud.de"))
    digests = [digest for pair in found for digest in pair]
    assert len(set(digests)) == len(digests) == 2 * 10
