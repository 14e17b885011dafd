"""Write output files again without a user. Owns nothing."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from msgspec.structs import replace

from asyncreport.core.freshness import Freshness
from asyncreport.core.job import Chunk, ChunkLength, Job, Part, Team
from asyncreport.core.person import Person
from asyncreport.core.plan import plan
from asyncreport.export.plans import demand_of
from asyncreport.export.preflight import OutputOwners
from asyncreport.export.targets import all_paths, report_path, targets
from asyncreport.store.lookups import Emails, Members, NameTables
from asyncreport.store.owners import owned, owner_of
from asyncreport.store.parts import PartReader
from asyncreport.store.search import holds
from asyncreport.store.target import Target
from asyncreport.store.written_outputs import Outputs, WrittenFile

#: the parts of each connection, by its name
Parts = Mapping[str, Sequence[Part]]


@dataclass(slots=True)
class Rewritten:
    """The output files that were brought up to date."""

    #: what is remembered of each, by path
    after: dict[Path, WrittenFile] = field(default_factory=dict)
    #: the months whose rows changed, by the path of each file whose content changed
    months: dict[Path, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Marks:
    """What is remembered of a file besides its content."""

    #: records are missing in it
    partial: bool
    #: no name in it is to be looked up by the next run
    names_complete: bool


class OutputFiles:
    """The output files of a job that exist and that it would write now.

    `parts` are the current ones; `now` is an instant. Raise StoreError.
    """

    def __init__(self, job: Job, person: Person, parts: Parts, *, now: int) -> None:
        self._job = job
        self._person = person
        self._outputs = Outputs(job.state_folder)
        self._with_members = with_members(job)
        self._targets = [
            target
            for target in targets(self._with_members, parts, NameTables(job.state_folder))
            if target.has_data and self._is_ours(target.path)
        ]
        #: files that a run would leave as they are
        self._current = {each.path for each in self._targets if self._outputs.is_current(each)}
        self._holes = _holes(self._with_members, parts, now)

    def _is_ours(self, path: Path) -> bool:
        """Tell whether a file exists and this job wrote it."""
        if not path.exists():
            return False
        owner = owner_of(path)
        if owner is None:
            return self._outputs.get(path) is not None
        return os.path.realpath(owner) == os.path.realpath(self._job.state_folder)

    def paths(self) -> list[Path]:
        """List all files that may name the person."""
        return [*self._paths_of_now(), *self.others()]

    def _paths_of_now(self) -> list[Path]:
        """List the files that this job would write now, and the report."""
        paths = [target.path for target in self._targets]
        report = report_path(self._job)
        if report is not None:
            paths.append(report)
        return paths

    def affected(self, records: Parts) -> list[Path]:
        """List the files with records of the person, which are in these parts."""
        return [each.path for each in self._targets if self._has_records(each, records)]

    def _has_records(self, target: Target, records: Parts) -> bool:
        """Tell whether a file has records of the person; where no id is in it, it may have."""
        if any(column.source == "user_id" for column in target.form.table.columns):
            return holds(target.path, self._person)
        connections = {team.connection for team in target.teams}
        months = {part.month for name in connections for part in records.get(name, ())}
        return not months.isdisjoint(target.months)

    def report(self) -> Path | None:
        """Give the report if a run wrote it and it names the person."""
        path = report_path(self._job)
        if path is None or not self._is_ours(path) or not holds(path, self._person):
            return None
        return path

    def others(self) -> Iterator[Path]:
        """Walk the files that this job wrote once and would not write now."""
        ours = set(map(os.path.realpath, self._paths_of_now()))
        for path in sorted(self._files_of_all_states() - ours):
            if Path(path).is_file():
                yield Path(path)

    def _files_of_all_states(self) -> set[str]:
        """Give the files that the job wrote, also when its paths had no `{connection}`."""
        found: set[str] = set()
        for state in state_folders(self._job):
            found |= Outputs(state).by_real_path().keys()
        folders = {Path(path).parent for path in (*found, *map(str, all_paths(self._job)))}
        for state in state_folders(self._job):
            found.update(map(os.path.realpath, owned(folders, state)))
        return found

    def write(
        self, parts: Parts, reader: PartReader, stopped: Event, affected: Container[Path]
    ) -> Rewritten:
        """Write the files from parts without the person; `affected` are those with records of it.

        Raise StoreError, and Interrupted once `stopped` is set.
        """
        done = Rewritten()
        for marks, group in self._groups(parts, affected).items():
            outputs = Outputs(
                self._job.state_folder,
                partial=marks.partial,
                check=OutputOwners(self._job).check_rename,
            )
            done.after |= outputs.write(group, reader, stopped, names_complete=marks.names_complete)
            done.months |= outputs.changed
        return done

    def _groups(self, parts: Parts, affected: Container[Path]) -> dict[_Marks, list[Target]]:
        """Group the files to write by what is to be remembered of them."""
        groups: defaultdict[_Marks, list[Target]] = defaultdict(list)
        for target in self._new_targets(parts):
            if target.path in affected or not self._would_lose(target):
                groups[self._marks(target)].append(target)
        return groups

    def _new_targets(self, parts: Parts) -> list[Target]:
        """List the files with what belongs in each without the person."""
        names = NameTables(self._job.state_folder)
        names.users.forget(self._person.user)
        job = _without_user(self._with_members, self._person.user)
        paths = {target.path for target in self._targets}
        return [each for each in targets(job, parts, names) if each.path in paths]

    def _would_lose(self, target: Target) -> bool:
        """Tell whether a file has another content than the parts, and parts are missing for it."""
        return target.path not in self._current and self._has_hole(target)

    def _marks(self, target: Target) -> _Marks:
        """Say what is to be remembered of a file."""
        last = self._outputs.get(target.path)
        if last is None:
            return _Marks(partial=self._would_lose(target), names_complete=True)
        return _Marks(
            partial=last.partial or self._would_lose(target),
            # An empty digest says that some names could not be looked up.
            names_complete=last.digest != "",
        )

    def _has_hole(self, target: Target) -> bool:
        """Tell whether a file lacks parts, or a team whose members are not known."""
        if len(self._with_members.teams) < len(self._job.teams):
            return True
        connections = {team.connection for team in target.teams}
        return any(
            hole.connection in connections and hole.month in target.months for hole in self._holes
        )


def state_folders(job: Job) -> list[Path]:
    """List the job's state folder, then those that it had with other paths.

    With `{connection}` in its paths each connection has one, without it all have one together.
    """
    others = [job.parts_folder / connection.name for connection in job.connections]
    if job.within is not None:
        others = [job.within]
    return [job.state_folder, *filter(Path.is_dir, others)]


def with_members(job: Job) -> Job:
    """Fill in the users that were last looked up; leave out teams without known users.

    Of listed e-mail addresses, those that are known count: the person's may be erased already.
    """
    members, emails = Members(job.state_folder), Emails(job.state_folder)
    teams = []
    for team in job.teams:
        users: tuple[str, ...] | None = team.users
        if team.selector is not None:
            users = members.of(team)
        elif team.emails:
            users = _with_known(team, emails.of(job.connection(team.connection)))
        if users is not None:
            teams.append(replace(team, users=users, emails=()))
    return replace(job, teams=tuple(teams))


def _with_known(team: Team, ids: Mapping[str, str]) -> tuple[str, ...]:
    """Give the users of a team with those of its addresses that were looked up."""
    known = [ids[email] for email in team.emails if email in ids]
    return tuple(dict.fromkeys([*team.users, *known]))


def _without_user(job: Job, user: str) -> Job:
    """Take a user out of all teams."""
    teams = []
    for team in job.teams:
        users = tuple(each for each in team.users if each != user)
        teams.append(replace(team, users=users))
    return replace(job, teams=tuple(teams))


def _holes(job: Job, parts: Parts, now: int) -> list[Chunk]:
    """List what no part covers and what lies before the end of the newest part.

    What is later was never asked for, and is in no file.
    """
    freshness = Freshness(settle=job.output.settle, now=now)
    found: list[Chunk] = []
    for connection in job.connections:
        of_connection = parts[connection.name]
        newest = max((part.interval.end for part in of_connection), default=0)
        planned = plan(demand_of(job, connection, ChunkLength()), of_connection, freshness)
        stale = {part.number for part in planned.stale}
        missing = [chunk for chunk in planned.chunks if stale.isdisjoint(chunk.replaces)]
        found += [chunk for chunk in missing if chunk.interval.start < newest]
    return found
