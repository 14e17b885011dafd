"""The vendor's SDK in a pool of threads. Owns the client and the file.

`option`: `default` (the SDK's pool of 4 connections), `wide` (as many connections as threads), or
`raw` (wide, with responses as plain dicts instead of the SDK's objects).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import PureCloudPlatformClientV2 as sdk  # noqa: N813  for readers' sake
from pull import EMPTY, METRICS, PATH, lines, queries, row, rows, settings
from PureCloudPlatformClientV2.rest import RESTClientObject

THREADS = 16


def asking(
    client: Any, option: str, names: dict[str, str]
) -> Callable[[dict[str, Any]], list[dict[str, Any]]]:
    """Return the function that makes rows of a query."""
    if option == "raw":
        headers = {"Accept": "application/json", "Content-Type": "application/json"}

        def ask(query: dict[str, Any]) -> list[dict[str, Any]]:
            told = client.call_api(
                PATH,
                "POST",
                {},
                [],
                headers,
                body=query,
                response_type="object",
                auth_settings=["PureCloud OAuth"],
            )
            return rows(told, names)

        return ask
    analytics = sdk.AnalyticsApi(client)
    return lambda query: list(
        flat(analytics.post_analytics_conversations_aggregates_query(model(query)), names)
    )


def model(query: dict[str, Any]) -> Any:
    """Write a query in the SDK's objects."""
    made = sdk.ConversationAggregationQuery()
    made.interval, made.granularity = query["interval"], query["granularity"]
    made.group_by, made.metrics = query["groupBy"], query["metrics"]
    made.filter = sdk.ConversationAggregateQueryFilter()
    made.filter.type, made.filter.predicates = query["filter"]["type"], []
    for each in query["filter"]["predicates"]:
        predicate = sdk.ConversationAggregateQueryPredicate()
        predicate.type, predicate.dimension, predicate.operator, predicate.value = each.values()
        made.filter.predicates.append(predicate)
    return made


def flat(answer: Any, names: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Make rows of a response of objects, as `pull.rows` does of one of dicts."""
    cells: dict[tuple[str, str], list[int]] = {}
    for container in answer.results or ():
        user = container.group["userId"]
        for datum in container.data:
            cell = cells.setdefault((user, datum.interval), list(EMPTY))
            for each in datum.metrics:
                place, stats = METRICS.index(each.metric), each.stats
                cell[place] += int(stats.sum)
                if place == 3:
                    cell[4] += stats.count
    for (user, interval), cell in cells.items():
        yield row(user, interval, cell, names)


def people(client: Any) -> dict[str, str]:
    """Page through the directory."""
    users, number, found = sdk.UsersApi(client), 1, {}
    while True:
        page = users.get_users(page_size=100, page_number=number, state="any")
        found |= {user.id: user.name for user in page.entities}
        if number >= page.page_count:
            return found
        number += 1


def main() -> None:
    """Pull."""
    asked = settings()
    sdk.configuration.host = asked["url"]
    client = sdk.api_client.ApiClient(host=asked["url"])
    if asked["option"] != "default":
        client.get_http_client().rest_client = RESTClientObject(max_size=THREADS)
    client.get_client_credentials_token(asked["client_id"], asked["client_secret"])
    ask = asking(client, asked["option"], people(client))
    with ThreadPoolExecutor(THREADS) as pool, Path(asked["out"]).open("w", encoding="utf-8") as out:
        out.writelines(lines(found) for found in pool.map(ask, queries(asked)))


if __name__ == "__main__":
    main()
