"""Regions, gateways, proxies, emulators and the environment of a job's connections."""

from __future__ import annotations

from pathlib import Path

import pytest

from asyncreport.config import read_environ
from asyncreport.config.regions import REGIONS
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import Connection, EmulatorSize
from asyncreport.core.secret import Secret
from tests.unit.config.good_job import ENVIRON, GOOD, SECRET, load

HOME = {"GENESYS_CLIENT_ID": "a", "GENESYS_CLIENT_SECRET": SECRET}
WITHOUT = GOOD[: GOOD.index("connections")] + GOOD[GOOD.index("range") :]


def connection(folder: Path, *lines: str, environ: dict[str, str] | None = None) -> Connection:
    """Load a job whose connection has these lines in place of its region."""
    text = GOOD.replace("    region: mypurecloud.ie\n", "".join(f"    {line}\n" for line in lines))
    return load(folder, text, environ=ENVIRON | (environ or {})).connections[0]


def test_there_are_eighteen_regions() -> None:
    assert len(REGIONS) == len(set(REGIONS.values())) == 18


@pytest.mark.parametrize(
    ("name", "domain"), [*REGIONS.items(), *((domain, domain) for domain in REGIONS.values())]
)
def test_a_region_is_an_aws_name_or_a_domain(folder: Path, name: str, domain: str) -> None:
    found = connection(folder, f"region: {name}")
    assert (found.api_url, found.login_url) == (f"https://api.{domain}", f"https://login.{domain}")


@pytest.mark.parametrize(
    ("variable", "domain"),
    [({}, "mypurecloud.com"), ({"GENESYS_ENV": "eu-central-1"}, "mypurecloud.de")],
)
def test_without_connections_the_environment_gives_one(
    folder: Path, variable: dict[str, str], domain: str
) -> None:
    job = load(folder, WITHOUT, environ=HOME | variable)
    (found,) = job.connections
    assert (found.name, found.api_url, found.clients[0].client_id) == (
        "default",
        f"https://api.{domain}",
        "a",
    )
    assert found.clients[0].client_secret.reveal() == SECRET
    assert job.teams[0].connection == "default"
    warned = ["https://login.mypurecloud.com is used" in note for note in job.notes]
    assert warned == [True] * (not variable)


def test_a_gateway_keeps_its_path_without_the_last_slash(folder: Path) -> None:
    found = connection(
        folder,
        "api_url: https://gateway.example:8443/api/",
        "login_url: https://gateway.example/login",
    )
    assert (found.api_url, found.login_url) == (
        "https://gateway.example:8443/api",
        "https://gateway.example/login",
    )


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "127.8.0.1", "localhost:1", "[::1]:8000"])
def test_http_to_this_machine_is_allowed(folder: Path, host: str) -> None:
    assert (
        connection(folder, f"api_url: http://{host}", f"login_url: http://{host}").api_url
        == f"http://{host}"
    )


@pytest.mark.parametrize(
    "host", ["gateway.example", "x.localhost", "localhost.example", "10.0.0.1"]
)
def test_http_to_another_machine_needs_allow_http(folder: Path, host: str) -> None:
    lines = (f"api_url: http://{host}", f"login_url: http://{host}")
    assert connection(folder, *lines, "allow_http: true").api_url == f"http://{host}"
    with pytest.raises(ConfigError, match="unencrypted; to allow it, set allow_http: true"):
        connection(folder, *lines)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("true", EmulatorSize()),
        ("{}", EmulatorSize()),
        ("{agents: 7}", EmulatorSize(agents=7)),
        ("{seed: 3}", EmulatorSize(seed=3)),
    ],
)
def test_an_emulator_needs_no_credentials(folder: Path, text: str, size: EmulatorSize) -> None:
    text = (
        GOOD[: GOOD.index("    region")]
        + f"    emulator: {text}\n    requests_per_minute: 60\n"
        + GOOD[GOOD.index("range") :]
    )
    assert load(folder, text, environ={}).connections == (
        Connection(name="default", emulator=size, requests_per_minute=60),
    )


def test_emulator_false_is_the_same_as_no_key(folder: Path) -> None:
    assert connection(folder, "region: mypurecloud.ie", "emulator: false").emulator is None


P = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": P}, P),
        ({"https_proxy": P, "HTTPS_PROXY": "http://other:1"}, P),
        ({"ALL_PROXY": P}, P),
        ({"HTTPS_PROXY": "http://first:1", "ALL_PROXY": P}, "http://first:1"),
        ({"HTTPS_PROXY": "", "all_proxy": P}, P),
        ({"HTTP_PROXY": P}, None),
        ({"HTTPS_PROXY": "proxy.example:3128/"}, P),
        ({"HTTPS_PROXY": "http://me:word@proxy.example:3128"}, "http://me:word@proxy.example:3128"),
        ({"HTTPS_PROXY": P, "NO_PROXY": "mypurecloud.ie"}, None),
        ({"HTTPS_PROXY": P, "NO_PROXY": "a.example, .mypurecloud.ie"}, None),
        ({"HTTPS_PROXY": P, "no_proxy": "*"}, None),
        ({"HTTPS_PROXY": P, "NO_PROXY": "mypurecloud.de"}, P),
    ],
)
def test_the_proxy_comes_from_the_environment(
    folder: Path, environ: dict[str, str], proxy: str | None
) -> None:
    assert connection(folder, "region: mypurecloud.ie", environ=environ).proxy == (
        proxy and Secret(proxy)
    )


