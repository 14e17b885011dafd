"""What the steps of one run share. Owns nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from asyncreport.core.freshness import Freshness
from asyncreport.core.job import Connection, Job, Part
from asyncreport.core.timeline import Interval
from asyncreport.engine.activity import Activity
from asyncreport.export.lanes import Connections
from asyncreport.export.names import NameLookup
from asyncreport.export.storage import Files
from asyncreport.export.warning_list import WarningList
from asyncreport.store.state import State

#: print one line for the person who runs the job
Say = Callable[[str], None]


def silent(_: str) -> None:
    """Print nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What the person who runs a job decides."""

    #: write the output files even if something is missing
    allow_partial: bool = False
    #: look up every name again
    refresh_names: bool = False
    #: send no query if a team cannot be looked up
    strict: bool = False
    #: fetch the parts again that overlap it
    refresh: Interval | None = None
    #: False: send no query, and write the files from the parts that exist
    fetch: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What the steps of one run share."""

    #: with the members of its teams, and without the teams that could not be looked up
    job: Job
    files: Files
    state: State
    connections: Connections
    #: of users and queues
    names: NameLookup
    #: start of the run, an instant
    now: int
    warnings: WarningList
    choices: Choices
    #: what the run is doing, for a display
    activity: Activity

    @property
    def freshness(self) -> Freshness:
        """Give the rule for which parts to fetch again."""
        return Freshness(
            settle=self.job.output.settle,
            refresh=self.choices.refresh,
            now=self.now,
            fetch=self.choices.fetch,
        )

    def say(self, line: str) -> None:
        """Print a line."""
        self.warnings.say(line)

    def warn(self, message: str) -> None:
        """Print a warning; the summary lists it too."""
        self.warnings.warn(message)

    def parts(self, connection: Connection) -> list[Part]:
        """List the current parts of a connection; raise StoreError."""
        return self.state.current_parts(connection)

    def all_parts(self) -> dict[str, list[Part]]:
        """List the current parts of each connection, by its name; raise StoreError."""
        return {connection.name: self.parts(connection) for connection in self.job.connections}
