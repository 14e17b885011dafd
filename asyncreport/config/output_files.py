"""No two output files of a job are one file. Pure."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence

from asyncreport.config.names import first_repeat
from asyncreport.config.templates import all_templates
from asyncreport.config.validate import VALUE_SHOWN, Place
from asyncreport.core.apart import apart
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import Job, Team
from asyncreport.core.text import shorten

_MONTH = re.compile(r"\d{4}-\d\d")


def check_output_files(root: Place, job: Job) -> None:
    """Refuse two output files with one path; raise ConfigError."""
    if job.output.per_team:
        _check_team_files(root.at("teams"), job.teams)
    taken = _TakenPaths()
    for each in apart(job):
        for key, template in _files(root.at("output"), each):
            taken.add(key, template)


class _TakenPaths:
    """The paths of the files so far, each with its key."""

    def __init__(self) -> None:
        #: by what is the same in all months: only these can be one file
        self._alike: defaultdict[str, list[tuple[Place, str]]] = defaultdict(list)

    def add(self, key: Place, template: str) -> None:
        """Add the path of a file; raise ConfigError if an earlier key gives it too."""
        alike = self._alike[_MONTH.sub("{month}", _normal(template))]
        for earlier, other in alike:
            if _clash(template, other):
                raise _same_file(key, earlier, template)
        alike.append((key, template))


def _same_file(place: Place, earlier: Place, template: str) -> ConfigError:
    """Report a file that an earlier key gives too."""
    return place.must(
        f"give other files than {earlier.key}",
        f"; both give {shorten(template, VALUE_SHOWN)}; change one of the two",
    )


def _files(place: Place, job: Job) -> Iterator[tuple[Place, str]]:
    """Walk the templates of all files, each with its key; of those of teams, each team's."""
    names = sorted({team.name for team in job.teams})
    for key, template in all_templates(place, job.output):
        if "{team}" not in template:
            yield key, template
            continue
        for name in names:
            yield key, template.replace("{team}", name)


def _check_team_files(place: Place, teams: Sequence[Team]) -> None:
    """Refuse names that some file systems treat as one: they ignore case, or how é is composed."""
    # A team of several connections is in the list once for each of them.
    names = dict.fromkeys(team.name for team in teams)
    repeat = first_repeat(map(_folded, names))
    if repeat:
        number, earlier = repeat
        raise place.at(number, "name").must(
            "give an output file of its own",
            f"; some file systems would use the file of teams[{earlier}]; use another name",
        )


def _folded(text: str) -> str:
    """Spell a text so that names which some file system treats as one are equal."""
    return unicodedata.normalize("NFC", text).casefold()


def _normal(path: str) -> str:
    """Spell a path so that all spellings of one file are equal."""
    return _folded(os.path.normpath(path))


def _clash(one: str, other: str) -> bool:
    """Tell whether two templates give the same path in some month."""
    first, second = _normal(one), _normal(other)
    return _covers(first, second) or _covers(second, first)


def _covers(template: str, other: str) -> bool:
    """Tell whether some month in a template gives the path of the other in one month."""
    pattern = re.escape(template).replace(re.escape("{month}"), _MONTH.pattern)
    example = other.replace("{month}", "2000-01")
    return re.fullmatch(pattern, example) is not None
