"""Whose work a new job file exports: a search by name, a choice by number, and its teams. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from asyncreport.commands.init_options import InitOptions
from asyncreport.commands.name_search import folded, name_matches
from asyncreport.commands.team_names import TeamNames
from asyncreport.config.job_text import Selected, Selection, TeamDraft
from asyncreport.config.names import is_uuid
from asyncreport.core.text import counted, first_items, one_line

Kind = Literal["team", "group", "queue", "user"]

#: in the order of the lists
KINDS: tuple[Kind, ...] = ("team", "group", "queue", "user")

#: lines of a list
_SHOWN = 15
#: characters of a name in a list: a line fits into 80 columns
_NAME_SHOWN = 48

_NUMBER = r"\d{1,6}(?:\s*-\s*\d{1,6})?"
_NUMBERS = re.compile(rf"{_NUMBER}(?:[\s,;]+{_NUMBER})*")
_RANGE = re.compile(r"(\d+)(?:\s*-\s*(\d+))?")

#: the team of several users who were chosen one by one
CHOSEN_USERS = "chosen users"


class Candidate(NamedTuple):
    """A team, group, queue or user of the directory."""

    kind: Kind
    id: str
    name: str
    #: None for a user, and if the server does not say
    members: int | None = None


def everyone() -> TeamDraft:
    """Give the team of all users."""
    return TeamDraft(name="everyone", selection="everyone")


class TeamSearch:
    """What a person has found and chosen so far."""

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        self._all = sorted(candidates, key=_order)
        self._repeated = _repeated_names(self._all)
        #: the last list
        self._found = self._all
        self.chosen: list[Candidate] = []

    def summary(self) -> str:
        """Say what was found: `6 teams, 1 group, 40 users`."""
        counts = Counter(each.kind for each in self._all)
        return ", ".join(counted(number, kind) for kind, number in counts.items()) or "nothing"

    def lines(self) -> list[str]:
        """Show the last list, with numbers."""
        shown = self._found[:_SHOWN]
        lines = [self._line(number, each) for number, each in enumerate(shown, 1)]
        if len(self._found) > _SHOWN:
            lines.append(f"     and {len(self._found) - _SHOWN:,} more: type a part of a name")
        return lines

    def type(self, text: str) -> list[str]:
        """Take what a person typed, numbers of the last list or a part of a name; give lines."""
        if self._found and _NUMBERS.fullmatch(text):
            return self._choose(text)
        return self._search(text.removeprefix("/"))

    def _search(self, text: str) -> list[str]:
        """Find what has all words of a text in its name."""
        found = [each for each in self._all if each.id == text or name_matches(each.name, text)]
        if not found:
            return [
                f"  no name contains {one_line(text, _NAME_SHOWN)!r}; type a shorter part of it"
            ]
        self._found = found
        return self.lines()

    def _choose(self, text: str) -> list[str]:
        """Choose by numbers; what is chosen already is left out again."""
        numbers = _numbers(text)
        shown = min(len(self._found), _SHOWN)
        wrong = [number for number in numbers if not 1 <= number <= shown]
        if wrong:
            return [
                f"  the list has no {wrong[0]}, only 1 to {shown}; "
                f"to search for a name with {text!r}, type /{text}"
            ]
        for number in numbers:
            self._toggle(self._found[number - 1])
        return [self._choice()]

    def _toggle(self, candidate: Candidate) -> None:
        """Choose a candidate, or leave it out again."""
        if candidate in self.chosen:
            self.chosen.remove(candidate)
        else:
            self.chosen.append(candidate)

    def _choice(self) -> str:
        """Say what is chosen."""
        if not self.chosen:
            return "  nothing is chosen"
        names = [f"{each.kind} {one_line(each.name, _NAME_SHOWN)}" for each in self.chosen]
        return f"  chosen: {first_items(names)}"

    def _line(self, number: int, candidate: Candidate) -> str:
        """Write a line of the list."""
        mark = "*" if candidate in self.chosen else " "
        size = "" if candidate.members is None else counted(candidate.members, "member")
        name = one_line(candidate.name, _NAME_SHOWN)
        if _key(candidate) in self._repeated:
            name += f" ({candidate.id[:8]})"
        return f"{mark}{number:>3}  {candidate.kind:<5}  {size:>14}  {name}"

    def teams(self) -> list[TeamDraft]:
        """Give the teams of what was chosen; everyone if nothing was."""
        names = TeamNames()
        rosters = [each for each in self.chosen if each.kind != "user"]
        users = [each for each in self.chosen if each.kind == "user"]
        teams = [self._team(each, names) for each in rosters]
        if users:
            teams.append(_users(users, names))
        return teams or [everyone()]

    def _team(self, candidate: Candidate, names: TeamNames) -> TeamDraft:
        """Make a team of the members of a team, group or queue."""
        assert candidate.kind != "user"
        selected = Selected(candidate.name)
        if _key(candidate) in self._repeated or not _can_be_used(candidate.name):
            selected = Selected(candidate.id, candidate.name)
        return TeamDraft(
            name=names.choose(candidate.name, candidate.id),
            selection=candidate.kind,
            selected=(selected,),
        )


def _users(users: Sequence[Candidate], names: TeamNames) -> TeamDraft:
    """Make a team of users; one user's has the user's name."""
    name = users[0].name if len(users) == 1 else CHOSEN_USERS
    return TeamDraft(
        name=names.choose(name, "users"),
        selection="users",
        selected=tuple(Selected(user.id, user.name) for user in users),
    )


def _order(candidate: Candidate) -> tuple[int, str, str]:
    """Sort by kind, then by name."""
    return KINDS.index(candidate.kind), folded(candidate.name), candidate.id


def _key(candidate: Candidate) -> tuple[Kind, str]:
    """Give what a job file would select by."""
    return candidate.kind, candidate.name


def _repeated_names(candidates: Sequence[Candidate]) -> set[tuple[Kind, str]]:
    """Find the names that several of one kind have."""
    counts = Counter(map(_key, candidates))
    return {key for key, number in counts.items() if number > 1}


def _can_be_used(name: str) -> bool:
    """Tell whether a job file may select by a name."""
    return name.isprintable() and name == name.strip() and bool(name) and not is_uuid(name)


def _numbers(text: str) -> list[int]:
    """Read numbers and ranges, `1 3-5`: each once, in the order of the text."""
    numbers: list[int] = []
    for first, last in _RANGE.findall(text):
        # A list is much shorter than this.
        end = min(int(last or first), int(first) + _SHOWN)
        numbers += range(int(first), end + 1)
    return list(dict.fromkeys(numbers))


class GivenTeam(NamedTuple):
    """A team that options select, and the option that messages name."""

    draft: TeamDraft
    option: str


def given_teams(options: InitOptions) -> list[GivenTeam]:
    """Give the teams that options select."""
    names = TeamNames()
    teams = [
        *_given("team", options.teams, names),
        *_given("group", options.groups, names),
        *_given("queue", options.queues, names),
    ]
    if options.users:
        teams.append(_given_users(options.users, names))
    if options.everyone:
        teams.append(GivenTeam(everyone(), "--everyone"))
    return teams


def _given(kind: Selection, values: Sequence[str], names: TeamNames) -> Iterator[GivenTeam]:
    """Make teams of the members of the teams, groups or queues that an option names."""
    for value in values:
        name = names.choose(value, (kind, value))
        draft = TeamDraft(name=name, selection=kind, selected=(Selected(value),))
        yield GivenTeam(draft, f"--{kind}")


def _given_users(values: Sequence[str], names: TeamNames) -> GivenTeam:
    """Make a team of the users that an option names."""
    name = names.choose(CHOSEN_USERS, "users")
    users = tuple(map(Selected, values))
    return GivenTeam(TeamDraft(name=name, selection="users", selected=users), "--user")
