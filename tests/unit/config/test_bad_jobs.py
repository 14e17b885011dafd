"""A bad job file is refused with one message: where, which key, which value, what is accepted.

`bad_jobs.txt` has the cases, `__snapshots__/test_bad_jobs.ambr` each case with its message.
After a change of cases or wording: `pytest tests/unit/config --snapshot-update`, and read the diff.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from asyncreport.config import load_job
from asyncreport.core.errors import ConfigError
from tests.unit.config.good_job import ENVIRON, GOOD, NOW, SECRET, load

TABLE = Path(__file__).with_name("bad_jobs.txt")


@dataclass(frozen=True)
class Case:
    """One block of the table."""

    block: str

    def lines(self, mark: str) -> list[str]:
        return [line[1:] for line in self.block.split("\n") if line.startswith(mark)]

    @property
    def job(self) -> str:
        """Give the text of the bad job file."""
        new = "".join(f"{line}\n" for line in self.lines("+"))
        if self.lines("-") == ["..."]:
            return new
        old = "".join(f"{line}\n" for line in self.lines("-"))
        assert GOOD.count(old) == 1, old
        return GOOD.replace(old, new)

    def __str__(self) -> str:
        return " ".join(line.strip() for line in self.lines("+") or self.lines("-"))[:60]


def cases() -> Iterator[Case]:
    for block in TABLE.read_text("utf-8").split("\n\n")[1:]:
        yield Case(block.strip("\n"))


CASES = list(cases())


def message_of(folder: Path, job: str) -> str:
    """Load a bad job and give its message; no traceback may contain the secret."""
    with pytest.raises(ConfigError) as caught:
        load(folder, job)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


def test_the_whole_table_is_read() -> None:
    assert len(CASES) > 200


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_bad_job_is_refused_in_one_line_without_secrets(folder: Path, case: Case) -> None:
    message = message_of(folder, case.job)
    assert message.startswith("job.yaml")
    assert message.isprintable()


def test_each_bad_job_has_its_message(folder: Path, snapshot: SnapshotAssertion) -> None:
    blocks = [f"{case.block}\n= {message_of(folder, case.job)}\n" for case in CASES]
    assert "\n".join(blocks) == snapshot


@pytest.mark.parametrize(
    "name", ["a\x07b", '"a\\tb"', "é" * 51, "[" * 30 + "]" * 30, "\ud800"], ids=ascii
)
def test_a_name_that_breaks_files_or_yaml_is_refused(
    folder: Path, name: str, snapshot: SnapshotAssertion
) -> None:
    assert message_of(folder, GOOD.replace("aht", name, 1)) == snapshot


def test_a_long_value_is_cut_in_the_message(folder: Path) -> None:
    message = message_of(folder, GOOD.replace("2023-01-01", "x" * 10_000))
    assert f"but is '{'x' * 59}…';" in message


def test_a_missing_file_is_named() -> None:
    with pytest.raises(
        ConfigError,
        match=r"^nowhere\.yaml: does not exist; name a job file, or write one with",
    ):
        load_job(Path("nowhere.yaml"), environ=ENVIRON, now=NOW)


def test_a_folder_is_not_a_job_file(folder: Path) -> None:
    (folder / "jobs").mkdir()
    with pytest.raises(
        ConfigError, match=r"^jobs: cannot be read \(Is a directory\); name a readable job file$"
    ):
        load_job(Path("jobs"), environ=ENVIRON, now=NOW)


def test_a_file_over_a_mebibyte_is_refused_without_parsing(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"^job\.yaml: is larger than 1 MiB"):
        load(folder, GOOD + "#" * (1 << 20))


WITHOUT_CONNECTIONS = GOOD[: GOOD.index("connections")] + GOOD[GOOD.index("range") :]


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({}, "GENESYS_CLIENT_ID"),
        ({"GENESYS_CLIENT_ID": "a", "GENESYS_CLIENT_SECRET": ""}, "GENESYS_CLIENT_SECRET"),
    ],
)
def test_without_connections_the_variable_that_is_not_set_is_named(
    folder: Path, environ: dict[str, str], variable: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(folder, WITHOUT_CONNECTIONS, environ=environ)
    assert str(caught.value) == (
        f"job.yaml:1: connections: is missing, and the variable {variable} is not set or is empty; "
        "set it in the environment or in .env"
    )


def test_an_unknown_region_in_the_environment_is_not_shown(folder: Path) -> None:
    environ = {"GENESYS_CLIENT_ID": "a", "GENESYS_CLIENT_SECRET": SECRET, "GENESYS_ENV": SECRET}
    with pytest.raises(
        ConfigError, match=r"the variable GENESYS_ENV is not a region; accepted: a domain such as"
    ) as caught:
        load(folder, WITHOUT_CONNECTIONS, environ=environ)
    assert SECRET not in str(caught.value)
