"""Which queries have parts in the folder of a connection, and how large they are. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from typing import Annotated

from msgspec import Struct

from asyncreport.core.job import Part
from asyncreport.export.summary_outputs import key


class QueryStatus(Struct, frozen=True, kw_only=True):
    """The parts of one query in a connection's folder, in any range and of any users."""

    fingerprint: Annotated[str, key("digest of the query, as in the manifest")]
    asked: Annotated[bool, key("false: the job no longer asks this query")]
    parts: Annotated[int, key("number of parts")]
    records: Annotated[int, key("number of records in these parts")]
    bytes: Annotated[int, key("size of the files of these parts")]


def describe_queries(parts: Iterable[Part], asked: Container[str]) -> list[QueryStatus]:
    """Describe each query that has parts: those that the job asks first, then by fingerprint.

    `asked` has the fingerprints of the job's query.
    """
    groups: defaultdict[str, list[Part]] = defaultdict(list)
    for part in parts:
        groups[part.fingerprint].append(part)
    found = [_query(name, of_query, name in asked) for name, of_query in groups.items()]
    return sorted(found, key=lambda query: (not query.asked, query.fingerprint))


def _query(fingerprint: str, parts: Sequence[Part], asked: bool) -> QueryStatus:
    """Describe the parts of a query."""
    return QueryStatus(
        fingerprint=fingerprint,
        asked=asked,
        parts=len(parts),
        records=sum(part.count for part in parts),
        bytes=sum(part.size for part in parts),
    )
