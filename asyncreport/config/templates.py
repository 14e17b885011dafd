"""The paths of output files, with placeholders: what one of them may be. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from asyncreport.config.libraries import check_library
from asyncreport.config.object_paths import check_scheme
from asyncreport.config.validate import Place
from asyncreport.core.apart import CONNECTION
from asyncreport.core.outputs import Output
from asyncreport.formats import FORMATS, format_of

_KNOWN = ", ".join(FORMATS)


def resolve_templates(
    place: Place,
    given: str | Sequence[str],
    placeholders: Sequence[str] = ("{month}", CONNECTION),
) -> tuple[str, ...]:
    """Check one path with placeholders, or a list of them; raise ConfigError."""
    if isinstance(given, str):
        _check_template(place, given, placeholders)
        return (given,)
    if not given:
        raise place.error("is empty; write at least one path")
    for number, template in enumerate(given):
        _check_template(place.at(number), template, placeholders)
    return tuple(given)


def _check_template(place: Place, template: str, placeholders: Sequence[str]) -> None:
    """Check a path with placeholders."""
    why = ""
    if "{team}" in template and "{team}" not in placeholders:
        why = "; output.per_team writes a file for each team"
    check_placeholders(place, template, placeholders, why)
    check_path(place, template)
    _check_format(place, template)


def check_placeholders(
    place: Place, template: str, placeholders: Sequence[str], why: str = ""
) -> None:
    """Refuse braces that are not a placeholder; `why` is the end of the message."""
    for placeholder in placeholders:
        template = template.replace(placeholder, "x")
    if "{" in template or "}" in template:
        raise place.must(f"not contain {{ or }} except in {', '.join(placeholders)}", why)


def check_path(place: Place, template: str) -> None:
    """Check that a path can be one of this system, outside of state folders."""
    check_scheme(place, template)
    _check_system(place, template)
    _check_start(place, template)
    _check_folders(place, template)
    if not template.isprintable():
        raise place.must(
            "have only printable characters",
            "; in double quotes \\ starts an escape: write / between folders",
        )


def _check_format(place: Place, template: str) -> None:
    """Check that the format of a file is known, and that what it needs is installed."""
    found = format_of(template)
    if found is None or Path(template).name == found.suffix:
        raise place.must("be a file with a known extension", accepted=_KNOWN)
    if found.library is not None:
        check_library(place, found.suffix, found.library)


def _check_system(place: Place, template: str) -> None:
    """Refuse a path of Windows on another system, where it would be the name of a file."""
    if "\\" in template and os.sep != "\\":
        raise place.must(
            "be a path of this system",
            "; this is not Windows: write / between folders, such as exports/aht.jsonl",
        )


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


def all_templates(place: Place, output: Output) -> Iterator[tuple[Place, str]]:
    """Walk the paths of all files, each with its key."""
    yield from _at_each(place.at("path"), output.paths)
    yield from _at_each(place.at("per_team"), output.per_team)
    for number, rollup in enumerate(output.rollups):
        yield from _at_each(place.at("rollups", number, "path"), rollup.paths)
    if output.report is not None:
        yield place.at("report"), output.report


def _at_each(place: Place, templates: Sequence[str]) -> Iterator[tuple[Place, str]]:
    """Give each template with its place: that of the key, or of an item of its list."""
    for number, template in enumerate(templates):
        each = place.at(number)
        yield (place if each.node is None else each), template
