"""What the person who runs jobs decides for all of them. Owns nothing."""

from __future__ import annotations

from dataclasses import dataclass

from asyncreport.config import refresh_interval
from asyncreport.core.job import Job
from asyncreport.export.run_context import Choices


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The options of one run, as the command line gives them; Choices describes the flags."""

    #: start of the run, an instant
    now: int
    #: an interval to fetch again, START/END; what it means depends on the job's time zone
    refresh: str | None = None
    allow_partial: bool = False
    refresh_names: bool = False
    strict: bool = False
    fetch: bool = True

    def choices(self, job: Job) -> Choices:
        """Give the choices for one of the jobs; raise ConfigError for a wrong `refresh`."""
        return Choices(
            allow_partial=self.allow_partial,
            refresh_names=self.refresh_names,
            strict=self.strict,
            refresh=refresh_interval(self.refresh, job, self.now),
            fetch=self.fetch,
        )
