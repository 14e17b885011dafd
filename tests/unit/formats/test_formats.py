"""The same rows in every format, read back by readers that are not ours."""

from __future__ import annotations

import csv
import gzip
import importlib
import io
import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Event
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreport.core.errors import Interrupted
from asyncreport.core.table import Column, CsvStyle, Kind, Table
from asyncreport.formats import FORMATS, Conversion
from asyncreport.formats.compression import ZSTD_MODULE

ZONE = ZoneInfo("Europe/Dublin")
KINDS: dict[str, Kind] = {
    "name": "text",
    "start": "instant",
    "local": "local",
    "date": "date",
    "count": "integer",
    "seconds": "number",
}
TABLE = Table(tuple(Column(name, name, kind) for name, kind in KINDS.items()), ZONE)

TEXTS = [
    "Müller, Łucja 李",
    'Siobhán "Shiv"',
    "two\nlines",
    "carriage\rreturn",
    "",
    None,
    "007",
    "=1+1",
    "+49",
    "-5",
    "@home",
    "\ttab",
    "a;b",
    "null",
    "\\N",
    "'quoted'",
]


def row(name: str | None, number: int = 0) -> dict[str, Any]:
    return {
        "name": name,
        "start": f"2023-10-29T00:{number % 60:02}:00.000Z",
        "local": "2023-10-29T01:00:00.000+01:00",
        "date": "2023-10-29",
        "count": number,
        "seconds": None if number % 3 == 0 else number + 0.125,
    }


ROWS = [row(name, number) for number, name in enumerate(TEXTS)]


def convert(
    folder: Path,
    suffix: str,
    rows: Sequence[dict[str, Any]] = ROWS,
    table: Table = TABLE,
    stopped: Event | None = None,
) -> Path:
    source, target = folder / "source.jsonl", folder / f"target{suffix}"
    text = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in rows)
    source.write_text(text, encoding="utf-8", newline="")
    target.touch()
    write = FORMATS[suffix].convert
    assert write is not None
    write(
        Conversion(
            source=source, target=target, table=table, scratch=folder, stopped=stopped or Event()
        )
    )
    return target


def cells(text: str, delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))


def shown(value: Any) -> str:
    """Write a value as the CSV has it."""
    if value is None:
        return ""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t") and value:
        return f"'{value}"
    return str(value)


def test_csv_has_each_value_and_a_header(tmp_path: Path) -> None:
    text = convert(tmp_path, ".csv").read_bytes().decode()
    assert text.endswith("\r\n")
    header, *lines = cells(text)
    assert header == list(KINDS)
    assert lines == [[shown(value) for value in each.values()] for each in ROWS]


def test_csv_tells_null_from_an_empty_text(tmp_path: Path) -> None:
    lines = convert(tmp_path, ".csv", [row(""), row(None)]).read_text().splitlines()
    assert lines[1].startswith('"",2023')
    assert lines[2].startswith(",2023")


def test_csv_escapes_formulas_only_if_asked_to_and_never_in_numbers(tmp_path: Path) -> None:
    rows = [{**row("=A1"), "count": -3, "seconds": -0.5}]
    (_, line) = convert(tmp_path, ".csv", rows).read_text().splitlines()
    assert line.startswith("'=A1,")
    assert line.endswith(",-3,-0.5")
    plain = Table(TABLE.columns, ZONE, CsvStyle(escape_formulas=False))
    (_, line) = convert(tmp_path, ".csv", rows, plain).read_text().splitlines()
    assert line.startswith("=A1,")


def test_csv_for_excel_in_europe(tmp_path: Path) -> None:
    table = Table(TABLE.columns, ZONE, CsvStyle(delimiter=";", decimal=",", bom=True))
    data = convert(tmp_path, ".csv", [row("a;b", 1)], table).read_bytes()
    assert data.startswith(b"\xef\xbb\xbfname;start;")
    (_, line) = cells(data.decode("utf-8-sig"), ";")
    assert line[0] == "a;b"
    assert line[-1] == "1,125"


@given(st.lists(st.text(max_size=8) | st.none(), max_size=6), st.sampled_from([",", ";", "\t"]))
def test_any_text_comes_back_from_csv(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str | None], delimiter: str
) -> None:
    texts = [text and text.encode("utf-8", "ignore").decode() for text in texts]
    table = Table(TABLE.columns, ZONE, CsvStyle(delimiter=delimiter, escape_formulas=False))
    folder = tmp_path_factory.mktemp("csv")
    text = convert(folder, ".csv", list(map(row, texts)), table).read_bytes().decode()
    assert [line[0] for line in cells(text, delimiter)[1:]] == [each or "" for each in texts]


