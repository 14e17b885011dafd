"""A text that must not be shown. Pure."""

from __future__ import annotations


class Secret:
    """A text that no `repr`, log or traceback shows; only `reveal()` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Hide a text."""
        self._text = text

    def __repr__(self) -> str:
        """Say only what it is."""
        return "Secret(***)"

    def __eq__(self, other: object) -> bool:
        """Compare the texts."""
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        """Hash the text, as `==` needs it."""
        return hash(self._text)

    def reveal(self) -> str:
        """Give the text itself."""
        return self._text
