"""Whether the parts that stand are from the organisation that a job asks today: a host may serve several. Owns nothing."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from asyncreport.core.job import Job, Part
from asyncreport.store.clients import Clients


def strangers(job: Job, standing: Callable[[str], Sequence[Part]]) -> dict[str, str]:
    """Find the connections none of whose OAuth clients fetched the parts that stand, and say so of each; raise StoreError.

    It is no error, for clients are renewed.
    """
    clients = Clients(job.state_folder)
    return {
        each.name: f"{each.name}: the parts of {each.identity} were fetched by other OAuth clients; where that is another organisation, "
        f"give the job another name or delete {job.state_folder}"
        for each in job.connections
        if clients.strange(each) and standing(job.query.fingerprint(each.identity))
    }


def remember(job: Job, *, but: Container[str] = ()) -> None:
    """Keep in mind which clients fetch, `but` of these connections not yet; raise StoreError."""
    clients = Clients(job.state_folder)
    for connection in job.connections:
        if connection.name not in but:
            clients.keep(connection)
