"""Names that become names of files, ids, and lists of words: what text may be. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from asyncreport.config.validate import Place, did_you_mean
from asyncreport.core.errors import ConfigError

#: of a name that becomes part of a file's name: most file systems allow 255
NAME_BYTES = 100

#: quotes of a word processor, which YAML takes for a part of the text
OPENING = "\u201c\u201d\u201e\u2018\u2019\u201a"
CLOSING = "\u201c\u201d\u2018\u2019"

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def check_name(place: Place, text: str) -> None:
    """Check a name: it must not lead out of its folder or break a path or a placeholder."""
    _check_ends(place, text)
    if text.startswith("."):
        raise place.must("not start with a dot")
    if _breaks_a_path(text):
        raise place.must("not contain / \\ { } or control characters")
    if len(text.encode()) > NAME_BYTES:
        raise place.must(f"not be longer than {NAME_BYTES} bytes")


def _breaks_a_path(text: str) -> bool:
    """Tell whether a text has characters that a path or a placeholder must not have."""
    if not text.isprintable():
        return True
    return not set("/\\{}").isdisjoint(text)


def parse_id(place: Place, text: str) -> str:
    """Read an id or an exact name of the directory; a UUID becomes lower case.

    Some databases print UUIDs in upper case; the vendor never does.
    """
    _check_ends(place, text)
    if not text.isprintable():
        raise place.must("not contain control characters")
    if is_uuid(text):
        return text.lower()
    return text


def is_uuid(text: str) -> bool:
    """Tell whether a text is an id of the directory, in lower or upper case."""
    return _UUID.fullmatch(text) is not None


def parse_ids(place: Place, values: Sequence[str] | None) -> tuple[str, ...]:
    """Read a list of different ids; empty if the file does not have the list."""
    ids = []
    for number, value in enumerate(values or ()):
        ids.append(parse_id(place.at(number), value))
    check_distinct(place, ids)
    return tuple(ids)


def parse_users(
    place: Place,
    values: Sequence[str] | None,
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read listed users: their ids, and the e-mail addresses, which no id looks like."""
    given = parse_ids(place, values)
    # Upper case does not matter in an e-mail address, and one user must not count twice.
    check_distinct(place, [text.lower() if _is_email(text) else text for text in given])
    ids = tuple(text for text in given if not _is_email(text))
    emails = tuple(filter(_is_email, given))
    return ids, emails


def _is_email(text: str) -> bool:
    """Tell whether a text is an e-mail address, and not an id."""
    return "@" in text


def check_words(
    place: Place,
    values: Sequence[str],
    known: Collection[str],
    called: str,
) -> None:
    """Check a list of different words that are all known; `called` says what they are."""
    for number, value in enumerate(values):
        if value not in known:
            raise _unknown_word(
                place.at(number),
                value,
                known,
                called,
            )
    check_distinct(place, values)


def _unknown_word(
    place: Place,
    value: str,
    known: Collection[str],
    called: str,
) -> ConfigError:
    """Make the error for a word that is not one of those known."""
    return place.must(
        f"be {called}",
        did_you_mean(value, known),
        accepted=", ".join(known),
    )


def check_distinct(place: Place, values: Sequence[str]) -> None:
    """Refuse a list that repeats a value."""
    repeat = first_repeat(values)
    if repeat:
        number, earlier = repeat
        rule = f"differ from {place.at(earlier).key}"
        raise place.at(number).must(rule, "; remove one of the two")


def first_repeat(values: Iterable[str | None]) -> tuple[int, int] | None:
    """Find the first value that an earlier one equals: both positions. None equals nothing."""
    first: dict[str, int] = {}
    for number, value in enumerate(values):
        if value is None:
            continue
        if value in first:
            return number, first[value]
        first[value] = number
    return None


def in_curly_quotes(text: str) -> bool:
    """Tell whether a text that is not empty begins and ends with a curly quote."""
    return text[0] in OPENING and text[-1] in CLOSING


def _check_ends(place: Place, text: str) -> None:
    """Refuse an empty text and spaces that nobody sees."""
    if not text:
        raise place.must("not be empty")
    if text != text.strip():
        raise place.must("not start or end with a space")
    if in_curly_quotes(text):
        raise place.must("not be in curly quotes", "; write straight quotes, or none")
