"""Find names of the directory by what a person types. Pure."""

from __future__ import annotations

import unicodedata


def name_matches(name: str, search: str) -> bool:
    """Tell whether a name contains all words of a text; order, case and accents do not count."""
    folded_name = folded(name)
    return all(word in folded_name for word in folded(search).split())


def folded(text: str) -> str:
    """Leave out what people do not type: capitals and accents."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
