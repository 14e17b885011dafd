"""The section `output` of a job: which files, and how they are written. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asyncreport.config.columns import resolve_columns
from asyncreport.config.dates import parse_ms
from asyncreport.config.libraries import check_library
from asyncreport.config.object_paths import check_one_bucket
from asyncreport.config.rollups import resolve_rollups
from asyncreport.config.schema import CsvFile, OutputFile, unset_to_none
from asyncreport.config.templates import (
    all_templates,
    check_path,
    check_placeholders,
    resolve_templates,
)
from asyncreport.config.validate import Place
from asyncreport.core.apart import CONNECTION
from asyncreport.core.job import Query
from asyncreport.core.outputs import Output
from asyncreport.core.table import CsvStyle
from asyncreport.core.timeline import Interval
from asyncreport.formats import PLOTLY

#: what may separate the fields of CSV
_DELIMITERS = (",", ";", "\t", "|")


def resolve_output(place: Place, given: OutputFile, query: Query, interval: Interval) -> Output:
    """Resolve the section `output`; `settle` becomes ms."""
    output = Output(
        paths=resolve_templates(place.at("path"), given.path),
        per_team=_team_templates(place.at("per_team"), unset_to_none(given.per_team)),
        columns=resolve_columns(place.at("columns"), unset_to_none(given.columns), query),
        csv=_csv_style(place.at("csv"), given.csv),
        rollups=resolve_rollups(place.at("rollups"), given.rollups, query, interval),
        report=_report(place.at("report"), unset_to_none(given.report)),
        settle=parse_ms(place.at("settle"), given.settle),
    )
    _check_apart(place, output)
    return output


def _check_apart(place: Place, output: Output) -> None:
    """Refuse files of one connection together with files of all connections."""
    templates = list(all_templates(place, output))
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


def _team_templates(place: Place, given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Check the paths of the files of teams."""
    if given is None:
        return ()
    templates = resolve_templates(place, given, ("{month}", "{team}", CONNECTION))
    for number, template in enumerate(templates):
        if "{team}" not in template:
            here = place if isinstance(given, str) else place.at(number)
            raise here.must("contain {team}", "; without it all teams would write to the same file")
    return templates


def _report(place: Place, given: str | None) -> str | None:
    """Check the path of the report; None: the job has none."""
    if given is None:
        return None
    why = "; the report is one page, of the whole range and of all teams"
    check_placeholders(place, given, [CONNECTION], why)
    check_path(place, given)
    if Path(given).suffix != ".html":
        raise place.must("be a file that ends with .html")
    check_library(place, "a report", PLOTLY)
    return given
