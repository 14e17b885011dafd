"""Connections in files of their own: `connections_from`, with CSV tables and YAML files."""

from __future__ import annotations

import cProfile
import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from asyncreport.config import load_job
from asyncreport.config.connection_csv import read_csv
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import Job
from tests.unit.config.good_job import NOW

SECRET = "s3cr3t-value"
ENVIRON = {"ACME": SECRET, "GLOBEX": SECRET, "PROXY": f"http://u:{SECRET}@proxy.example:3128"}

JOB = """\
name: bureau
connections_from: connections.csv
range: {start: 2024-01-01, end: 2024-02-01}
teams:
  - name: all
    everyone: true
    connections: all
output:
  path: out/{connection}.jsonl
"""

TABLE = """\
name,region,client_id,client_secret,requests_per_minute
acme,eu-west-1,acme-id,${ACME},120
globex,us-east-1,globex-id,${GLOBEX},
"""

ACME = "acme:\n  region: eu-west-1\n  client_id: acme-id\n  client_secret: ${ACME}\n"
GLOBEX = "globex:\n  region: us-east-1\n  client_id: globex-id\n  client_secret: ${GLOBEX}\n"
SECTION = "connections:\n" + "".join(f"  {line}\n" for line in (ACME + GLOBEX).splitlines())


def write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def load(files: Mapping[str, str | bytes], *overrides: str) -> Job:
    """Load the job of these files, which are written into the current folder."""
    write(Path(), {"job.yaml": JOB, **files})
    return load_job(Path("job.yaml"), environ=ENVIRON, overrides=overrides, now=NOW)


def table(old: str = "", new: str = "") -> dict[str, str | bytes]:
    """Change one thing of the good table."""
    assert not old or TABLE.count(old) == 1, old
    return {"connections.csv": TABLE.replace(old, new) if old else TABLE}


def job(path: str, **rest: str | bytes) -> dict[str, str | bytes]:
    """Name other files in the job."""
    return {"job.yaml": JOB.replace("connections.csv", path), **rest}


def files(**contents: str | bytes) -> dict[str, str | bytes]:
    """Write YAML files into a folder that the job names."""
    named = {f"c/{name}.yaml": content for name, content in contents.items()}
    return {**job("c/*.yaml"), **named}


def test_a_table_is_the_same_as_the_section() -> None:
    from_table = load(table(",120", ","))
    section = JOB.replace("connections_from: connections.csv\n", SECTION)
    assert load({"job.yaml": section}) == from_table


def test_the_keys_of_a_table() -> None:
    text = (
        "name;api_url;login_url;client_id;client_secret;requests_per_minute;proxy;allow_http\n"
        "acme;http://a.example/api;http://a.example/login;id;${ACME};7;${PROXY};TRUE\n"
    )
    (acme,) = load({"connections.csv": text}).connections
    assert (acme.name, acme.api_url) == ("acme", "http://a.example/api")
    assert acme.login_url == "http://a.example/login"
    assert acme.requests_per_minute == 7
    assert acme.proxy is not None
    assert acme.proxy.reveal() == ENVIRON["PROXY"]
    assert acme.clients[0].client_secret.reveal() == SECRET


@pytest.mark.parametrize(
    "content",
    [
        TABLE.replace(",", ";"),
        "\ufeff" + TABLE,
        TABLE.replace("\n", "\r\n"),
        TABLE.replace("\n", "\n\n"),
        TABLE.replace("\n", "\n,,,,\n"),
        "\n" + TABLE.rstrip(),
        TABLE.replace(",", " , "),
        TABLE.replace("\n", ",,,\n"),
        TABLE.replace("us-east-1", '"us-east-1\n"'),
        TABLE.replace("globex-id,${GLOBEX},", "globex-id,${GLOBEX}"),
    ],
)
def test_forms_of_the_same_table(content: str) -> None:
    assert load({"connections.csv": content}) == load(table())


def test_files_are_read_in_the_order_of_their_names() -> None:
    loaded = load(files(b=ACME, a=GLOBEX))
    assert [each.name for each in loaded.connections] == ["globex", "acme"]
    (Path("c") / ".hidden.yaml").write_text("not read")
    assert load(files(b=ACME, a=GLOBEX)) == loaded


