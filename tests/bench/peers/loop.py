"""A loop with `requests`: one session, one query after another, and the usual retries.

Owns the session and the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import requests
from pull import PATH, lines, queries, rows, settings
from requests.adapters import HTTPAdapter
from urllib3.util import Retry


def names(session: requests.Session, url: str) -> dict[str, str]:
    """Page through the directory."""
    found: dict[str, str] = {}
    number, pages = 1, 1
    while number <= pages:
        answer = session.get(
            f"{url}/api/v2/users",
            params={"pageSize": 100, "pageNumber": number, "state": "any"},
            timeout=60,
        )
        answer.raise_for_status()
        page: dict[str, Any] = answer.json()
        found |= {user["id"]: user["name"] for user in page["entities"]}
        number, pages = number + 1, page["pageCount"]
    return found


def main() -> None:
    """Pull."""
    asked = settings()
    retry = Retry(
        total=8,
        backoff_factor=0.5,
        status_forcelist=(429, 500, 502, 503, 504),
        allowed_methods=None,
    )
    with requests.Session() as session, Path(asked["out"]).open("w", encoding="utf-8") as out:
        session.mount("http://", HTTPAdapter(max_retries=retry))
        credentials = (asked["client_id"], asked["client_secret"])
        token = session.post(
            f"{asked['url']}/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=credentials,
            timeout=60,
        )
        token.raise_for_status()
        session.headers["Authorization"] = f"Bearer {token.json()['access_token']}"
        known = names(session, asked["url"])
        for query in queries(asked):
            answer = session.post(asked["url"] + PATH, json=query, timeout=60)
            answer.raise_for_status()
            out.write(lines(rows(answer.json(), known)))


if __name__ == "__main__":
    main()
