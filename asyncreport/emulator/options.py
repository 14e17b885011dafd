"""How an emulated organisation behaves. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: what becomes of a query job once its time has come; `burst`: it fails for its size; `lapse`: it is fulfilled, and vanishes after its
#: first page of results
Fate = Literal["fulfil", "fail", "burst", "cancel", "expire", "vanish", "lapse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the emulated organisation behaves."""

    #: of one token; 0: no limit and no rate headers
    requests_per_minute: int = 300
    #: how that minute is measured
    window: Literal["sliding", "fixed"] = "sliding"
    #: OAuth clients that there are, at most 100
    clients: int = 1
    #: tokens that one client may fetch in a minute; 0: any number
    tokens_per_minute: int = 60
    #: seconds a token lives ...
    token_life: int = 86_400
    #: ... and what the token endpoint says of that where it lies; 0: the truth
    token_life_told: int = 0
    #: seconds before an API answer
    latency: float = 0.0
    #: permissions that the client lacks, such as `analytics:conversationAggregate:view`
    denied: tuple[str, ...] = ()
    #: names of the divisions that the client's roles cover; empty: all
    divisions: tuple[str, ...] = ()

    #: rows in one answer to an aggregates or entities query, beyond which it is refused as too large; 0: any number
    max_rows: int = 0
    #: users x buckets of such a query beyond which it times out; 0: any number
    slow_above: int = 0
    #: write some groups of an aggregates answer in several pieces
    split_groups: bool = True
    #: refuse user aggregates by less than the half hour
    half_hours_only: bool = False

    #: on one page at most, whatever was asked for; 0: as asked
    most_per_page: int = 0
    #: send an empty page before the last of a query job or of the entities contract
    empty_pages: bool = False
    #: let the second page of those lead to itself for ever
    repeat_cursor: bool = False

    #: status requests that a query job answers as still under way ...
    job_polls: int = 2
    #: ... and the seconds that it takes at least
    job_seconds: float = 0.0
    #: of the first query jobs, one by one; all later ones are fulfilled
    job_fates: tuple[Fate, ...] = ()
    #: rows beyond which a query job fails, which says that its result is too large; 0: any number
    job_rows: int = 0
    #: requests for a query job's status or results that are answered with a 409 first
    job_conflicts: int = 0
    #: query jobs that may be under way at once; 0: any number
    most_jobs: int = 0

    #: the directory knows nothing of deleted users any more
    purged: bool = False
    #: names of queues that are in the data and no longer in the directory
    deleted_queues: tuple[str, ...] = ()