def test_connections_of_the_job_come_first_and_then_those_of_each_file() -> None:
    text = JOB.replace("connections.csv", "[more.csv, c/acme.yml]")
    text += "connections:\n  initech: {emulator: true}\n"
    more = TABLE.replace("acme,eu-west-1,acme-id,${ACME},120\n", "")
    loaded = load({"job.yaml": text, "more.csv": more, "c/acme.yml": ACME})
    assert [each.name for each in loaded.connections] == ["initech", "globex", "acme"]


def test_the_connection_of_the_environment_is_not_made() -> None:
    variables = {"GENESYS_CLIENT_ID": "id", "GENESYS_CLIENT_SECRET": SECRET}
    write(Path(), {"job.yaml": JOB, **table()})
    loaded = load_job(Path("job.yaml"), environ={**ENVIRON, **variables}, now=NOW)
    assert [each.name for each in loaded.connections] == ["acme", "globex"]


def test_paths_are_relative_to_the_job_or_to_the_current_folder() -> None:
    write(Path(), {"jobs/job.yaml": JOB, "jobs/connections.csv": TABLE, "here.csv": TABLE[:-1]})
    path = Path("jobs/job.yaml")
    assert len(load_job(path, environ=ENVIRON, now=NOW).connections) == 2
    override = ["connections_from=here.csv"]
    assert len(load_job(path, environ=ENVIRON, overrides=override, now=NOW).connections) == 2
    given: dict[str, Any] = {
        "name": "bureau",
        "connections_from": Path("here.csv"),
        "range": {"start": "2024-01-01", "end": "2024-02-01"},
        "teams": [{"name": "all", "everyone": True, "connections": "all"}],
        "output": {"path": "out/{connection}.jsonl"},
    }
    assert len(load_job(given, environ=ENVIRON, now=NOW).connections) == 2
    absolute = {**given, "connections_from": [str(Path("jobs").resolve() / "*.csv")]}
    assert len(load_job(absolute, environ=ENVIRON, now=NOW).connections) == 2
    variable = {**given, "connections_from": "${FOLDER}/connections.csv"}
    environ = {**ENVIRON, "FOLDER": "jobs"}
    assert len(load_job(variable, environ=environ, now=NOW).connections) == 2


def test_an_override_may_mean_a_connection_of_a_file() -> None:
    loaded = load(table(), "connections.acme.requests_per_minute=50")
    assert [each.requests_per_minute for each in loaded.connections] == [50, 300]


BAD_SECRET = TABLE.replace("${ACME}", SECRET)

