"""A job file that is wrong is refused with one message: where, which key, which value, what is accepted. The table: bad_jobs.txt."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncreport.config import load_job
from asyncreport.core.errors import ConfigError
from tests.unit.config.good_job import ENVIRON, GOOD, NOW, SECRET, load

TABLE = Path(__file__).with_name("bad_jobs.txt")


def cases() -> Iterator[tuple[str, str]]:
    """Read (job file, message) pairs."""
    for block in TABLE.read_text("utf-8").split("\n\n")[1:]:
        lines = block.strip("\n").split("\n")
        old = [line[1:] for line in lines if line.startswith("-")]
        new = "".join(f"{line[1:]}\n" for line in lines if line.startswith("+"))
        (message,) = (line[1:] for line in lines if line.startswith("="))
        if old == ["..."]:
            yield new, message
        else:
            gone = "".join(f"{line}\n" for line in old)
            assert GOOD.count(gone) == 1, gone
            yield GOOD.replace(gone, new), message


CASES = list(cases())


def test_the_table_is_read_whole() -> None:
    assert len(CASES) == TABLE.read_text("utf-8").count("\n=") > 200


@pytest.mark.parametrize(
    ("text", "message"), CASES, ids=[message.partition(": ")[2][:60] for _, message in CASES]
)
def test_a_bad_job_has_its_exact_message(folder: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    assert str(caught.value) == message
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a\x07b", "job.yaml:1: is no YAML: it holds the control character '\\x07'"),
        (
            '"a\\tb"',
            "job.yaml:1: name: 'a\\tb' is no usable name; it must not hold / \\ { } or control characters",
        ),
        ("é" * 51, f"job.yaml:1: name: '{'é' * 51}' is too long for a name; at most 100 bytes"),
        ("[" * 30 + "]" * 30, "job.yaml:1: is nested more than 20 deep"),
        ("\ud800", "job.yaml:1: is not UTF-8; save the file as UTF-8"),
    ],
)
def test_a_name_that_breaks_files_or_yaml_is_refused(folder: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(folder, GOOD.replace("aht", name, 1))
    assert str(caught.value) == message


def test_a_long_value_is_cut_in_the_message(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"'x{60}' is no date"):
        load(folder, GOOD.replace("2023-01-01", "x" * 10_000))


def test_a_missing_file_is_named() -> None:
    with pytest.raises(
        ConfigError,
        match=r"^nowhere\.yaml: there is no such file; name a job file such as configs/demo\.yaml$",
    ):
        load_job(Path("nowhere.yaml"), environ=ENVIRON, now=NOW)


def test_a_folder_is_no_job_file(folder: Path) -> None:
    (folder / "jobs").mkdir()
    with pytest.raises(
        ConfigError, match=r"^jobs: cannot be read \(Is a directory\); name a readable job file$"
    ):
        load_job(Path("jobs"), environ=ENVIRON, now=NOW)


def test_a_file_over_a_mebibyte_is_refused_unread(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"^job\.yaml: is larger than 1 MiB"):
        load(folder, GOOD + "#" * (1 << 20))


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {},
            "job.yaml:1: connections: is left out and the variable GENESYS_CLIENT_ID is not set or empty; "
            "set it in the environment or in .env",
        ),
        (
            {"GENESYS_CLIENT_ID": "a", "GENESYS_CLIENT_SECRET": ""},
            "job.yaml:1: connections: is left out and the variable GENESYS_CLIENT_SECRET is not set or empty; "
            "set it in the environment or in .env",
        ),
    ],
)
def test_without_connections_the_variable_that_is_not_set_is_named(
    folder: Path, environ: dict[str, str], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(
            folder, GOOD[: GOOD.index("connections")] + GOOD[GOOD.index("range") :], environ=environ
        )
    assert str(caught.value) == message


def test_a_region_variable_that_names_none_does_not_show_its_value(folder: Path) -> None:
    environ = {"GENESYS_CLIENT_ID": "a", "GENESYS_CLIENT_SECRET": SECRET, "GENESYS_ENV": SECRET}
    with pytest.raises(
        ConfigError, match=r"the variable GENESYS_ENV names no region; accepted: a domain such as"
    ) as caught:
        load(
            folder, GOOD[: GOOD.index("connections")] + GOOD[GOOD.index("range") :], environ=environ
        )
    assert SECRET not in str(caught.value)
