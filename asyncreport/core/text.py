"""Write numbers, lists, durations and a server's text for messages. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: lines or items of one kind that a message shows
MAX_SHOWN = 5

_MINUTE = 60
_DAY = 86_400


def printable(text: str) -> str:
    """Replace every character that is not printable with a blank.

    Line breaks, escape sequences and direction marks in a server's text would move the cursor of a
    terminal.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else " " for char in text)


def shorten(text: str, longest: int) -> str:
    """Cut text to `longest` characters; the last of them is `…` if something was cut."""
    if len(text) <= longest:
        return text
    return f"{text[: longest - 1]}…"


def one_line(text: str, longest: int) -> str:
    """Make one line of printable characters, without repeated blanks, at most `longest` long."""
    # A server's text may be megabytes long; only its beginning is read.
    words = printable(text[: 20 * longest]).split()
    return shorten(" ".join(words), longest)


def plural(number: int, singular: str, many: str | None = None) -> str:
    """Choose the singular or the plural for a number; `many` is an irregular plural."""
    if number == 1:
        return singular
    return f"{singular}s" if many is None else many


def counted(number: int, singular: str, many: str | None = None) -> str:
    """Write a number with its noun: `1 chunk`, `1,200 chunks`, `2 retries`."""
    return f"{number:,} {plural(number, singular, many)}"


def first_lines(lines: Sequence[str], noun: str = "", *, limit: int = MAX_SHOWN) -> list[str]:
    """Keep the first lines; the last line says how many more exist: `and 1,200 more chunks`."""
    if len(lines) <= limit:
        return list(lines)
    return [*lines[:limit], _more(len(lines) - limit, noun)]


@dataclass(frozen=True, slots=True)
class LongList:
    """Many lines; only the first are shown, unless a person asks for all."""

    lines: Sequence[str]
    #: what each line is about
    noun: str = "line"

    def first(self, most: int) -> list[str]:
        """Keep the first lines, and say how many more exist."""
        return first_lines(self.lines, self.noun, limit=most)


def first_items(items: Sequence[str], noun: str = "", *, limit: int = MAX_SHOWN) -> str:
    """Join the first items and say how many more exist: `a, b and 3 more files`."""
    shown = ", ".join(items[:limit])
    if len(items) <= limit:
        return shown
    return f"{shown} {_more(len(items) - limit, noun)}"


def _more(number: int, noun: str) -> str:
    """Say how many lines or items are not shown."""
    if not noun:
        return f"and {number:,} more"
    return f"and {counted(number, f'more {noun}')}"


def duration(seconds: float) -> str:
    """Write a length of time: `4.2 s`, `42 s`, `3 min 5 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    return _minutes(round(seconds))


def _minutes(seconds: int) -> str:
    """Write a length of time of a minute or more."""
    minutes, rest = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def age(instant: int, *, now: int) -> str:
    """Say how long before `now` an instant was (both in ms): `3 days ago`, `just now`."""
    seconds = (now - instant) / 1000
    if seconds >= 2 * _DAY:
        return f"{seconds // _DAY:,.0f} days ago"
    if seconds >= 1:
        return f"{duration(seconds)} ago"
    return "just now"


def describe_users(users: Sequence[str] | None) -> str:
    """Describe the users of a chunk or a part: `everyone` (None), `12 users`, `user 6d8c`."""
    if users is None:
        return "everyone"
    if len(users) == 1:
        return f"user {users[0]}"
    return counted(len(users), "user")


def describe_batch(users: Sequence[str] | None) -> str:
    """Describe sorted users by the first and the last: `12 users from 0a1b to 9c8d`."""
    text = describe_users(users)
    if users is None or len(users) < 2:
        return text
    return f"{text} from {users[0]} to {users[-1]}"
