"""Which contract fetches a chunk, and how many requests a chunk takes. Pure."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from asyncreport.api import aggregates, entities, intervals, query_jobs, user_aggregates
from asyncreport.api.aggregates import ConnectionState, Steps
from asyncreport.api.queries import conversation_query
from asyncreport.api.wire import Request, Wait
from asyncreport.core.job import USERS_PER_QUERY, Chunk, Query
from asyncreport.core.records import Accumulator
from asyncreport.core.timeline import Interval

#: of a query job: submit, poll, read, delete
_REQUESTS_PER_QUERY_JOB = 4


def steps(
    query: Query,
    chunk: Chunk,
    facts: Accumulator,
    state: ConnectionState,
    closing: list[Request],
) -> Generator[Request | Wait, Any, None]:
    """Fetch everything in a chunk and add it to `facts`.

    When this ends, in whatever way, `closing` holds the requests that must still be sent.

    Raise RejectedError if the server refuses or breaks the contract, RetriesExhausted for a query
    job that does not end.
    """
    if query.contract == "entities":
        yield from entities.steps(query.grid, chunk, facts)
        return
    yield from _conversations(query, chunk, facts, state, closing)
    if query.occupancy:
        users = _named_users(chunk, state)
        yield from user_aggregates.steps(query, chunk.interval, users, facts, state)


def _named_users(chunk: Chunk, state: ConnectionState) -> tuple[str, ...]:
    """List the users of a chunk, for a query that must name them."""
    users = chunk.users
    if users is None:
        users = state.all_users
    # A mistake of the caller. Without an error, the rows of everyone would have no occupancy.
    if users is None:
        raise ValueError("the ids of all users were not looked up")
    return users


def _conversations(
    query: Query,
    chunk: Chunk,
    facts: Accumulator,
    state: ConnectionState,
    closing: list[Request],
) -> Generator[Request | Wait, Any, None]:
    """Fetch the conversations of a chunk, at once or with query jobs."""
    reader = aggregates.page_reader(facts, aggregates.container_adder(query, chunk))

    def query_interval(interval: Interval, one_bucket: bool) -> Steps:
        body = conversation_query(query, chunk, interval, one_bucket)
        if query.contract == "query-jobs":
            return query_jobs.send(body, reader, closing, state.query_job_timeout)
        return aggregates.send(body, reader)

    yield from intervals.fetch_interval(query.grid, chunk.interval, state, facts, query_interval)


def one_bucket_per_query(query: Query, state: ConnectionState) -> bool:
    """Tell whether each bucket of a chunk is a query of its own."""
    if query.contract == "entities":
        return entities.one_bucket_per_query(query.grid)
    return intervals.one_bucket_per_query(query.grid, state)


def count_requests(query: Query, chunk: Chunk, population: int) -> int:
    """Count the requests of a chunk if nothing fails: one page a response, one poll a query job.

    `population` is the number of users, for a chunk of everyone.
    """
    if query.contract == "entities":
        return len(entities.query_intervals(query.grid, chunk.interval))
    queries = intervals.count_queries(query.grid, chunk.interval)
    requests = 1
    if query.contract == "query-jobs":
        requests = _REQUESTS_PER_QUERY_JOB
    if query.occupancy:
        requests += _count_batches(chunk, population)
    return queries * requests


def _count_batches(chunk: Chunk, population: int) -> int:
    """Count the queries about users that one query about conversations needs next to it."""
    users = population
    if chunk.users is not None:
        users = len(chunk.users)
    return -(-users // USERS_PER_QUERY)
