"""Which contract asks for a chunk, and what a chunk costs. Pure."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from asyncreport.api import aggregates, entities, query_jobs, user_aggregates
from asyncreport.api.aggregates import ConnectionState, Steps
from asyncreport.api.wire import Request, Wait
from asyncreport.core.job import USERS_PER_QUERY, Chunk, Query
from asyncreport.core.records import Accumulator
from asyncreport.core.timeline import Interval


def steps(
    query: Query, chunk: Chunk, facts: Accumulator, known: ConnectionState, closing: list[Request]
) -> Generator[Request | Wait, Any, None]:
    """Ask for everything in a chunk and add it to `facts`; what must still be asked when this ends, however it does, is in `closing`.

    Raise RejectedError for what the server refuses or answers in another form, RetriesExhausted for a query job that never ends.
    """
    if query.contract == "entities":
        yield from entities.steps(query.grid, chunk, facts)
        return

    reader = aggregates.reader(facts, aggregates.adder(query, chunk))

    def ask(interval: Interval, whole: bool) -> Steps:
        body = aggregates.conversations(query, chunk, interval, whole)
        if query.contract == "query-jobs":
            return (yield from query_jobs.send(body, reader, closing, known.query_job_timeout))
        return (yield from aggregates.send(body, reader))

    yield from aggregates.cut(query.grid, chunk.interval, known, facts, ask)
    if query.occupancy:
        users = known.all_users if chunk.users is None else chunk.users
        yield from user_aggregates.steps(query, chunk.interval, users, facts, known)


def one_bucket_per_query(query: Query, known: ConnectionState) -> bool:
    """Tell whether each bucket of a chunk is a query of its own."""
    return (
        entities.one_bucket_per_query(query.grid)
        if query.contract == "entities"
        else aggregates.one_bucket_per_query(query.grid, known)
    )


def count_requests(query: Query, chunk: Chunk, population: int) -> int:
    """Count the requests that a chunk costs while all goes well: one page an answer, one poll a query job."""
    if query.contract == "entities":
        return len(entities.asked(query.grid, chunk.interval))
    asked = aggregates.queries(query.grid, chunk.interval)
    users = population if chunk.users is None else len(chunk.users)
    statuses = asked * -(-users // USERS_PER_QUERY) if query.occupancy else 0
    # Submit, poll, read, delete.
    return asked * (4 if query.contract == "query-jobs" else 1) + statuses
