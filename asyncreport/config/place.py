"""A place in a job file: what stands there, and the error that names it. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from asyncreport.config.yaml import Node
from asyncreport.core.errors import ConfigError

#: characters of a value or a key that a message shows
SHOWN = 60

_URLS = ("api_url", "login_url", "proxy")


@dataclass(frozen=True, slots=True)
class Place:
    """A key path in a tree of nodes, present there or not."""

    root: Node
    path: tuple[str | int, ...] = ()

    def at(self, *keys: str | int) -> Place:
        """Go down."""
        return Place(self.root, self.path + keys)

    @property
    def node(self) -> Node | None:
        """Give what stands here, or None."""
        found, missing = self._walk()
        return None if missing else found

    def error(self, fact: str, *, accepted: str = "") -> ConfigError:
        """Describe what is wrong here without showing the value."""
        where, key = self._walk()[0].where, self.spelled
        return ConfigError(
            f"{where}: {f'{key}: ' if key else ''}{fact}"
            + (f"; accepted: {accepted}" if accepted else "")
        )

    def wrong(self, fact: str, *, accepted: str = "") -> ConfigError:
        """Describe what is wrong with the value here, as the file spells it; a secret is left out."""
        node = self.node
        if node is None or isinstance(node.value, list | dict) or "client_secret" in self.path:
            return self.error(fact, accepted=accepted)
        text = node.text
        if (
            self.path[-1:] == ("proxy",) and "@" not in text
        ):  # what stands for the password cannot be told
            return self.error(fact, accepted=accepted)
        if "@" in text and self.path[-1] in _URLS:  # a password may stand before it
            text = "***@" + text.rpartition("@")[2]
        text = text[:SHOWN]
        return self.error(
            f"{text!r} {fact}" if isinstance(node.value, str) else f"{text} {fact}",
            accepted=accepted,
        )

    def _walk(self) -> tuple[Node, bool]:
        """Give the deepest node on the way here, and whether the way goes on."""
        node = self.root
        for key in self.path:
            inner: Node | None = None
            if isinstance(node.value, dict) and isinstance(key, str):
                inner = node.value.get(key)
            elif isinstance(node.value, list) and isinstance(key, int) and key < len(node.value):
                inner = node.value[key]
            if inner is None:
                return node, True
            node = inner
        return node, False

    @property
    def spelled(self) -> str:
        """Spell the path: `teams[0].users[3]`."""
        return "".join(
            f"[{key}]" if isinstance(key, int) else f".{_spelled(key)}" for key in self.path
        ).removeprefix(".")


def _spelled(key: str) -> str:
    # `{client_secret:abc}` lacks a blank, so all of it is a key: what follows the colon may be secret.
    shown = key.partition(":")[0][:SHOWN]
    return shown if shown.isprintable() else repr(shown)


def near(word: str, known: Iterable[str]) -> str:
    """Suggest what was meant: `; did you mean 'end'?`, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""
