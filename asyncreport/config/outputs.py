"""The output files of a job: their formats, placeholders, and that no two are one file. Pure."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from asyncreport.config.columns import resolve_columns
from asyncreport.config.dates import parse_ms
from asyncreport.config.names import first_repeat
from asyncreport.config.object_paths import check_one_bucket, check_scheme
from asyncreport.config.rollups import resolve_rollups
from asyncreport.config.schema import CsvFile, OutputFile, unset_to_none
from asyncreport.config.validate import VALUE_SHOWN, Place
from asyncreport.core.apart import CONNECTION, apart
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import Job, Query, Team
from asyncreport.core.outputs import Output
from asyncreport.core.table import CsvStyle
from asyncreport.core.text import shorten
from asyncreport.core.timeline import Interval
from asyncreport.formats import FORMATS, PLOTLY, Library, format_of

_KNOWN = ", ".join(FORMATS)

_MONTH = re.compile(r"\d{4}-\d\d")

#: what may separate the fields of CSV
_DELIMITERS = (",", ";", "\t", "|")


def resolve_output(place: Place, given: OutputFile, query: Query, interval: Interval) -> Output:
    """Resolve the section `output`; `settle` becomes ms."""
    output = Output(
        paths=_templates(place.at("path"), given.path, ["{month}", CONNECTION]),
        per_team=_team_templates(place.at("per_team"), unset_to_none(given.per_team)),
        columns=resolve_columns(place.at("columns"), unset_to_none(given.columns), query),
        csv=_csv_style(place.at("csv"), given.csv),
        rollups=resolve_rollups(place.at("rollups"), given.rollups, query, interval, _templates),
        report=_report(place.at("report"), unset_to_none(given.report)),
        settle=parse_ms(place.at("settle"), given.settle),
    )
    _check_apart(place, output)
    return output


def _check_apart(place: Place, output: Output) -> None:
    """Refuse files of one connection together with files of all connections."""
    templates = list(_all_templates(place, output))
    check_one_bucket(templates)
    first, *others = templates
    for key, template in others:
        if (CONNECTION in template) != (CONNECTION in first[1]):
            raise key.must(
                f"contain {CONNECTION} if {first[0].key} does, and only then",
                "; write files of single connections and of all connections with two jobs",
            )


def _csv_style(place: Place, given: CsvFile) -> CsvStyle:
    """Check how CSV files are written."""
    if given.delimiter not in _DELIMITERS:
        raise place.at("delimiter").must("be , ; | or a tab")
    if given.decimal not in (".", ","):
        raise place.at("decimal").must("be . or ,")
    if given.decimal == given.delimiter:
        raise place.at("decimal").must(
            "differ from output.csv.delimiter", "; such as delimiter: ; with decimal: ,"
        )
    return CsvStyle(
        delimiter=given.delimiter,
        decimal=given.decimal,
        bom=given.bom,
        escape_formulas=given.escape_formulas,
    )


def _templates(
    place: Place,
    given: str | Sequence[str],
    placeholders: Sequence[str],
) -> tuple[str, ...]:
    """Check one path with placeholders, or a list of them."""
    if isinstance(given, str):
        _check_template(place, given, placeholders)
        return (given,)
    if not given:
        raise place.error("is empty; write at least one path")
    for number, template in enumerate(given):
        _check_template(place.at(number), template, placeholders)
    return tuple(given)


def _team_templates(place: Place, given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Check the paths of the files of teams."""
    if given is None:
        return ()
    templates = _templates(place, given, ["{month}", "{team}", CONNECTION])
    for number, template in enumerate(templates):
        if "{team}" not in template:
            here = place if isinstance(given, str) else place.at(number)
            raise here.must("contain {team}", "; without it all teams would write to the same file")
    return templates


def _report(place: Place, given: str | None) -> str | None:
    """Check the path of the report; None: the job has none."""
    if given is None:
        return None
    filled = _filled(given, [CONNECTION])
    if "{" in filled or "}" in filled:
        raise place.must(
            f"not contain {{ or }} except in {CONNECTION}",
            "; the report is one page, of the whole range and of all teams",
        )
    _check_path(place, given)
    if Path(given).suffix != ".html":
        raise place.must("be a file that ends with .html")
    _check_library(place, "a report", PLOTLY)
    return given


def _check_template(
    place: Place,
    template: str,
    placeholders: Sequence[str],
) -> None:
    """Check a path with placeholders."""
    filled = _filled(template, placeholders)
    if "{" in filled or "}" in filled:
        raise place.must(f"not contain {{ or }} except in {', '.join(placeholders)}")
    _check_path(place, template)
    _check_format(place, template)


def _check_path(place: Place, template: str) -> None:
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
        _check_library(place, found.suffix, found.library)


def _check_library(place: Place, what: str, library: Library) -> None:
    """Refuse what needs a library that is not installed."""
    if not library.is_installed:
        raise place.error(f"{what} {library.needed}")


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
    place = root.at("output")
    if job.output.per_team:
        _check_team_files(root.at("teams"), job.teams)
    taken: defaultdict[str, list[tuple[Place, str]]] = defaultdict(list)
    for key, template in chain.from_iterable(_files(place, each) for each in apart(job)):
        # Only these can be one file: the others differ in more than the month.
        alike = taken[_MONTH.sub("{month}", _folded(os.path.normpath(template)))]
        for earlier, other in alike:
            if _clash(template, other):
                raise _same_file(key, earlier, template)
        alike.append((key, template))


def _same_file(place: Place, earlier: Place, template: str) -> ConfigError:
    """Report a file that an earlier key gives too."""
    return place.must(
        f"give other files than {earlier.key}",
        f"; both give {shorten(template, VALUE_SHOWN)}; change one of the two",
    )


def _files(place: Place, job: Job) -> Iterator[tuple[Place, str]]:
    """Walk the templates of all files, each with its key; of those of teams, each team's."""
    names = sorted({team.name for team in job.teams})
    for key, template in _all_templates(place, job.output):
        if "{team}" not in template:
            yield key, template
            continue
        for name in names:
            yield key, template.replace("{team}", name)


def _all_templates(place: Place, output: Output) -> Iterator[tuple[Place, str]]:
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


def _check_team_files(place: Place, teams: Sequence[Team]) -> None:
    """Refuse names that some file systems treat as one: they ignore case, or how é is composed."""
    # A team of several connections is in the list once for each of them.
    names = dict.fromkeys(team.name for team in teams)
    repeat = first_repeat(map(_folded, names))
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
    pattern = re.escape(template).replace(re.escape("{month}"), _MONTH.pattern)
    example = other.replace("{month}", "2000-01")
    return re.fullmatch(pattern, example) is not None
