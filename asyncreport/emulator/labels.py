"""Wrap-up codes, skills and languages of the emulated organisation: ids with names. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from asyncreport.emulator.people import Queue, shaped_id


class Label(Struct, frozen=True):
    """Something that has an id and a name."""

    id: str
    name: str


def _labels(kind: str, names: Sequence[str]) -> tuple[Label, ...]:
    """Make labels; they are the same in every organisation."""
    return tuple(Label(shaped_id(kind, name), name) for name in names)


WRAP_UPS = _labels("wrap-up", ("Resolved", "Follow-up", "Wrong department", 'Sold, "as is"'))
SKILLS = _labels("skill", ("Accounts", "Sales talk", "Networks"))
LANGUAGES = _labels("language", ("English", "Deutsch", "Français"))

#: what interactions of a queue need, by the queue's name; other queues need nothing
_SKILLS = {"Billing": 0, "Sales": 1, "Technical Support": 2}
_LANGUAGES = {"Rückgabe & Umtausch": 1, "Réclamations": 2}


def skill_of(queue: Queue | None) -> str | None:
    """Give the id of the skill that a queue's interactions need."""
    if queue is None or queue.name not in _SKILLS:
        return None
    return SKILLS[_SKILLS[queue.name]].id


def language_of(queue: Queue | None) -> str | None:
    """Give the id of the language that a queue's interactions need; English without another."""
    if queue is None:
        return None
    return LANGUAGES[_LANGUAGES.get(queue.name, 0)].id
