"""Connections travel with the names of variables; where they arrive, the values are read."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from asyncreport.config import unresolved_connections
from asyncreport.core.errors import ConfigError

HERE = {"ACME_SECRET": "of-the-client", "REGION": "eu-west-1"}
THERE = {"ACME_SECRET": "of-the-worker", "REGION": "us-east-1"}
ACME = {"region": "${REGION}", "client_id": "id", "client_secret": "${ACME_SECRET}"}


def write(folder: Path, **connections: Any) -> Path:
    path = folder / "job.yaml"
    path.write_text(json.dumps({"connections": connections} if connections else {"name": "job"}))
    return path


def test_a_connection_is_resolved_where_it_arrives(tmp_path: Path) -> None:
    found = unresolved_connections(write(tmp_path, acme=ACME), environ=HERE, overrides=())
    travels = pickle.dumps(found["acme"])
    assert b"of-the-client" not in travels
    connection = pickle.loads(travels).resolve(THERE)
    assert connection.name == "acme"
    assert connection.api_url == "https://api.mypurecloud.com"
    assert connection.clients[0].client_secret.reveal() == "of-the-worker"


def test_a_variable_that_is_not_there_is_named_with_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, acme=ACME)
    found = unresolved_connections(path, environ=HERE, overrides=())
    with pytest.raises(ConfigError) as error:
        found["acme"].resolve({"REGION": "eu-west-1"})
    assert str(error.value) == (
        f"{path}:1: connections.acme.client_secret: the variable ACME_SECRET is not set; set it in "
        "the environment or in .env"
    )


def test_without_the_section_all_is_in_the_environment(tmp_path: Path) -> None:
    found = unresolved_connections(write(tmp_path), environ=HERE, overrides=())
    assert list(found) == ["default"]
    environ = {"GENESYS_CLIENT_ID": "id", "GENESYS_CLIENT_SECRET": "secret"}
    assert found["default"].resolve(environ).clients[0].client_id == "id"
    with pytest.raises(ConfigError, match="the variable GENESYS_CLIENT_ID is not set or is empty"):
        found["default"].resolve({})


@pytest.mark.parametrize(
    ("key", "value", "fact"),
    [
        ("client_secret", "s3cret", "client_secret: must be a variable"),
        ("client_secret", "s3cret${ACME_SECRET}", "client_secret: must be a variable"),
        ("proxy", "http://me:s3cret@proxy:3128", "proxy: has a user or a password"),
        (
            "clients",
            [
                {"client_id": "a", "client_secret": "${ACME_SECRET}"},
                {"client_id": "b", "client_secret": "s3cret"},
            ],
            "clients[1].client_secret: must be a variable",
        ),
    ],
)
def test_a_secret_does_not_travel(tmp_path: Path, key: str, value: Any, fact: str) -> None:
    path = write(tmp_path, acme={**ACME, key: value})
    with pytest.raises(ConfigError) as error:
        unresolved_connections(path, environ=HERE, overrides=())
    assert fact in str(error.value)
    assert "with --cluster no secret travels" in str(error.value)
    assert "s3cret" not in str(error.value)


def test_a_secret_of_an_override_does_not_travel_either(tmp_path: Path) -> None:
    override = "connections.acme.client_secret=s3cret"
    with pytest.raises(ConfigError, match="must be a variable") as error:
        unresolved_connections(write(tmp_path, acme=ACME), environ=HERE, overrides=[override])
    assert "s3cret" not in str(error.value)


def test_a_proxy_without_a_password_may_travel(tmp_path: Path) -> None:
    path = write(tmp_path, acme={**ACME, "proxy": "http://proxy:3128"})
    found = unresolved_connections(path, environ=HERE, overrides=())
    proxy = found["acme"].resolve(THERE).proxy
    assert proxy is not None
    assert proxy.reveal() == "http://proxy:3128"
