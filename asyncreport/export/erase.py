"""Erase one person from everything that a job has stored. Owns the order of the steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

from asyncreport.core.job import Job, Team
from asyncreport.core.person import Person
from asyncreport.engine.activity import Activity
from asyncreport.export.erase_outputs import OutputFiles, Parts, Rewritten, with_members
from asyncreport.export.erase_state import (
    connection_names,
    delete_copies,
    erase_person,
    files_with_person,
    find_person,
    summary_times,
    unused_files,
    update_summary,
)
from asyncreport.export.preflight import OutputOwners
from asyncreport.export.run_context import Say, silent
from asyncreport.export.storage import Files, looking, writing
from asyncreport.export.targets import all_paths
from asyncreport.store.atomic import remove_temporary
from asyncreport.store.conversion import check_converted
from asyncreport.store.erase import PartsWithoutUser, UserParts
from asyncreport.store.job_parts import manifest_times, restore_times
from asyncreport.store.manifest import Manifest
from asyncreport.store.part_filter import PartFilter
from asyncreport.store.search import holds
from asyncreport.store.state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """Where a person was erased, or would be."""

    #: id
    user: str
    #: by the connection's name, also of connections that the job no longer has
    parts: Mapping[str, UserParts] = field(default_factory=dict)
    #: names of files in the state folder
    state_files: Sequence[str] = ()
    #: output files that were written again
    outputs: Sequence[Path] = ()
    #: those of them that were written without records that are missing
    partial: Sequence[Path] = ()
    #: files in the state folder that asyncreport does not use; they are deleted
    copies: Sequence[Path] = ()
    #: the report, if it names the person; it is deleted, and the next run makes it again
    report: Path | None = None
    #: output files of earlier runs that the job does not write now; they stay
    left: Sequence[Path] = ()
    #: teams that bring the person back, each with what to do
    returning: Sequence[str] = ()

    def __bool__(self) -> bool:
        """Tell whether anything is stored about the person."""
        stored = (self.state_files, self.outputs, self.copies, self.report, self.left)
        return any(self.parts.values()) or any(stored)


def find_user(job: Job, user: str, *, now: int) -> Erased:
    """Find out what `erase_user` would do; no lock is needed. Raise StoreError."""
    with looking(job, all_connections=True) as files:
        return _find(files, user, now=now)


def _find(files: Files, user: str, *, now: int) -> Erased:
    """Find out what is stored about a user."""
    job = files.job
    check_converted(job.parts_folder)
    manifests = {}
    for name in _connection_names(job):
        manifests[name] = Manifest.read(job.parts_folder / name)
    if not manifests:
        return Erased(user=user)
    return _Erasure(files, user, manifests, now=now).found


async def erase_user(job: Job, user: str, *, now: int, say: Say = silent) -> Erased:
    """Erase a user from parts, look-ups, changes, summary and output files; send no request.

    `user` is an id, `now` an instant. Raise StoreError, also if a run is in progress.
    """
    async with writing(job, Activity(job.name), say, all_connections=True) as files:
        return await _erase_in(files, user, now=now)


async def _erase_in(files: Files, user: str, *, now: int) -> Erased:
    """Erase a user, if the job ever ran."""
    job = files.job
    times = manifest_times(job)
    if not _connection_names(job):
        # No folder is made for a job that never ran.
        return Erased(user=user)
    times |= summary_times(job.state_folder)
    with State.open(
        job.state_folder, _filter(job), parts_folder=job.parts_folder, remotes=files.remote
    ) as state:
        erased = await state.run_in_writer(lambda stopped: _erase(files, user, state, stopped, now))
        # `status` compares them, to tell whether a run was broken off.
        restore_times(times)
    return erased


def _connection_names(job: Job) -> list[str]:
    """List the connections with data of the job, also those that it no longer has."""
    names = connection_names(job.parts_folder)
    if job.within is None:
        return names
    # The others are jobs of their own.
    return [each.name for each in job.connections if each.name in names]


def _filter(job: Job) -> PartFilter:
    """Make a filter of the connections with data, also of those that the job no longer has.

    Not of the others: they would get a manifest, as if a run had begun.
    """
    now = PartFilter.of(job).fingerprints
    return PartFilter({name: now.get(name, ()) for name in _connection_names(job)}, job.query.grid)


def _erase(files: Files, user: str, state: State, stopped: Event, now: int) -> Erased:
    """Do all steps, in an order that a killed command can repeat."""
    _remove_left_over(files.job, state, stopped, now)
    manifests = {name: folder.manifest for name, folder in state.folders.items()}
    erasure = _Erasure(files, user, manifests, now=now)
    if not erasure.found:
        return erasure.found
    return erasure.run(state, stopped)


def _remove_left_over(job: Job, state: State, stopped: Event, now: int) -> None:
    """Delete what an interrupted command left: nobody knows whose data it has."""
    state.delete_replaced(stopped, at=now)
    OutputOwners(job).clean_up()
    for path in all_paths(job):
        remove_temporary(path, job.state_folder)


class _Erasure:
    """What is stored about a person, and how it is erased; the manifests are by connection."""

    def __init__(
        self, files: Files, user: str, manifests: Mapping[str, Manifest], *, now: int
    ) -> None:
        self._job = job = files.job
        self._opened = files
        self._manifests = manifests
        self._person = find_person(job, user)
        self._part_filter = PartFilter.of(job)
        self._files = OutputFiles(job, self._person, self._current_parts(), now=now)
        self.found = self._find()

    def _current_parts(self) -> Parts:
        """Give the parts that the job uses, by connection."""
        parts = {}
        for connection in self._job.connections:
            manifest = self._manifests.get(connection.name)
            parts[connection.name] = manifest.current_parts(self._part_filter) if manifest else []
        return parts

    def _find(self) -> Erased:
        """Search everything that the job has stored."""
        job, person = self._job, self._person
        unused = unused_files(job, list(self._manifests.values()))
        self._opened.fetch_files([*self._files.paths(), *unused])
        parts = self._user_parts()
        records = {name: list(of_user.records) for name, of_user in parts.items()}
        return Erased(
            user=person.user,
            parts=parts,
            state_files=files_with_person(job, person),
            outputs=self._files.affected(records),
            copies=[path for path in unused if holds(path, person)],
            report=self._files.report(),
            left=[path for path in self._files.others() if holds(path, person)],
            returning=list(_returning(job, person, parts)),
        )

    def _user_parts(self) -> dict[str, UserParts]:
        """Find the parts with the person, by connection."""
        user = self._person.user
        with self._opened.reader() as reader:
            return {
                name: UserParts.find(each, user, reader) for name, each in self._manifests.items()
            }

    def run(self, state: State, stopped: Event) -> Erased:
        """Erase the person; the manifests are last, so that a killed command begins again."""
        new = self._parts_without_user(state)
        with self._opened.reader() as reader:
            for parts in new.values():
                parts.write(reader, stopped)
            self._delete_whole_files()
            files = self._files.write(self._without_user(new), reader, stopped, self.found.outputs)
        update_summary(self._job, files)
        erase_person(self._job, self._person)
        for parts in new.values():
            parts.commit()
        return self._erased(files)

    def _parts_without_user(self, state: State) -> dict[str, PartsWithoutUser]:
        """Describe the new parts of each connection; nothing is written yet."""
        return {
            name: PartsWithoutUser(folder, self._person.user, self.found.parts[name])
            for name, folder in state.folders.items()
        }

    def _delete_whole_files(self) -> None:
        """Delete the files that are not written again without the person."""
        delete_copies(self.found.copies)
        if self.found.report is not None:
            delete_copies([self.found.report])

    def _erased(self, files: Rewritten) -> Erased:
        """Say what was erased; `files` are up to date, not all of them had to be written."""
        written = [path for path in files.after if path in files.months]
        partial = [path for path in written if files.after[path].partial]
        return replace(self.found, outputs=written, partial=partial)

    def _without_user(self, new: Mapping[str, PartsWithoutUser]) -> Parts:
        """Give the parts that the job will use, by connection."""
        found = {}
        for name, parts in self._current_parts().items():
            changed = [new[name].of(part) for part in parts]
            found[name] = [part for part in changed if part is not None]
        return found


def _returning(job: Job, person: Person, parts: Mapping[str, UserParts]) -> Iterator[str]:
    """Say which teams bring the person back, and what to do about each."""
    last = {team.name: team for team in with_members(job).teams}
    for team in job.teams:
        if team.everyone:
            # A user of another organisation, or a mistyped id, cannot come back.
            if parts.get(team.connection):
                yield _everyone(team)
        elif person.ids.intersection((*team.users, *team.emails)):
            yield _listed(team)
        elif team.name in last and person.user in last[team.name].users:
            yield _member(team)


def _everyone(team: Team) -> str:
    """Say what a team of everyone does."""
    return (
        f"team {team.name!r} is everyone: while Genesys Cloud has records of this user, every run "
        "brings back those of the periods that it fetches, and `verify` reports the others as "
        "missing; erase the user in Genesys Cloud, then run this command again"
    )


def _listed(team: Team) -> str:
    """Say what a team that lists the user does."""
    return (
        f"team {team.name!r} lists this user: remove the user from the job file, or the next run "
        "brings the user back"
    )


def _member(team: Team) -> str:
    """Say what a team does that had the user as a member."""
    return (
        f"team {team.name!r} ({team.selection}) had this user as a member when it was last looked "
        "up: remove the user from it in Genesys Cloud, or the next run brings the user back"
    )
