"""Find the id of the person to erase: from an id, a name or an e-mail address."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from asyncreport.config import is_uuid
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import Job
from asyncreport.core.text import first_items
from asyncreport.export.erase_state import known_people
from asyncreport.export.storage import looking

#: a name or an address, and the id of the person
_Known = tuple[str, str]


def find_id(jobs: Iterable[Job], given: str) -> str:
    """Give the id of the one person of an id, a name or an address that the jobs know.

    Upper and lower case does not matter. Raise ConfigError if nobody has it, or several have it.
    """
    if is_uuid(given):
        return given.lower()
    known = sorted(set().union(*map(_known, jobs)))
    found = [each for each in known if _plain(each[0]) == _plain(given)]
    ids = sorted({user for _, user in found})
    if len(ids) == 1:
        return ids[0]
    if ids:
        raise ConfigError(
            f"--user: {len(ids):,} people have {given!r}; give the id of one: {_listed(found)}"
        )
    raise _nobody(given, known)


def _known(job: Job) -> set[_Known]:
    """List the people that a job knows; raise StoreError."""
    with looking(job) as files:
        return known_people(files.job)


def _plain(text: str) -> str:
    """Write a name as it is compared."""
    return " ".join(text.casefold().split())


def _listed(people: Sequence[_Known]) -> str:
    """List people with their ids."""
    return first_items([f"{user} ({name})" for name, user in people])


def _nobody(given: str, known: Sequence[_Known]) -> ConfigError:
    """Make the error for a name that nobody has."""
    fact = f"--user: the state folder of the job knows nobody called {given!r}"
    near = [each for each in known if _plain(given) in _plain(each[0])]
    if near:
        return ConfigError(f"{fact}; give the id of one: {_listed(near)}")
    return ConfigError(
        f"{fact}; give the id: `asyncreport list users --search TEXT` shows ids, and a command "
        "that was interrupted has printed it"
    )