def test_a_proxy_in_the_job_takes_precedence_even_for_this_machine(folder: Path) -> None:
    lines = ("api_url: http://127.0.0.1:1", "login_url: http://127.0.0.1:1")
    environ = {"HTTP_PROXY": P, "ALL_PROXY": P}
    assert connection(folder, *lines, environ=environ).proxy is None
    assert connection(folder, *lines, "proxy: http://mine:1/", environ=environ).proxy == Secret(
        "http://mine:1"
    )


def test_a_gateway_without_tls_uses_the_proxy_for_http(folder: Path) -> None:
    lines = ("api_url: http://g.example", "login_url: http://g.example", "allow_http: true")
    assert connection(
        folder, *lines, environ={"HTTP_PROXY": P, "HTTPS_PROXY": "http://other:1"}
    ).proxy == Secret(P)


def test_an_invalid_proxy_of_the_environment_is_reported_without_its_password(
    folder: Path,
) -> None:
    with pytest.raises(ConfigError) as caught:
        connection(
            folder,
            "region: mypurecloud.ie",
            environ={"https_proxy": f"socks5://me:{SECRET}@proxy:1"},
        )
    assert str(caught.value) == (
        "job.yaml:3: connections.default: uses the proxy of the variable https_proxy, "
        "which is not an HTTP proxy; "
        "accepted: http://[USER:PASSWORD@]HOST:PORT"
    )


def test_the_environment_takes_precedence_over_dotenv(folder: Path) -> None:
    (folder / ".env").write_text(
        "A=file\nB='two words'  # comment\nexport C=${A}\nD\nE=\n", "utf-8-sig"
    )
    assert read_environ(folder, {"A": "real", "F": "f"}) == {
        "A": "real",
        "B": "two words",
        "C": "file",
        "E": "",
        "F": "f",
    }


def test_an_empty_variable_takes_precedence_over_dotenv_too(folder: Path) -> None:
    (folder / ".env").write_text("A=file\n", "utf-8")
    assert read_environ(folder, {"A": ""}) == {"A": ""}


def test_without_dotenv_only_the_environment_counts(folder: Path) -> None:
    assert read_environ(folder, {"A": "a"}) == {"A": "a"}


@pytest.mark.parametrize("line", ["two words=x", "='s3cret'"])
def test_an_invalid_line_of_dotenv_is_reported_but_not_shown(folder: Path, line: str) -> None:
    (folder / ".env").write_text(f"# first\nB=1\n{line}\nC=2\n", "utf-8")
    with pytest.raises(ConfigError) as caught:
        read_environ(folder, {})
    assert (
        str(caught.value) == f"{folder / '.env'}:3: is not a NAME=VALUE line; "
        "correct it, or start it with # to make it a comment"
    )


@pytest.mark.parametrize("line", ["A='s3cret", 'A="s3cret', 'export A = "s3cret', "A='s3'cret"])
def test_a_quote_of_dotenv_that_is_not_closed_is_named(folder: Path, line: str) -> None:
    (folder / ".env").write_text(f"# first\nB=1\n{line}\nC=2\n", "utf-8")
    with pytest.raises(ConfigError) as caught:
        read_environ(folder, {})
    assert str(caught.value) == (
        f"{folder / '.env'}:3: the quote that opens here is not closed, or text follows it"
    )


def test_a_dotenv_that_is_a_folder_is_refused(folder: Path) -> None:
    (folder / ".env").mkdir()
    with pytest.raises(
        ConfigError,
        match=r"\.env: is a folder; remove it, or replace it by a file of NAME=VALUE lines$",
    ):
        read_environ(folder, {})


def test_a_dotenv_that_is_not_utf8_is_refused(folder: Path) -> None:
    (folder / ".env").write_bytes(b"A=\xff\n")
    with pytest.raises(ConfigError, match=r"\.env: is not UTF-8; save it as UTF-8$"):
        read_environ(folder, {})


def test_several_clients_are_one_connection_and_their_secrets_stay_hidden(folder: Path) -> None:
    first = '{client_id: "${ID}", client_secret: "${SECRET}"}'
    clients = f"    clients: [{first}, {{client_id: id-2, client_secret: $$x}}]\n"
    text = GOOD.replace("    client_id: ${ID}\n    client_secret: ${SECRET}\n", clients)
    (found,) = load(folder, text).connections
    assert [(client.client_id, client.client_secret.reveal()) for client in found.clients] == [
        ("id-1", SECRET),
        ("id-2", "$$x"),
    ]
    assert found.lanes == 2
    assert SECRET not in repr(found)


def test_the_clients_of_an_emulator_do_not_change_its_organisation() -> None:
    one, three = (
        Connection(name="x", emulator=EmulatorSize(clients=clients)) for clients in (1, 3)
    )
    assert (one.lanes, three.lanes) == (1, 3)
    assert one.identity == three.identity
