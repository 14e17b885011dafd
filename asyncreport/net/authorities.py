"""Whom a connection with TLS trusts. Reads the certificates; owns nothing."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable
from pathlib import Path

from asyncreport.core.authorities import Authorities
from asyncreport.core.errors import ConfigError

_CORRECT = "correct the variable in the environment or in .env, or remove it"


def trusted(authorities: Authorities, addresses: Iterable[str]) -> ssl.SSLContext | bool:
    """Give the authorities for connections to these addresses; raise ConfigError if unreadable.

    They are read, which takes 20 ms, only if an address is encrypted. Otherwise aiohttp's own are
    given, which no connection uses.
    """
    if any(address.startswith("https:") for address in addresses):
        return _context(authorities)
    return True


def _context(authorities: Authorities) -> ssl.SSLContext:
    """Read the certificates that OpenSSL would read if the variables were in the environment."""
    if not authorities.file and not authorities.folder:
        return ssl.create_default_context()
    usual = ssl.get_default_verify_paths()
    # Not create_default_context: with one of the two it would leave out the other's usual place.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _load_file(context, authorities.file, usual.openssl_cafile)
    _load_folders(context, authorities.folder, usual.openssl_capath)
    return context


def _load_file(context: ssl.SSLContext, given: str, usual: str) -> None:
    """Trust the certificates of a file; the usual one may be missing."""
    path = given or usual
    if Path(path).is_file():
        try:
            context.load_verify_locations(cafile=path)
        except (ssl.SSLError, OSError) as error:
            raise _unreadable(path, error) from error
    elif given:
        raise ConfigError(f"SSL_CERT_FILE: {given} does not exist or is not a file; {_CORRECT}")


def _load_folders(context: ssl.SSLContext, given: str, usual: str) -> None:
    """Trust the certificates of folders, which OpenSSL reads when it needs them."""
    for path in (given or usual).split(os.pathsep):
        if Path(path).is_dir():
            context.load_verify_locations(capath=path)
        elif given:
            raise ConfigError(f"SSL_CERT_DIR: {path} does not exist or is not a folder; {_CORRECT}")


def _unreadable(path: str, error: OSError) -> ConfigError:
    """Say why a file has no certificates."""
    # The number of an SSLError is one of OpenSSL: only its reason has words.
    reason = getattr(error, "reason", "") or error.strerror or "no reason is known"
    return ConfigError(
        f"SSL_CERT_FILE: {path} has no certificate that can be read "
        f"({reason.replace('_', ' ').lower()}); it must have certificates in PEM form"
    )