#: what is wrong -> the files that differ from the good ones
MISTAKES: dict[str, dict[str, str | bytes]] = {
    # where the files are
    "a number in place of a path": job("7"),
    "a number in a list": job("[connections.csv, 7]"),
    "an empty list": job("[]"),
    "an empty text": job('""'),
    "nothing": job(""),
    "a file that does not exist": job("conections.csv"),
    "a folder that does not exist": job("c/*.yaml"),
    "a folder": {**job("c"), "c/acme.yaml": ACME},
    "wildcards that match nothing": {**job("c/*.yaml"), "c/acme.yml": ACME},
    "wildcards in a folder": job("'*/acme.yaml'"),
    "another format": {**job("connections.xlsx"), "connections.xlsx": "x"},
    "a variable that is not set, in a path": job("${FOLDER}/connections.csv"),
    "a job whose own section is not a mapping": {
        **table(),
        "job.yaml": JOB + "connections: [acme]\n",
    },
    "a name in the job and in a file": {
        **table(),
        "job.yaml": JOB + "connections:\n  globex: {emulator: true}\n",
    },
    "a file twice": {**job("[connections.csv, connections.csv]"), **table()},
    # the file as a whole
    "an empty table": {"connections.csv": ""},
    "a table of blank lines": {"connections.csv": "\n,,\n"},
    "a table without rows": {"connections.csv": TABLE.splitlines()[0]},
    "a table in another encoding": {"connections.csv": TABLE.replace("us-", "ü-").encode("cp1252")},
    "a table in UTF-16": {"connections.csv": TABLE.encode("utf-16")},
    "a quote that is not closed": table("us-east-1", '"us-east-1'),
    "text after a quote": table("us-east-1", '"us"-east-1'),
    "a cell that is too large": table("us-east-1", '"' + "x" * 140_000 + '"'),
    # the header
    "no header": table("name,region,client_id,client_secret,requests_per_minute\n", ""),
    "no header, and a secret": {"connections.csv": BAD_SECRET.partition("\n")[2]},
    "a table with tabs": {"connections.csv": TABLE.replace(",", "\t")},
    "an unknown column": table("region", "regoin"),
    "a column in capitals": table("client_id", "Client ID"),
    "a column that is a mapping": table("region", "emulator"),
    "a column twice": table("client_id,", "region,"),
    "a column without a name": table("region", ""),
    "no column of names": table("name,region", "region"),
    # rows
    "a row without a name": table("globex,", ","),
    "more cells than columns": table("acme,", "acme, inc,"),
    "more cells than columns, and the last one is empty": {
        "connections.csv": TABLE.replace(
            "globex,us-east-1,globex-id,${GLOBEX}", "g,l,r,${A},s3cr3t"
        )
    },
    "a cell under an empty name": {
        "connections.csv": TABLE.replace("minute\n", "minute,\n").replace("120", "120,x")
    },
    "another delimiter in a row": table("acme,eu-west-1,acme-id,${ACME},120", f"a;r;i;{SECRET};1"),
    "a name twice": table("globex,", "acme,"),
    "a name that is a path": table("globex,", "glo/bex,"),
    "a region that does not exist": table("us-east-1", "us-east-11"),
    "a number that is too large": table("120", "120000"),
    "a number with a comma": table("120", '"1,200"'),
    "a boolean of a spreadsheet in German": table(
        "requests_per_minute\nacme,eu-west-1,acme-id,${ACME},120",
        "allow_http\nacme,eu-west-1,acme-id,${ACME},WAHR",
    ),
    "no secret": table("${GLOBEX}", ""),
    "a row that ends too soon": table(",us-east-1,globex-id,${GLOBEX},", ",us-east-1"),
    "no column of secrets": table("id,client_secret,", "id,proxy,"),
    "no id": table("globex-id", ""),
    "no region": table("us-east-1", ""),
    "a secret": {"connections.csv": BAD_SECRET},
    "a secret next to a variable": table("${ACME}", f"{SECRET}${{ACME}}"),
    "a variable that is not set": table("${GLOBEX}", "${GLOBX}"),
    "a variable without a name": table("${GLOBEX}", "${}"),
    "a proxy with a password": table(
        "requests_per_minute\nacme,eu-west-1,acme-id,${ACME},120",
        f"proxy\nacme,eu-west-1,acme-id,${{ACME}},http://u:{SECRET}@proxy.example:3128",
    ),
    "a proxy that is not one": table(
        "requests_per_minute\nacme,eu-west-1,acme-id,${ACME},120",
        "proxy\nacme,eu-west-1,acme-id,${ACME},https://proxy.example:3128/x",
    ),
    "one organisation twice": table("us-east-1,globex-id", "eu-west-1,acme-id"),
    "a mistake below and after cells of several lines": table(
        "acme-id,${ACME},120\nglobex,us-east-1,globex-id,",
        '"acme-id\r\n\n",${ACME},120\nglobex,"us-east-1\n",globex id\u20ac,',
    ),
    "a connection that no team uses": {
        **table(),
        "job.yaml": JOB.replace("connections: all", "connections: [acme]"),
    },
    # YAML
    "an empty file": files(acme="# nothing\n"),
    "no connection in a file": files(acme="{}\n"),
    "a list": files(acme="- region: eu-west-1\n"),
    "a connection without its name": files(acme="region: eu-west-1\nclient_id: id\n"),
    "the key of the section": files(acme=SECTION),
    "a name in two files": files(acme=ACME, globex=ACME),
    "an unknown key": files(acme=ACME.replace("region", "regoin")),
    "a text": files(acme=ACME, globex="globex: us-east-1\n"),
    "invalid YAML": files(acme=ACME + "  [\n"),
    "a folder that looks like a file": {**files(acme=ACME), "c/b.yaml/x": ""},
}


