"""Check that existing records fit into the job's files, before more are fetched. Owns nothing."""

from __future__ import annotations

from collections.abc import Mapping

from asyncreport.core.job import Job
from asyncreport.core.plan import Plan
from asyncreport.export.run_context import RunContext
from asyncreport.export.targets import all_files, targets
from asyncreport.store.space import check_counts


async def check_row_limits(context: RunContext, plans: Mapping[str, Plan]) -> None:
    """Raise ConfigError if a file would have more rows than its format can hold.

    `plans` are by the connection's name. Only the records of parts that are reused are counted:
    how many the others will have is not known before they are fetched. Raise StoreError, and
    DamagedPartError for a part that is not what was saved.
    """
    # Without anything to fetch, the check before the merge comes soon enough.
    if not any(plan.chunks for plan in plans.values()) or not _has_limit(context.job):
        return
    parts = {name: plan.reused for name, plan in plans.items()}
    files = targets(context.job, parts, context.names.tables)
    with context.files.reader() as reader:
        # In the writing thread: a million records are counted in a second, and the event loop must
        # still handle a signal.
        await context.state.run_in_writer(lambda _: check_counts(files, reader))


def _has_limit(job: Job) -> bool:
    """Tell whether a file of the job has a format that holds only so many records."""
    return any(file.format.most_records is not None for file in all_files(job))
