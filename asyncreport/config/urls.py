"""URLs of gateways and proxies. Pure."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit


def split_url(text: str) -> SplitResult | None:
    """Split an http(s) URL; None for anything else."""
    if not _has_url_characters(text):
        return None
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        return None
    if url.scheme not in ("http", "https") or not url.hostname or port == 0:
        return None
    return url


def _has_url_characters(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text and "\\" not in text


def is_loopback(url: SplitResult) -> bool:
    """Tell whether a URL's host is this machine."""
    host = url.hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"  # names below it, such as x.localhost, may resolve to any host
