"""URLs of gateways and proxies. Pure."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit


def split_url(text: str) -> SplitResult | None:
    """Split an http(s) URL; None for anything else."""
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        return None
    try:
        url = urlsplit(text)
        is_valid = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        return None
    if not is_valid:
        return None
    return url


def is_loopback(url: SplitResult) -> bool:
    """Tell whether a URL's host is this machine."""
    host = url.hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"  # names below it, such as x.localhost, may resolve to any host
