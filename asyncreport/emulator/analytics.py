"""The queries: conversation aggregates, also as query jobs, and user aggregates. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from asyncreport.emulator.aggregates import write
from asyncreport.emulator.containers import refuse_large, refuse_slow
from asyncreport.emulator.entities import Entities, is_entities
from asyncreport.emulator.messages import Response, bad_request, json_response
from asyncreport.emulator.options import Options
from asyncreport.emulator.query import parse_query
from asyncreport.emulator.query_jobs import QueryJobs
from asyncreport.emulator.routes import Call, Route
from asyncreport.emulator.user_aggregates import parse_user_query, write_statuses
from asyncreport.emulator.view import View

AGGREGATES = "/api/v2/analytics/conversations/aggregates/query"
JOBS = "/api/v2/analytics/conversations/aggregates/jobs"
USER_AGGREGATES = "/api/v2/analytics/users/aggregates/query"

_CONVERSATIONS = ("analytics:conversationAggregate:view",)
_USERS = ("analytics:userAggregate:view",)


class Queries:
    """The queries that are answered at once."""

    def __init__(self, view: View, options: Options, entities: Entities) -> None:
        self._view = view
        self._options = options
        self._entities = entities

    def routes(self) -> Iterator[Route]:
        """List the routes of the queries."""
        yield Route.of("POST", AGGREGATES, self._aggregates, _CONVERSATIONS)
        yield Route.of("POST", USER_AGGREGATES, self._user_aggregates, _USERS)

    def _aggregates(self, call: Call) -> Response:
        body = call.json_body()
        if is_entities(body):
            return json_response(self._entities.respond(body, call.now))
        query = parse_query(body)
        refuse_slow(self._options.slow_above, query, len(self._view.world.people))
        groups = self._view.count(self._view.until_now(query, call.now))
        refuse_large(self._options.max_rows, groups)
        return json_response(write(query, groups))

    def _user_aggregates(self, call: Call) -> Response:
        half_hours_only = self._options.half_hours_only
        query = parse_user_query(call.json_body(), half_hours_only=half_hours_only)
        refuse_slow(self._options.slow_above, query, len(self._view.world.people))
        groups = self._view.count_statuses(self._view.until_now(query, call.now))
        refuse_large(self._options.max_rows, groups)
        return json_response(write_statuses(query, self._view.world, groups))


class JobCalls:
    """The calls about query jobs."""

    def __init__(self, jobs: QueryJobs) -> None:
        self._jobs = jobs

    def routes(self) -> Iterator[Route]:
        """List the routes of query jobs."""
        job = f"{JOBS}/[^/]+"
        yield Route.of("POST", JOBS, self._submit, _CONVERSATIONS)
        yield Route.of("GET", job, self._status, _CONVERSATIONS)
        yield Route.of("GET", f"{job}/results", self._results, _CONVERSATIONS)
        yield Route.of("DELETE", job, self._delete, _CONVERSATIONS)

    def _submit(self, call: Call) -> Response:
        return json_response(self._jobs.submit(call.json_body(), call.now), 202)

    def _status(self, call: Call) -> Response:
        return json_response(self._jobs.status(call.last_step, call.now))

    def _results(self, call: Call) -> Response:
        for name, _ in call.request.query:
            if name != "cursor":
                raise bad_request("The parameter {field} is unknown", field=name)
        job_id = call.request.path.removesuffix("/results").rpartition("/")[2]
        cursor = call.request.param("cursor")
        return json_response(self._jobs.results(job_id, cursor, call.now))

    def _delete(self, call: Call) -> Response:
        self._jobs.delete(call.last_step)
        return Response(status=204)
