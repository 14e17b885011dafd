"""The output files of a job: their formats, placeholders, and that no two are one file. Pure."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from asyncreport.config.dates import parse_ms
from asyncreport.config.names import first_repeat
from asyncreport.config.schema import OutputFile, unset_to_none
from asyncreport.config.validate import Place
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import FORMATS, Job, Output, Team

_FORMATS = ", ".join(f"{suffix} ({name})" for suffix, name in FORMATS.items())


def resolve_output(place: Place, given: OutputFile) -> Output:
    """Resolve the section `output`; `settle` becomes ms."""
    per_team = unset_to_none(given.per_team)
    if per_team is not None:
        _check_per_team(place.at("per_team"), per_team)
    _check_template(place.at("path"), given.path, ["{month}"])
    return Output(
        path=given.path,
        per_team=per_team,
        settle=parse_ms(place.at("settle"), given.settle),
    )


def _check_per_team(place: Place, template: str) -> None:
    """Check the template of the files of teams."""
    _check_template(place, template, ["{month}", "{team}"])
    if "{team}" not in template:
        raise place.must("contain {team}", "; without it all teams would write to the same file")


def _check_template(
    place: Place,
    template: str,
    placeholders: Sequence[str],
) -> None:
    """Check a path with placeholders."""
    filled = _filled(template, placeholders)
    if "{" in filled or "}" in filled:
        raise place.must(f"not contain {{ or }} except in {' and '.join(placeholders)}")
    _check_system(place, template)
    _check_start(place, template)
    _check_folders(place, template)
    if not template.isprintable():
        raise place.must(
            "have only printable characters",
            "; in double quotes \\ starts an escape: write / between folders",
        )
    if Path(filled).suffix not in FORMATS:
        raise place.must("be a file with a known extension", accepted=_FORMATS)


def _check_system(place: Place, template: str) -> None:
    """Refuse a path of Windows on another system, where it would be the name of a file."""
    if "\\" in template and os.sep != "\\":
        raise place.must(
            "be a path of this system",
            "; this is not Windows: write / between folders, such as exports/aht.jsonl",
        )


def _filled(template: str, placeholders: Sequence[str]) -> str:
    """Give a path with some text in place of each placeholder."""
    for placeholder in placeholders:
        template = template.replace(placeholder, "x")
    return template


def _check_start(place: Place, template: str) -> None:
    if template.startswith("~"):
        raise place.must(
            "not start with ~",
            "; only a shell expands it; write for example ${HOME}/exports/aht.jsonl",
        )


def _check_folders(place: Place, template: str) -> None:
    """Refuse a file inside a state folder; some file systems ignore case."""
    folders = [part.casefold() for part in Path(template).parts]
    if ".asyncreport" in folders:
        raise place.must(
            "not be inside a state folder (.asyncreport)",
            "; its files could be overwritten; use another folder",
        )


def check_output_files(root: Place, job: Job) -> None:
    """Refuse two output files with one path."""
    per_team = job.output.per_team
    if per_team is None:
        return
    _check_team_files(root.at("teams"), job.teams)
    for number, team in enumerate(job.teams):
        file = per_team.replace("{team}", team.name)
        if _clash(file, job.output.path):
            raise _same_file(root.at("output", "per_team"), number)


def _same_file(place: Place, number: int) -> ConfigError:
    """Report that the file of a team is also the file of all records."""
    return place.must(
        "give other files than output.path",
        f"; the file of teams[{number}] is the same; change one of the two",
    )


def _check_team_files(place: Place, teams: Sequence[Team]) -> None:
    """Refuse names that some file systems treat as one: they ignore case, or how é is composed."""
    repeat = first_repeat(_folded(team.name) for team in teams)
    if repeat:
        number, earlier = repeat
        raise place.at(number, "name").must(
            "give an output file of its own",
            f"; some file systems would use the file of teams[{earlier}]; use another name",
        )


def _folded(text: str) -> str:
    """Spell a text so that names which some file system treats as one are equal."""
    return unicodedata.normalize("NFC", text).casefold()


def _clash(one: str, other: str) -> bool:
    """Tell whether two templates give the same path in some month."""
    first = _folded(os.path.normpath(one))
    second = _folded(os.path.normpath(other))
    return _covers(first, second) or _covers(second, first)


def _covers(template: str, other: str) -> bool:
    """Tell whether some month in a template gives the path of the other in one month."""
    pattern = re.escape(template).replace(re.escape("{month}"), r"\d{4}-\d\d")
    example = other.replace("{month}", "2000-01")
    return re.fullmatch(pattern, example) is not None
