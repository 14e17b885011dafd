"""A good aiohttp script: a semaphore, a limiter, and gather. Owns the session and the file."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp
import orjson
from aiolimiter import AsyncLimiter
from pull import PATH, queries, rows, settings

ATTEMPTS = 8


class Puller:
    """Ask with at most 16 requests under way."""

    def __init__(self, session: aiohttp.ClientSession, per_minute: int) -> None:
        self.session = session
        self.places = asyncio.Semaphore(16)
        self.limiter = AsyncLimiter(per_minute, 60)

    async def ask(self, method: str, path: str, **rest: Any) -> Any:
        """Give an answer, after as many attempts as that takes."""
        for attempt in range(1, ATTEMPTS + 1):
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(self.places)
                await stack.enter_async_context(self.limiter)
                answer = await stack.enter_async_context(self.session.request(method, path, **rest))
                if answer.status not in (429, 500, 502, 503, 504) or attempt == ATTEMPTS:
                    answer.raise_for_status()
                    return orjson.loads(await answer.read())
            await asyncio.sleep(float(answer.headers.get("Retry-After", 2**attempt)))
        raise AssertionError("unreachable")

    async def names(self) -> dict[str, str]:
        """Page through the directory."""
        found: dict[str, str] = {}
        number, pages = 1, 1
        while number <= pages:
            page = await self.ask(
                "GET",
                "/api/v2/users",
                params={"pageSize": 100, "pageNumber": number, "state": "any"},
            )
            found |= {user["id"]: user["name"] for user in page["entities"]}
            number, pages = number + 1, page["pageCount"]
        return found

    async def write(self, query: dict[str, Any], names: dict[str, str], out: BinaryIO) -> None:
        """Ask one query and write its rows."""
        found = rows(await self.ask("POST", PATH, json=query), names)
        out.write(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in found))


async def pull(asked: dict[str, Any], out: BinaryIO) -> None:
    """Pull everything at once, as far as the semaphore and the limiter allow."""
    async with aiohttp.ClientSession(asked["url"]) as session:
        puller = Puller(session, asked["per_minute"])
        credentials = aiohttp.BasicAuth(asked["client_id"], asked["client_secret"])
        token = await puller.ask(
            "POST", "/oauth/token", data={"grant_type": "client_credentials"}, auth=credentials
        )
        session.headers["Authorization"] = f"Bearer {token['access_token']}"
        names = await puller.names()
        await asyncio.gather(*(puller.write(query, names, out) for query in queries(asked)))


def main() -> None:
    """Pull."""
    asked = settings()
    with Path(asked["out"]).open("wb") as out:
        asyncio.run(pull(asked, out))


if __name__ == "__main__":
    main()