def message(changed: Mapping[str, str | bytes]) -> str:
    with pytest.raises(ConfigError) as caught:
        load(changed)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_each_mistake_has_its_line_and_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snapshot: SnapshotAssertion
) -> None:
    rows = []
    for number, (name, changed) in enumerate(MISTAKES.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        rows.append(f"{name}\n    {message(changed)}")
    assert "\n".join(rows) == snapshot


def test_what_may_not_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    write(Path(), {"job.yaml": JOB.replace("connections.csv", "c/*.yaml"), "c/acme.yaml": ACME})
    expected = "cannot be read (Permission denied); check the path and its permissions"
    # The tests may run as root, who may read everything.
    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", refuse)
        assert message({"c/acme.yaml": ACME, **job("c/*.yaml")}).endswith(f": c {expected}")
    with monkeypatch.context() as patch:
        patch.setattr("asyncreport.config.connection_files.read_text", refuse)
        assert message(job("c/*.yaml")).endswith(f": c/acme.yaml {expected}")


def test_a_file_and_a_job_have_a_limit() -> None:
    assert message({"connections.csv": TABLE + "\n" * (4 << 20)}) == (
        "connections.csv: is larger than 4 MiB; a job has at most 10,000 connections"
    )
    rows = [f"a{n},https://a.example/{n},https://a.example,i,${{ACME}}\n" for n in range(10_001)]
    text = "name,api_url,login_url,client_id,client_secret\n" + "".join(rows)
    assert message({"connections.csv": text}) == (
        "connections.csv:10002: connections.a10000: is one too many: "
        "a job has at most 10,000 connections; use several jobs"
    )


def test_no_function_is_called_for_each_pair_of_connections() -> None:
    """Eight times the connections need eight times the calls, less what every job needs."""
    few, many = (calls_to_load(count) for count in (100, 800))
    assert many < 8 * few


def calls_to_load(count: int) -> int:
    """Count the calls of functions, which a busy machine does not change, unlike the time."""
    rows = [f"a{n},https://a.example/{n},https://a.example,i,${{ACME}}\n" for n in range(count)]
    text = "name,api_url,login_url,client_id,client_secret\n" + "".join(rows)
    profile = cProfile.Profile()
    profile.enable()
    loaded = load({"connections.csv": text})
    profile.disable()
    assert len(loaded.connections) == count
    return sum(entry.callcount for entry in profile.getstats())


#: text that a cell gives back: blanks around it do not count
CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(str.strip)
NAMES = CELLS.filter(bool)
KEYS = ("name", "client_secret", "region", "api_url", "client_id")


@given(
    rows=st.lists(st.tuples(NAMES, st.just("${ACME}"), *[CELLS] * 3), min_size=1, max_size=5),
    columns=st.permutations(KEYS),
    dialect=st.sampled_from(["excel", "unix"]),
    delimiter=st.sampled_from(",;"),
)
def test_what_csv_writes_is_read_back(
    rows: list[tuple[str, ...]], columns: list[str], dialect: str, delimiter: str
) -> None:
    written = [dict(zip(KEYS, row, strict=True)) for row in rows]
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, columns, dialect=dialect, delimiter=delimiter)
    writer.writeheader()
    writer.writerows(written)
    text = file.getvalue()
    found = list(read_csv(text, "c.csv"))
    assert [name for name, _ in found] == [row["name"] for row in written]
    lines = io.StringIO(text, newline="").readlines()
    for (_, node), row in zip(found, written, strict=True):
        cells = {key: member.value for key, member in node.value.items()}
        assert cells == {key: row[key] for key in columns if row[key] and key != "name"}
        assert 2 <= int(node.where.removeprefix("c.csv:")) <= len(lines)


@settings(deadline=None)
@given(
    start=st.integers(0, len(BAD_SECRET)),
    length=st.integers(0, 20),
    inserted=st.text(',;"\n\r\t ${}=@a1\0é', max_size=5),
)
def test_any_damaged_table_gives_connections_or_one_line_with_its_place_and_no_secret(
    start: int, length: int, inserted: str
) -> None:
    text = BAD_SECRET[:start] + inserted + BAD_SECRET[start + length :]
    try:
        load({"connections.csv": text})
    except ConfigError as error:
        assert SECRET not in str(error)
        assert str(error).startswith(("connections.csv:", "job.yaml:"))
        assert "\n" not in str(error)
