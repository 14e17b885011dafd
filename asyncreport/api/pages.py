"""How many pages a listing may have: a server that always leads on must not hold a run for ever. Pure."""

from __future__ import annotations

from asyncreport.core.errors import RejectedError

#: pages of one listing; a million entities and ten million groups fit into so many
MOST = 10_000


def check_pages(listing: str, read: int) -> None:
    """Raise RejectedError where one more page is to be read of a listing, `GET /path`, of which so many were."""
    if read >= MOST:
        raise RejectedError(
            f"{listing}: more than {MOST:,} pages, and still no end; run it again later, or tell the vendor"
        )
