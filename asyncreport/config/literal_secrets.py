"""Refuses secrets that are written where only the variables of secrets may be. Pure."""

from __future__ import annotations

import re

from asyncreport.config.validate import Place
from asyncreport.core.errors import ConfigError

#: what to write instead of the secret of a client
A_VARIABLE = "a variable such as ${ACME_SECRET}"

_VARIABLE = re.compile(r"\$\{[^{}]*\}")


def check_has_no_secret(place: Place, why: str) -> None:
    """Refuse a connection with a secret, or a proxy with a password, that is not in a variable.

    `why` ends the message; the secret is not shown.
    """
    _check_client(place, why)
    clients = place.at("clients")
    if clients.node is not None:
        for number in clients.node.keys:
            _check_client(clients.at(number), why)
    proxy = place.at("proxy")
    if proxy.node is not None and "@" in proxy.node.text and "${" not in proxy.node.text:
        raise _literal_secret(
            proxy, "has a user or a password; write a variable: ${ACME_PROXY}", why
        )


def _check_client(place: Place, why: str) -> None:
    """Refuse the secret of a client that is not in a variable; it may be missing."""
    secret = place.at("client_secret")
    if secret.node is not None and not _VARIABLE.fullmatch(secret.node.text):
        raise _literal_secret(secret, f"must be {A_VARIABLE}", why)


def _literal_secret(place: Place, fact: str, why: str) -> ConfigError:
    """Make the error for a secret, which is not shown."""
    return place.error(f"{fact}; {why}")
