"""Text in a body that is not valid Unicode: replaced in names, rejected in ids. Pure.

The vendor cuts long names by UTF-16 units, also in the middle of an emoji: half of a surrogate pair
stays, and a strict decoder refuses the whole page because of one name.
"""

from __future__ import annotations

import re

from asyncreport.core.errors import RejectedError
from asyncreport.core.text import shorten

#: U+FFFD, the sign for text that was lost
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

#: in JSON: a pair of surrogates, half of a pair, any other escape; so that `\\ud83d`, a backslash
#: and five letters, is not taken for an escape
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb"|\\."
)

#: characters of an id in a message
_MAX_TEXT = 80


def with_valid_unicode(body: bytes) -> bytes:
    """Replace bytes that are not UTF-8, and escapes of half a surrogate pair, by U+FFFD."""
    text = body.decode("utf-8", "replace").encode()
    return _ESCAPES.sub(_valid_escape, text)


def _valid_escape(match: re.Match[bytes]) -> bytes:
    """Return an escape as it is, unless it is half of a surrogate pair."""
    if match["half"]:
        return rb"\ufffd"
    return match[0]


def check_id(text: str | None) -> None:
    """Raise RejectedError for an id or a cursor in which something was replaced.

    It would belong to someone else, or to nobody.
    """
    if text is not None and REPLACEMENT in text:
        raise RejectedError(
            f"the response has an id that is not valid Unicode: {shorten(text, _MAX_TEXT)!r}"
        )
