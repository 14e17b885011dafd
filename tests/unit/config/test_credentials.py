"""Ids and secrets of OAuth clients: what no server can have given is refused, never shown."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncreport.config import load_job, read_environ
from asyncreport.config.credentials import check_credential
from asyncreport.config.validate import Place
from asyncreport.core.errors import ConfigError
from tests.unit.config.good_job import NOW

JOB = """\
name: job
connections:
  default: {region: eu-west-1, client_id: the-client, client_secret: "SECRET"}
range: {start: 2024-01-01, end: 2024-02-01}
teams: [{name: all, everyone: true}]
output: {path: x.jsonl}
"""

AGAIN = "; copy it again: ids and secrets are plain ASCII"

MISTAKES = {
    "abc\n": "ends with a line break; remove it: it may come from the file that it was read from",
    "a\nbc": "has a line break" + AGAIN,
    "a\u200bbc": "has an invisible character" + AGAIN,
    "äbc": "has a character that is not ASCII" + AGAIN,
    "a\udce4bc": "has a byte that is not UTF-8" + AGAIN,
    "a\x07bc": "has a control character" + AGAIN,
    " abc": "begins or ends with a blank; remove it",
    "abc\u00a0": "begins or ends with a blank; remove it",
    "'abc'": "has quotes around it that belong to the value; remove them",
    "\u201cabc\u201d": "begins or ends with a curly quote; write straight quotes, or none",
    "$ABC_SECRET": "looks like the name of a variable; write ${VARIABLE}, with braces",
    "%ABC_SECRET%": "looks like the name of a variable; write ${VARIABLE}, with braces",
}


def message(folder: Path, job: str, environ: Mapping[str, str]) -> str:
    path = folder / "job.yaml"
    path.write_text(job)
    with pytest.raises(ConfigError) as caught:
        load_job(path, environ=environ, now=NOW)
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize("value", MISTAKES, ids=ascii)
def test_a_secret_that_cannot_be_one_is_refused_with_its_variable(
    tmp_path: Path, value: str
) -> None:
    job = JOB.replace("SECRET", "${MY_SECRET}")
    assert message(tmp_path, job, {"MY_SECRET": value}) == (
        "job.yaml:3: connections.default.client_secret: the value of MY_SECRET " + MISTAKES[value]
    )


@pytest.mark.parametrize("value", MISTAKES, ids=ascii)
def test_the_variables_of_a_job_without_connections_are_checked(tmp_path: Path, value: str) -> None:
    job = JOB.replace(JOB.splitlines()[1] + "\n" + JOB.splitlines()[2] + "\n", "")
    environ = {"GENESYS_CLIENT_ID": value, "GENESYS_CLIENT_SECRET": "s"}
    assert message(tmp_path, job, environ) == (
        "job.yaml:1: connections: the value of GENESYS_CLIENT_ID " + MISTAKES[value]
    )


def test_a_variable_without_braces_in_the_file_is_named_by_its_line(tmp_path: Path) -> None:
    assert message(tmp_path, JOB.replace("SECRET", "$MY_SECRET"), {}) == (
        "job.yaml:3: connections.default.client_secret: looks like the name of a variable; write "
        "${VARIABLE}, with braces"
    )


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=3))
def test_any_visible_ascii_text_is_accepted_unless_it_looks_like_a_mistake(text: str) -> None:
    if text[0] not in "'\"$%":
        check_credential(Place(None, "job.yaml"), text)


@given(st.text(min_size=1))
def test_no_message_shows_the_value(text: str) -> None:
    try:
        check_credential(Place(None, "here"), f"s3cr3t{text}s3cr3t")
    except ConfigError as error:
        assert "s3cr3t" not in str(error)


def test_a_variable_in_dotenv_is_replaced_as_dotenv_documents(tmp_path: Path) -> None:
    lines = ("HOST=example", "URL=https://${HOST}/x", "OTHER=${GONE:-default}", "PLAIN='$HOST'")
    (tmp_path / ".env").write_text("\n".join(lines))
    assert read_environ(tmp_path, {}) == {
        "HOST": "example",
        "URL": "https://example/x",
        "OTHER": "default",
        "PLAIN": "$HOST",
    }


def test_the_authorities_may_be_in_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SSL_CERT_FILE=a.pem\nSSL_CERT_DIR=certificates\n")
    path = tmp_path / "job.yaml"
    path.write_text(JOB)
    job = load_job(path, environ=read_environ(tmp_path, {}), now=NOW)
    authorities = job.connections[0].authorities
    assert (authorities.file, authorities.folder) == ("a.pem", "certificates")
