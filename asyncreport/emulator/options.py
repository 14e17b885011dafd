"""How an emulated organisation behaves. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: how a query job ends when it is due; `too_large`: it fails because its result is too large;
#: `vanish`: it does not exist any more; `vanish_later`: it is fulfilled, and does not exist after
#: its first page
Outcome = Literal["fulfil", "fail", "too_large", "cancel", "expire", "vanish", "vanish_later"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the emulated organisation behaves."""

    #: of one token, in any 60 s; 0: no limit and no rate headers
    requests_per_minute: int = 300
    #: number of OAuth clients, at most 100
    clients: int = 1
    #: tokens that one client may fetch in a minute; 0: no limit
    tokens_per_minute: int = 60
    #: seconds until a token expires ...
    token_life: int = 86_400
    #: ... and the seconds that the token endpoint reports, if they are not the true ones; 0: true
    token_life_reported: int = 0
    #: seconds before an API response
    latency: float = 0.0
    #: permissions that the client lacks, such as `analytics:conversationAggregate:view`
    denied: tuple[str, ...] = ()
    #: names of the divisions that the client's roles cover; empty: all
    divisions: tuple[str, ...] = ()

    #: rows in one response to a query; a larger result is refused as too large; 0: no limit
    max_rows: int = 0
    #: users x buckets of a query; a query about more of them times out; 0: no limit
    slow_above: int = 0
    #: refuse user aggregates with a granularity of less than half an hour
    half_hours_only: bool = False

    #: entries on one page, at most, also if the request asks for more; 0: as requested
    most_per_page: int = 0
    #: send an empty page before the last one of a query job or of the entities contract
    empty_pages: bool = False
    #: let the second page of those lead to itself forever
    repeat_cursor: bool = False

    #: status requests that a query job answers with "not finished yet"
    job_polls: int = 2
    #: how the first query jobs end, one by one; all later ones are fulfilled
    job_outcomes: tuple[Outcome, ...] = ()
    #: rows of a query job's result; a job with more fails as too large; 0: no limit
    job_rows: int = 0
    #: requests for a query job's status or results that get a 409 first
    job_conflicts: int = 0

    #: the directory has forgotten the deleted users
    purged: bool = False
    #: names of queues that the data contain and the directory does not
    deleted_queues: tuple[str, ...] = ()
