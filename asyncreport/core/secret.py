"""A text that must not be shown. Pure."""

from __future__ import annotations


class Secret:
    """A text that no `repr`, log or traceback shows; only `reveal()` gives it.

    `variables` are for messages: the names of the variables that hold it, or belong to it.
    """

    __slots__ = ("_text", "variables")

    def __init__(self, text: str, variables: tuple[str, ...] = ()) -> None:
        """Hide a text."""
        self._text = text
        self.variables = variables

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
