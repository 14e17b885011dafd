"""The output files that a summary lists. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from asyncreport.core.job import Job
from asyncreport.export.targets import OutputFile, main_files, team_files
from asyncreport.store.written_outputs import WrittenFile

#: "output": of all teams together; "per_team": of one team
Kind = Literal["output", "per_team"]


def key(description: str) -> Meta:
    """Describe a key of the summary."""
    return Meta(description=description)


class SummaryFile(Struct, frozen=True, kw_only=True):
    """An output file."""

    path: Annotated[str, key("absolute path")]
    kind: Annotated[
        Kind,
        key(
            "output: a file of all teams together; per_team: a file of one team, "
            "whose records are in a file of all teams too"
        ),
    ]
    team: Annotated[str | None, key("name of the team; null: all teams")]
    month: Annotated[str | None, key("YYYY-MM in the job's time zone; null: the whole range")]
    format: Annotated[Literal["jsonl"], key("jsonl: one JSON object a line")]
    records: Annotated[int, key("number of records")]
    sha256: Annotated[str, key("of the whole file, in hex")]
    complete: Annotated[bool, key("false: records are missing in this file")]


def list_files(job: Job, written: Mapping[Path, WrittenFile]) -> list[SummaryFile]:
    """List the files of a job that are up to date, in the order of the job."""
    return [
        *_list_files(main_files(job), "output", written),
        *_list_files(team_files(job), "per_team", written),
    ]


def _list_files(
    files: Iterable[OutputFile],
    kind: Kind,
    written: Mapping[Path, WrittenFile],
) -> Iterator[SummaryFile]:
    """Describe the files that are up to date."""
    for file in files:
        if file.path in written:
            yield _describe(file, kind, written[file.path])


def _describe(file: OutputFile, kind: Kind, found: WrittenFile) -> SummaryFile:
    """Describe a file; `found` is what was remembered when it was written."""
    return SummaryFile(
        path=str(file.path),
        kind=kind,
        team=_team(file, kind),
        month=file.month,
        format="jsonl",
        records=sum(found.records.values()),
        sha256=found.sha256,
        complete=not found.partial,
    )


def _team(file: OutputFile, kind: Kind) -> str | None:
    """Name the team of a file; None: all teams."""
    if kind == "output":
        return None
    return file.teams[0].name
