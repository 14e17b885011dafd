"""What a run checks before its first request. Reads state folders."""

from __future__ import annotations

import os
from pathlib import Path

from asyncreport.api.query_hints import MAX_QUEUES
from asyncreport.config import MULTI_VALUED
from asyncreport.core.columns import column
from asyncreport.core.errors import ConfigError, StoreError
from asyncreport.core.job import Job
from asyncreport.export.targets import all_paths
from asyncreport.store.atomic import remove_temporary
from asyncreport.store.lock import lock_holder, merge_lock
from asyncreport.store.owners import claim, job_name, owned, owner_of
from asyncreport.store.written_outputs import Outputs, WrittenFile


def query_warnings(job: Job) -> list[str]:
    """Warn about what a reader may misunderstand, and about what the server may refuse."""
    several = [column(dimension) for dimension in job.query.split_by if dimension in MULTI_VALUED]
    warnings = [
        f"an interaction can have several values of {name}: its records do not add up to the total"
        for name in several
    ]
    too_many = too_many_queues(job)
    if too_many:
        warnings.append(too_many)
    return warnings


def too_many_queues(job: Job) -> str | None:
    """Say that a query may have too many queues; None if it has not."""
    queues = len(job.query.filter.queues)
    if queues <= MAX_QUEUES:
        return None
    return (
        f"filter.queues has {queues:,} queues; the server may refuse more than {MAX_QUEUES} in "
        "one query, so use several jobs, or split_by: [queue_id] without this filter"
    )


class OutputOwners:
    """Which job each output file of a job belongs to.

    A file belongs to the job that wrote its current content, or whose run is about to write it.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._paths = all_paths(job)

    def check(self) -> None:
        """Check all files before any work; raise ConfigError."""
        before = _files_without_owner(self._job.parts_folder)
        for path in self._paths:
            owner = owner_of(path) or before.get(os.path.realpath(path))
            if owner is not None:
                self._check_owner(path, owner)

    def warnings(self) -> list[str]:
        """Warn about files that a run replaces although it has not written their content."""
        return [*self._foreign(), *self._edited()]

    def _edited(self) -> list[str]:
        """Warn about files that somebody has changed since a run wrote them."""
        ours = Outputs(self._job.state_folder)
        return [
            f"{path} is not as the last run wrote it: this run replaces it; "
            "to keep it, stop the run and copy the file"
            for path in self._paths
            if ours.is_edited(path)
        ]

    def _foreign(self) -> list[str]:
        """Warn about files that exist and that no job has written."""
        ours = Outputs(self._job.state_folder).by_real_path()
        written = {*ours, *_files_without_owner(self._job.parts_folder)}
        return [
            f"{path} exists, and no job has written it: this run replaces it; "
            "to keep it, stop the run and move the file away"
            for path in self._paths
            if path.is_file() and os.path.realpath(path) not in written and self._is_nobodys(path)
        ]

    def _is_nobodys(self, path: Path) -> bool:
        """Tell whether no other job is the owner; our own claim alone has written nothing."""
        owner = owner_of(path)
        return owner is None or self._is_own(owner)

    def claim(self) -> None:
        """Make the job the owner of its files; its state folder is locked. Raise ConfigError.

        Of two jobs that start at the same time, the second one finds the first one's claim.
        """
        claim(self._paths, self._job.state_folder, self._check_owner)

    def clean_up(self) -> None:
        """Remove the temporary files of a killed run for outputs that the job no longer writes.

        The state folder is locked. Those of the other outputs are removed when they are written.
        """
        ours = {os.path.realpath(path) for path in self._paths}
        for path in self.owned_files():
            if os.path.realpath(path) not in ours:
                remove_temporary(path, self._job.state_folder)

    def owned_files(self) -> list[Path]:
        """List the files that belong to the job in the folders of its outputs, of now and before.

        A file may be gone.
        """
        before = Outputs(self._job.state_folder).by_real_path()
        ours = {os.path.realpath(path) for path in self._paths}
        folders = {Path(path).parent for path in ours | before.keys()}
        return list(owned(folders, self._job.state_folder))

    def check_rename(self, path: Path) -> None:
        """Check, before a file is replaced, that no other job has claimed it; raise ConfigError."""
        owner = owner_of(path)
        if owner is not None and not self._is_own(owner):
            raise ConfigError(_describe_conflict(self._job, path, owner))

    def _is_own(self, folder: Path) -> bool:
        return os.path.realpath(folder) == os.path.realpath(self._job.state_folder)

    def _check_owner(self, path: Path, owner: Path) -> None:
        """Raise ConfigError if a file belongs to the job of another state folder."""
        if self._is_own(owner) or not owner.exists():
            return
        holder = lock_holder(merge_lock(owner))
        if holder is not None:
            raise ConfigError(_describe_running(path, owner, holder))
        if path.exists() and self._belongs_to(path, owner):
            raise ConfigError(_describe_conflict(self._job, path, owner))

    def _belongs_to(self, path: Path, owner: Path) -> bool:
        """Tell whether the current content of a file is that of its owner."""
        theirs = _written(owner, path)
        if theirs is None:
            # The other job does not write it any more.
            return False
        ours = _written(self._job.state_folder, path)
        if ours is None:
            return True
        return theirs.matches(path) and not ours.matches(path)


def _written(folder: Path, path: Path) -> WrittenFile | None:
    """Give what a job remembers of a file; None if it does not write it."""
    return Outputs(folder).by_real_path().get(os.path.realpath(path))


def _files_without_owner(own: Path) -> dict[str, Path]:
    """Find the files of the jobs next to this job, by their paths without links.

    Version 0.1.0 kept no table of owners.
    """
    found = {}
    for path in sorted(own.parent.glob("*/outputs.json")):
        folder = path.parent
        if folder.name == own.name:
            continue
        try:
            files = Outputs(folder).by_real_path()
        except StoreError:
            continue  # The run of that job reports it.
        found.update(dict.fromkeys(files, folder))
    return found


def _describe_running(path: Path, folder: Path, holder: str) -> str:
    """Say that another job is about to write a file; `holder` describes its process."""
    return (
        f"{path} is an output file of the job {job_name(folder)!r}, which is running {holder}, "
        "and two jobs must not write one file; give this job another path"
    )


def _describe_conflict(job: Job, path: Path, folder: Path) -> str:
    """Say that a file belongs to the job of another state folder, and what to do."""
    own = job.state_folder
    steps = "give this job another path, or move the file away"
    if not own.exists() and folder.parent == Path(os.path.realpath(own.parent)):
        steps += (
            f", or, if {folder.name!r} is the old name of this job, rename {folder} to {own.name}"
        )
    return (
        f"{path} is an output file of the job {job_name(folder)!r}, "
        f"and two jobs must not write one file; {steps}; then run again"
    )
