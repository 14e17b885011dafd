"""The output files that a summary lists. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from msgspec import Meta, Struct

from asyncreport.core.job import Job
from asyncreport.export.targets import Kind, OutputFile, all_files
from asyncreport.store.written_outputs import WrittenFile


def key(description: str) -> Meta:
    """Describe a key of the summary."""
    return Meta(description=description)


class SummaryFile(Struct, frozen=True, kw_only=True):
    """An output file."""

    path: Annotated[str, key("absolute path")]
    kind: Annotated[
        Kind,
        key(
            "output: a file of all teams together; per_team: a file of one team, whose records are "
            "in a file of all teams too; rollup: sums of the records"
        ),
    ]
    team: Annotated[str | None, key("name of the team; null: all teams")]
    month: Annotated[str | None, key("YYYY-MM in the job's time zone; null: the whole range")]
    format: Annotated[str, key("the end of its name, such as jsonl, csv.gz or parquet")]
    records: Annotated[int, key("number of records; of a roll-up, of its rows")]
    sha256: Annotated[str, key("of the whole file, in hex")]
    complete: Annotated[bool, key("false: records are missing in this file")]
    months_written: Annotated[
        list[str],
        key(
            "YYYY-MM in the job's time zone: months whose rows this run wrote; load these "
            "again, in place of what was there"
        ),
    ]


class SummaryReport(Struct, frozen=True, kw_only=True):
    """The HTML page of the job."""

    path: Annotated[str, key("absolute path")]
    written: Annotated[bool, key("true: this run wrote it")]
    reason: Annotated[
        str | None, key("why it was not written; null: it was, or it is up to date")
    ] = None

    def __str__(self) -> str:
        """Give its path, and whether it is an old one."""
        if self.reason is None:
            return self.path
        return f"{self.path} (not written)"


def list_files(
    job: Job,
    written: Mapping[Path, WrittenFile],
    months: Mapping[Path, Sequence[str]],
) -> list[SummaryFile]:
    """List the files of a job that are up to date, in the order of the job.

    `months` are those whose rows this run wrote.
    """
    return [
        _describe(file, written[file.path], months.get(file.path, ()))
        for file in all_files(job)
        if file.path in written
    ]


def _describe(file: OutputFile, found: WrittenFile, months: Sequence[str]) -> SummaryFile:
    """Describe a file; `found` is what was remembered when it was written."""
    return SummaryFile(
        path=str(file.path),
        kind=file.kind,
        team=file.teams[0].name if file.kind == "per_team" else None,
        month=file.month,
        format=file.format.name,
        records=sum(found.records.values()),
        sha256=found.sha256,
        complete=not found.partial,
        months_written=list(months),
    )
