"""Keep every record on one line, also for readers that split lines as Unicode does. Pure."""

from __future__ import annotations

#: the line separators of `str.splitlines` that JSON writers leave as they are, and their escapes;
#: JSON escapes all others, because they are control characters
_SEPARATORS = (
    ("\u0085".encode(), rb"\u0085"),
    ("\u2028".encode(), rb"\u2028"),
    ("\u2029".encode(), rb"\u2029"),
)


def escape_separators(data: bytes) -> bytes:
    """Escape the line separators in JSON; a reader of the JSON gets the same texts.

    In JSON they occur only inside texts, and in UTF-8 their bytes are part of no other character.
    """
    # Nearly everything is ASCII, and this test costs next to nothing.
    if data.isascii():
        return data
    for separator, escape in _SEPARATORS:
        data = data.replace(separator, escape)
    return data
