"""One person in texts and JSON values: found, and taken out. Pure."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

#: what replaces an id or an address inside a longer text
ERASED = "(erased)"

# A name that is only a piece of a longer word is not the name.
_WORD = rb"(?<![0-9A-Za-z])(?:%b)(?![0-9A-Za-z])"


@dataclass(frozen=True, slots=True)
class Person:
    """What files may call one person."""

    #: id
    user: str
    #: e-mail addresses that a job listed
    emails: tuple[str, ...] = ()
    #: as the directory gave them
    names: tuple[str, ...] = ()

    @property
    def ids(self) -> frozenset[str]:
        """Give what no other person has."""
        return frozenset((self.user, *self.emails))


class PersonFinder:
    """Find a person's id, addresses and names in the bytes of a file of any format."""

    def __init__(self, person: Person) -> None:
        forms: set[bytes] = set()
        for text in (person.user, *person.emails, *person.names):
            forms |= _forms(text)
        self._lower = [form.lower() for form in forms]
        self._pattern = re.compile(_WORD % _any_of(forms), re.IGNORECASE)

    def occurs_in(self, text: bytes) -> bool:
        """Tell whether a text has one of them as a word; upper case does not matter."""
        lower = text.lower()
        # Ten times as fast as the pattern, which is for the few texts that have a form.
        if not any(form in lower for form in self._lower):
            return False
        return self._pattern.search(text) is not None


def _forms(text: str) -> set[bytes]:
    """Give a text as it is, as in JSON, as in XML, and as in a quoted field of CSV."""
    forms = {
        orjson.dumps(text)[1:-1],
        json.dumps(text)[1:-1].encode(),
        html.escape(text, quote=False).encode(),
        text.replace('"', '""').encode(),
    }
    return {text.encode(), *forms}


def _any_of(forms: Iterable[bytes]) -> bytes:
    """Write a pattern that finds any of these, the longest first."""
    return b"|".join(map(re.escape, sorted(forms, key=len, reverse=True)))


def without_person(value: Any, person: Person) -> Any:
    """Copy a JSON value without a person.

    Entries whose key or value is the person's id or address, and such items of lists, are left out;
    inside a longer text `ERASED` replaces them.
    """
    pattern = re.compile("|".join(map(re.escape, person.ids)), re.IGNORECASE)
    return _Copy(person.ids, pattern).of(value)


@dataclass(frozen=True, slots=True)
class _Copy:
    """A copy of a JSON value without some words."""

    words: frozenset[str]
    pattern: re.Pattern[str]

    def of(self, value: Any) -> Any:
        """Copy a value."""
        if isinstance(value, str):
            return self.pattern.sub(ERASED, value)
        if isinstance(value, list):
            return [self.of(each) for each in value if not self._is_word(each)]
        if isinstance(value, dict):
            return {key: self.of(each) for key, each in value.items() if self._stays(key, each)}
        return value

    def _is_word(self, value: Any) -> bool:
        """Tell whether a value is one of the words, and nothing else."""
        return isinstance(value, str) and value in self.words

    def _stays(self, key: str, value: Any) -> bool:
        """Tell whether an entry of an object is not about the person."""
        return not self._is_word(key) and not self._is_word(value)
