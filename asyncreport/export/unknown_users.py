"""Teams of which the directory knows no listed user: the ids are wrong. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from asyncreport.core.job import Team
from asyncreport.core.text import counted, first_items


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
