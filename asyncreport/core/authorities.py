"""Where trusted certificates are. Pure."""

from __future__ import annotations

from msgspec import Struct


class Authorities(Struct, frozen=True, kw_only=True):
    """Where the certificates of trusted authorities are; empty: where OpenSSL has them."""

    #: SSL_CERT_FILE
    file: str = ""
    #: SSL_CERT_DIR
    folder: str = ""
