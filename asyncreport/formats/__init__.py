"""The formats of output files. A new one is a module with a function, and a line here."""

from __future__ import annotations

import shlex
import sys
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from msgspec import Struct

from asyncreport.formats import as_csv, as_jsonl, as_parquet, as_xlsx
from asyncreport.formats.compression import (
    ZSTD_MODULE,
    gzipped,
    plain,
    read_gzip,
    read_plain,
    read_zstandard,
    zstandard,
)
from asyncreport.formats.conversion import Conversion, Convert, Read

__all__ = [
    "FORMATS",
    "JSONL",
    "OBSTORE",
    "PLOTLY",
    "Conversion",
    "Convert",
    "Format",
    "Library",
    "format_of",
]


class Library(Struct, frozen=True):
    """What a format needs that the core installation lacks."""

    module: str
    #: on PyPI
    distribution: str
    #: of asyncreport
    extra: str

    @property
    def is_installed(self) -> bool:
        """Tell whether the module can be imported."""
        try:
            return find_spec(self.module) is not None
        except ModuleNotFoundError:
            return False

    @property
    def needed(self) -> str:
        """Say after a subject that it must be installed, and how.

        By the interpreter that runs: another `pip` may come first on the path.
        """
        command = f"{shlex.quote(sys.executable)} -m pip install 'asyncreport[{self.extra}]'"
        return f"needs {self.distribution}: {command}"

    @property
    def version(self) -> str:
        """Give its version; another one may write other bytes."""
        try:
            return version(self.distribution)
        except PackageNotFoundError:
            # Zstandard is a part of Python from 3.14 on.
            return ""


class Format(Struct, frozen=True, kw_only=True):
    """A format of output files."""

    #: how the names of its files end
    suffix: str
    #: for people
    about: str
    #: None: the merge writes it
    convert: Convert | None
    #: reads the records back; None: a file does not have enough for that
    read: Read | None
    library: Library | None = None
    #: records that a file can have; None: any number
    most_records: int | None = None
    #: bytes of a file for each byte of its JSON lines, measured on records and rounded up
    share: float

    @property
    def name(self) -> str:
        """Name it, as in summaries: `csv.gz`."""
        return self.suffix.removeprefix(".")


_ZSTD = Library(ZSTD_MODULE, "backports.zstd", "zst")
_DUCKDB = Library("duckdb", "duckdb", "parquet")
_XLSXWRITER = Library("xlsxwriter", "XlsxWriter", "xlsx")

#: not of a format: speaks to a bucket
OBSTORE = Library("obstore", "obstore", "s3")

#: not of a format: a report contains its script
PLOTLY = Library("plotly", "plotly", "report")

JSONL = Format(
    suffix=".jsonl",
    about="JSON lines",
    convert=None,
    read=partial(as_jsonl.read, opened=read_plain),
    share=1,
)

#: of two that a job writes, the earlier one is read back
_ALL = (
    JSONL,
    Format(
        suffix=".jsonl.gz",
        about="JSON lines, gzip",
        convert=partial(as_jsonl.convert, opened=gzipped),
        read=partial(as_jsonl.read, opened=read_gzip),
        share=0.15,
    ),
    Format(
        suffix=".jsonl.zst",
        about="JSON lines, Zstandard",
        convert=partial(as_jsonl.convert, opened=zstandard),
        read=partial(as_jsonl.read, opened=read_zstandard),
        library=_ZSTD,
        share=0.15,
    ),
    Format(
        suffix=".csv",
        about="CSV",
        convert=partial(as_csv.convert, opened=plain),
        read=partial(as_csv.read, opened=read_plain),
        share=0.6,
    ),
    Format(
        suffix=".csv.gz",
        about="CSV, gzip",
        convert=partial(as_csv.convert, opened=gzipped),
        read=partial(as_csv.read, opened=read_gzip),
        share=0.12,
    ),
    Format(
        suffix=".csv.zst",
        about="CSV, Zstandard",
        convert=partial(as_csv.convert, opened=zstandard),
        read=partial(as_csv.read, opened=read_zstandard),
        library=_ZSTD,
        share=0.12,
    ),
    Format(
        suffix=".parquet",
        about="Parquet",
        convert=as_parquet.convert,
        read=as_parquet.read,
        library=_DUCKDB,
        share=0.1,
    ),
    Format(
        suffix=".xlsx",
        about="Excel",
        convert=as_xlsx.convert,
        # Its times have no offset: one hour of autumn is in it twice.
        read=None,
        library=_XLSXWRITER,
        most_records=as_xlsx.MOST_RECORDS,
        share=2.5,
    ),
)

#: by suffix
FORMATS = {each.suffix: each for each in _ALL}


def format_of(path: str) -> Format | None:
    """Find the format of a path by its end; None: no format has it."""
    for each in FORMATS.values():
        if path.endswith(each.suffix):
            return each
    return None
