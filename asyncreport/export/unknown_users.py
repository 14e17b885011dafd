"""Teams whose listed users are all unknown to the directory: wrong ids. Owns nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from asyncreport.core.errors import UnknownTeamError
from asyncreport.core.job import Part, Team
from asyncreport.core.text import counted, first_items
from asyncreport.export.storage import Files
from asyncreport.export.teams import UnknownTeam

_LOG = logging.getLogger(__name__)


def knows_nobody(team: Team, names: Mapping[str, str | None]) -> bool:
    """Tell whether the directory knows none of the users that a team lists.

    `names` are the results of look-ups: None for a user that the directory does not know.
    """
    if team.selector is not None or team.emails or not team.users:
        return False
    # A user who is not in `names` was not looked up.
    return all(names.get(user, "") is None for user in team.users)


def nobody_message(team: Team) -> str:
    """Say that none of the users that a team lists exists."""
    if len(team.users) == 1:
        return f"the directory does not know {team.users[0]}; compare with Admin > People"
    listed = counted(len(team.users), "listed user")
    return (
        f"the directory knows none of its {listed}: {first_items(sorted(team.users))}; "
        "compare with Admin > People"
    )


def has_records(team: Team, parts: Sequence[Part], files: Files) -> bool:
    """Tell whether parts of a job have records of users who are forgotten by now."""
    with files.reader() as reader:
        return not reader.users(parts).isdisjoint(team.users)


def unknown_team(team: Team) -> UnknownTeam:
    """Report a team without any known user as one that could not be looked up.

    The log lists all of its users.
    """
    _LOG.debug("team %r lists only unknown users: %s", team.name, ", ".join(team.users))
    return UnknownTeam.of(team, UnknownTeamError(nobody_message(team)))
