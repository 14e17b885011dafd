"""The documentation is true: its files exist, its layers are those of the import contract."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests import pages
from tests.blocks import pages as documents
from tests.blocks import texts

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
ARCHITECTURE = (DOCS / "architecture.md").read_text()


def test_the_road_of_one_chunk_is_short() -> None:
    """At most 4,000 lines in at most 20 files that exist."""
    files = re.findall(r"^\d+\. `([a-z_/]+\.py)`: .+\.$", ARCHITECTURE, re.MULTILINE)
    lines = sum(len((ROOT / "asyncreport" / name).read_text().splitlines()) for name in files)
    assert 12 <= len(files) == len(set(files)) <= 20
    assert lines <= 4000


def test_the_picture_of_the_layers_is_the_import_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (layers,) = (each for each in contracts["contracts"] if each["type"] == "layers")
    (picture,) = texts("architecture.md", "", "The layers")
    assert picture.splitlines() == layers["layers"]


def test_every_package_is_described() -> None:
    packages = {path.parent.name for path in (ROOT / "asyncreport").glob("*/__init__.py")}
    described = set(re.findall(r"^\| `([a-z]+)` \|", ARCHITECTURE, re.MULTILINE))
    assert described == packages | {"cli"}


def test_every_guarantee_names_tests_that_exist() -> None:
    rows = (DOCS / "guarantees.md").read_text().splitlines()
    proofs = [row.rpartition("|")[0].rpartition("|")[2] for row in rows if ".py`" in row]
    paths = [path for proof in proofs for path in re.findall(r"`([a-z_/]+\.py)`", proof)]
    assert len(proofs) > 20
    assert [path for path in paths if not (ROOT / "tests" / path).is_file()] == []


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda p: p.name
)
def test_links_lead_to_files(path: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("name", pages.PARTS)
def test_what_is_made_from_the_code_is_up_to_date(name: str) -> None:
    """After a change of a key or an option: `python -m tests.pages`."""
    page = (DOCS / name).read_text()
    assert pages.made(name, page) == page


#: words that a newcomer does not know
WORDS = re.compile(r"\b(lane|chunk|part|bucket|contract)s?\b")


@pytest.mark.parametrize(
    "path",
    [path for path in documents() if path.name not in {"CHANGELOG.md", "architecture.md"}],
    ids=lambda path: path.name,
)
def test_a_page_with_words_of_our_own_explains_them_or_links_to_the_glossary(path: Path) -> None:
    prose = re.sub(
        r"`[^`]*`|\]\([^)]*\)|<!-- made by.*?<!-- end -->", "", path.read_text(), flags=re.DOTALL
    )
    used = {found[1] for found in WORDS.finditer(prose)}
    explained = set(re.findall(r"\*(\w+?)s?\*", prose))
    assert used <= explained or "#glossary" in path.read_text()
