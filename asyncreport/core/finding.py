"""The results of `check` and `verify`. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from msgspec import Struct

from asyncreport.core.text import MAX_SHOWN, LongList, printable


class Finding(Struct, frozen=True):
    """The result of one test: a level, a line, and more lines with details."""

    level: Literal["OK", "WARN", "FAIL"]
    text: str
    #: more lines; of a long list people see only the first
    groups: tuple[str | LongList, ...] = ()
    #: the exit code of a command with this finding, if it is a failure
    failure_code: int = 1

    @property
    def exit_code(self) -> int:
        """Give the exit code of a command that has no other finding."""
        if self.level == "FAIL":
            return self.failure_code
        return 0

    @property
    def failed(self) -> bool:
        """Tell whether the test failed; a warning is not a failure."""
        return self.level == "FAIL"

    @property
    def details(self) -> tuple[str, ...]:
        """List all lines with details."""
        lines: list[str] = []
        for group in self.groups:
            if isinstance(group, LongList):
                lines += group.lines
            else:
                lines.append(group)
        return tuple(lines)

    def describe(self, most: int) -> str:
        """Write the line and its details, of long lists at most so many lines."""
        lines = [f"{self.level:<4}  {self.text}"]
        for group in self.groups:
            lines += [f"      {line}" for line in _lines(group, most)]
        # Names and messages of a server are in these lines.
        return "\n".join(map(printable, lines))

    def __str__(self) -> str:
        """Write the line and its details as without -v."""
        return self.describe(MAX_SHOWN)


def _lines(group: str | LongList, most: int) -> list[str]:
    """Give the lines of a group that are shown."""
    if isinstance(group, LongList):
        return group.first(most)
    return [group]


class Findings(Struct, frozen=True):
    """The results of all tests of one `check` or `verify`."""

    #: name of the job
    job: str
    #: in the order of the tests
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """Give the exit code of the command: the highest of the failures; 0 if nothing failed."""
        return max((finding.exit_code for finding in self.findings), default=0)

    def plain(self) -> dict[str, object]:
        """Give it in plain types, for JSON: level, text and all details of each finding."""
        found = [
            {"level": finding.level, "text": finding.text, "details": finding.details}
            for finding in self.findings
        ]
        return {"job": self.job, "exit_code": self.exit_code, "findings": found}

    @property
    def failed(self) -> bool:
        """Tell whether a test failed; a warning is not a failure."""
        return any(finding.failed for finding in self.findings)


#: take a finding when it comes; an error that it raises ends the tests
Report = Callable[[Finding], None]


def unreported(_: Finding) -> None:
    """Do nothing with a finding when it comes."""


@dataclass(frozen=True, slots=True)
class Collector:
    """Keeps findings, and passes each on when it comes."""

    report: Report
    found: list[Finding] = field(default_factory=list)

    def add(self, finding: Finding) -> None:
        """Keep a finding, and pass it on."""
        self.found.append(finding)
        self.report(finding)

    def findings(self, job: str) -> Findings:
        """Give all findings of a job, by its name."""
        return Findings(job, tuple(self.found))