def test_gzip_holds_the_same_bytes_without_a_time_or_a_name(tmp_path: Path) -> None:
    for suffix in (".csv", ".jsonl"):
        packed = convert(tmp_path, f"{suffix}.gz").read_bytes()
        plain = tmp_path / "source.jsonl" if suffix == ".jsonl" else convert(tmp_path, ".csv")
        assert gzip.decompress(packed) == plain.read_bytes()
        assert packed[3:8] == bytes(5)


@pytest.mark.extra
def test_zstandard_holds_the_same_bytes_in_one_frame_with_a_checksum(tmp_path: Path) -> None:
    zstd = importlib.import_module(ZSTD_MODULE)
    for suffix in (".csv", ".jsonl"):
        packed = convert(tmp_path, f"{suffix}.zst").read_bytes()
        plain = tmp_path / "source.jsonl" if suffix == ".jsonl" else convert(tmp_path, ".csv")
        decompressor = zstd.ZstdDecompressor()
        assert decompressor.decompress(packed) == plain.read_bytes()
        assert decompressor.eof
        assert decompressor.unused_data == b""
        assert packed[4] & 0b100  # the flag of the checksum


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.extra
def test_parquet_has_the_types_and_every_value(tmp_path: Path) -> None:
    """Three readers agree."""
    import pandas
    import polars
    import pyarrow.parquet

    path = convert(tmp_path, ".parquet")
    expected = [
        {**each, "start": instant(each["start"]), "date": date.fromisoformat(each["date"])}
        for each in ROWS
    ]
    arrow = pyarrow.parquet.read_table(path)
    assert arrow.to_pylist() == expected
    assert [str(field.type) for field in arrow.schema] == [
        "string",
        "timestamp[us, tz=UTC]",
        "string",
        "date32[day]",
        "int64",
        "double",
    ]
    assert polars.read_parquet(path).to_dicts() == expected
    frame = pandas.read_parquet(path)
    assert [name if isinstance(name, str) else None for name in frame["name"]] == TEXTS
    assert frame["start"].dt.tz == UTC or str(frame["start"].dt.tz) == "UTC"


@pytest.mark.extra
def test_a_workbook_has_real_dates_in_the_zone_and_no_formulas(tmp_path: Path) -> None:
    import openpyxl

    sheet = openpyxl.load_workbook(convert(tmp_path, ".xlsx"))["records"]
    header, *lines = sheet.iter_rows(values_only=True)
    assert header[1] == "start (Europe/Dublin)"
    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref == f"A1:F{len(ROWS) + 1}"
    for found, each in zip(lines, ROWS, strict=True):
        local = instant(each["start"]).astimezone(ZONE).replace(tzinfo=None)
        # A workbook has no carriage returns but escaped ones, and no empty texts.
        name = (each["name"] or "").replace("\r", "_x000D_") or None
        assert (found[0] or "").replace("\r", "_x000D_") == (name or "")
        assert found[1:] == (
            local,
            each["local"],
            datetime.combine(date.fromisoformat(each["date"]), datetime.min.time()),
            each["count"],
            each["seconds"],
        )
    assert {cell.data_type for (cell,) in sheet["A2:A17"]} <= {"s", "n", "inlineStr"}


def read(path: Path, suffix: str, table: Table = TABLE) -> list[list[Any]]:
    read = FORMATS[suffix].read
    assert read is not None
    return list(read(path, table))


def values(rows: Sequence[dict[str, Any]]) -> list[list[Any]]:
    """Give the values as JSON has them."""
    return [list(json.loads(json.dumps(each)).values()) for each in rows]


#: texts with what is special in CSV, and any others
csv_texts = st.text(st.sampled_from("aß\"',;\t|=+-@\r\n\ufeff")) | st.text(
    st.characters(codec="utf-8"), max_size=8
)
numbers = st.none() | st.integers(0, 10**12) | st.floats(0, 1e9) | st.floats(0, 1e-3)
csv_rows = st.lists(
    st.builds(
        lambda text, number, count: {**row(text, 1), "count": count, "seconds": number},
        st.none() | csv_texts,
        numbers,
        st.integers(0, 10**12),
    ),
    max_size=6,
)
csv_styles = st.builds(
    CsvStyle,
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    decimal=st.sampled_from([".", ","]),
    bom=st.booleans(),
    escape_formulas=st.booleans(),
).filter(lambda style: style.decimal != style.delimiter)


