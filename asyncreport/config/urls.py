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
        usable = _is_usable(url)
    # Raised for wrong brackets, and for a port that is not a number up to 65535.
    except ValueError:
        return None
    if not usable:
        return None
    return url


def _is_usable(url: SplitResult) -> bool:
    """Tell whether a request can be sent to a URL; raise ValueError for a bad port."""
    if url.scheme not in ("http", "https"):
        return False
    return bool(url.hostname) and url.port != 0


def _has_url_characters(text: str) -> bool:
    """Tell whether a text has no spaces, backslashes, control characters or letters like é."""
    if " " in text or "\\" in text:
        return False
    return text.isascii() and text.isprintable()


def is_loopback(url: SplitResult) -> bool:
    """Tell whether a URL's host is this machine."""
    host = url.hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        # Names below it, such as x.localhost, may resolve to any host.
        return host == "localhost"