@given(csv_rows, csv_styles, st.sampled_from([".csv", ".csv.gz"]))
def test_what_is_read_from_csv_is_what_the_json_lines_had(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[dict[str, Any]],
    style: CsvStyle,
    suffix: str,
) -> None:
    table = Table(TABLE.columns, ZONE, style)
    path = convert(tmp_path_factory.mktemp("csv"), suffix, rows, table)
    found, expected = read(path, suffix, table), values(rows)
    assert found == expected
    assert types(found) == types(expected)


def types(rows: list[list[Any]]) -> list[list[type]]:
    return [list(map(type, each)) for each in rows]


READ_BACK = [suffix for suffix, each in FORMATS.items() if each.read and suffix != ".jsonl"]


@pytest.mark.extra
@pytest.mark.parametrize("suffix", READ_BACK)
def test_every_format_but_a_workbook_is_read_back(tmp_path: Path, suffix: str) -> None:
    assert {*READ_BACK, ".jsonl", ".xlsx"} == set(FORMATS)
    name = 'a "b" {c}'
    odd = Table((Column(name, "name", "text"), *TABLE.columns[1:]), ZONE)
    rows = [{name: each.pop("name"), **each} for each in map(dict, ROWS)]
    assert read(convert(tmp_path, suffix, rows, odd), suffix, odd) == values(ROWS)
    assert read(convert(tmp_path, suffix, []), suffix) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[:-5],
        lambda data: data.replace(b"2023", b"20,23", 1),
        lambda data: data.replace(b'""Shiv', b'"Shiv', 1),
        lambda data: data.replace(b'""Shiv""', b'"Shiv"', 1),
        lambda data: data.replace(b"\r\n", b"\n"),
        lambda data: data.replace(b"\xc3", b"\xff", 1),
        lambda data: data.replace(b",1,1.125", b",one,1.125"),
    ],
)
def test_damaged_csv_is_an_error(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = convert(tmp_path, ".csv")
    before = path.read_bytes()
    path.write_bytes(damage(before))
    assert path.read_bytes() != before
    with pytest.raises(ValueError, match=r"."):
        read(path, ".csv")


@pytest.mark.extra
@pytest.mark.parametrize("suffix", [".jsonl.zst", ".csv.zst", ".parquet"])
def test_damage_that_a_library_finds_is_an_error_too(tmp_path: Path, suffix: str) -> None:
    path = convert(tmp_path, suffix)
    path.write_bytes(path.read_bytes()[:-20] + bytes(20))
    with pytest.raises(ValueError, match=r"."):
        read(path, suffix)


def test_an_apostrophe_of_a_name_is_not_taken_for_an_escape(tmp_path: Path) -> None:
    names = ["=A1", "'=A1", "''=A1", "'A1"]
    path = convert(tmp_path, ".csv", list(map(row, names)))
    written = [line.partition(",")[0] for line in path.read_text().splitlines()]
    assert written[1:] == ["'=A1", "''=A1", "'" * 3 + "=A1", "'A1"]
    assert [each[0] for each in read(path, ".csv")] == names


@pytest.mark.extra
@pytest.mark.parametrize("suffix", [suffix for suffix in FORMATS if suffix != ".jsonl"])
def test_the_same_rows_give_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    rows = [row(f"agent {number % 50}", number) for number in range(5000)]
    first = convert(tmp_path, suffix, rows).read_bytes()
    assert convert(tmp_path, suffix, rows).read_bytes() == first
    assert len(first) > 1000


@pytest.mark.extra
@pytest.mark.parametrize("suffix", [suffix for suffix in FORMATS if suffix != ".jsonl"])
def test_a_file_without_rows_is_valid(tmp_path: Path, suffix: str) -> None:
    path = convert(tmp_path, suffix, [])
    if suffix == ".parquet":
        import pyarrow.parquet

        assert pyarrow.parquet.read_table(path).num_rows == 0
    if suffix == ".xlsx":
        import openpyxl

        assert openpyxl.load_workbook(path)["records"].max_row == 1
    if suffix == ".csv":
        assert path.read_text() == "name,start,local,date,count,seconds\n"


@pytest.mark.extra
@pytest.mark.parametrize("suffix", [".csv", ".jsonl.gz", ".xlsx"])
def test_a_conversion_can_be_stopped(tmp_path: Path, suffix: str) -> None:
    stopped = Event()
    stopped.set()
    with pytest.raises(Interrupted):
        convert(tmp_path, suffix, stopped=stopped)
