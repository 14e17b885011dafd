"""Take a person out of the JSON files of a state folder, and find copies of its files.

Writes `summary.json`, `names.json`, `members.json` and `emails.json`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from asyncreport.core.job import Job
from asyncreport.core.person import Person, without_person
from asyncreport.export.erase_outputs import Rewritten, state_folders
from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.json_files import read_json, write_json
from asyncreport.store.lookups import OTHER_NAMES, Emails, Names
from asyncreport.store.manifest import Manifest
from asyncreport.store.portable import sync_folder
from asyncreport.store.restatements import NAME as CHANGES
from asyncreport.store.written_outputs import Outputs

_SUMMARY = "summary.json"

#: files of the state folder that may name a person
_WITH_PERSONS = ("names.json", "members.json", "emails.json", _SUMMARY)

#: other files of the state folder
_WITHOUT_PERSONS = (
    "queues.json",
    *(f"{name}s.json" for name in OTHER_NAMES),
    "outputs.json",
    "query.json",
    "merge.lock",
    "merge.lock.json",
)

#: files of a connection's folder, besides its parts
_OF_CONNECTION = ("manifest.jsonl", CHANGES, "answers.json", "lock", "lock.json")


def find_person(job: Job, user: str) -> Person:
    """Read the names and addresses of a user from the look-ups of a job; raise StoreError."""
    names: set[str] = set()
    emails: set[str] = set()
    for folder in state_folders(job):
        names |= Names(folder / "names.json").of_id(user)
        emails |= Emails(folder).of_id(user)
    return Person(user, emails=tuple(sorted(emails)), names=tuple(sorted(names)))


def known_people(job: Job) -> set[tuple[str, str]]:
    """List what the look-ups of a job call people: a name or an address, and the id.

    Raise StoreError.
    """
    found: set[tuple[str, str]] = set()
    for folder in state_folders(job):
        names = Names(folder / "names.json").by_id()
        found.update((name, user) for user, name in names.items())
        found.update(Emails(folder).by_address().items())
    return found


def connection_names(folder: Path) -> list[str]:
    """List the names of connections with a folder, also those that the job no longer has."""
    return sorted(path.parent.name for path in folder.glob("*/manifest.jsonl"))


def files_with_person(job: Job, person: Person) -> list[str]:
    """Name the JSON files of a job's state that name a person; raise StoreError.

    A file in an older state folder is named with its path.
    """
    found = [path for path in _json_files(job) if _changed(path, person) is not None]
    return [path.name if path.parent == job.state_folder else str(path) for path in found]


def erase_person(job: Job, person: Person) -> None:
    """Write the JSON files again without a person; raise StoreError."""
    for path in _json_files(job):
        changed = _changed(path, person)
        if changed is not None:
            write_json(path, changed)


def _json_files(job: Job) -> list[Path]:
    """List the files that may name a person, whether they exist or not."""
    return [folder / name for folder, name in product(state_folders(job), _WITH_PERSONS)]


def _changed(path: Path, person: Person) -> dict[str, Any] | None:
    """Read a file without a person; None: it does not name the person, or does not exist."""
    content = read_json(path, dict[str, Any])
    changed: dict[str, Any] = without_person(content or {}, person)
    return changed if changed != (content or {}) else None


def unused_files(job: Job, manifests: Sequence[Manifest]) -> list[Path]:
    """List the files of a state folder that this version does not use.

    Somebody may have copied a file to restore it later.
    """
    names = (*_WITH_PERSONS, *_WITHOUT_PERSONS)
    known = {folder / name for folder, name in product(state_folders(job), names)}
    for manifest in manifests:
        known |= {manifest.folder / name for name in _OF_CONNECTION}
        known |= {manifest.folder / name for name in manifest.files()}
    found = sorted(job.state_folder.rglob("*"))
    return [path for path in found if path not in known and path.is_file()]


def delete_copies(paths: Sequence[Path]) -> None:
    """Delete files, durably; raise StoreError."""
    for path in paths:
        with oserror_as_store_error(path, "deleted"):
            path.unlink(missing_ok=True)
            sync_folder(path.parent)


def summary_times(folder: Path) -> dict[Path, int]:
    """Give the time of the last summary, in ns, if there is one; raise StoreError."""
    path = folder / _SUMMARY
    with oserror_as_store_error(path, "read"):
        return {path: path.stat().st_mtime_ns} if path.exists() else {}


def update_summary(job: Job, files: Rewritten) -> None:
    """Let the summary of the last run describe the files as they are now; raise StoreError.

    A program that loads the months in the summary then also loads those that changed now.
    """
    path = job.state_folder / _SUMMARY
    summary = read_json(path, dict[str, Any])
    if summary is None:
        return
    # In summaries of version 0.1.0 a file is only a path.
    described = [file for file in summary.get("outputs", ()) if isinstance(file, dict)]
    changed = sum(_update_file(file, files) for file in described)
    if changed:
        _count_records(job, summary["records"], [file["path"] for file in described])
        write_json(path, summary)


def _update_file(file: dict[str, Any], files: Rewritten) -> bool:
    """Describe a file as it is now; tell whether it differs from what the summary says."""
    path = Path(file["path"])
    now = files.after.get(path)
    if now is None or now.sha256 == file["sha256"]:
        return False
    # A killed command wrote the file: nobody knows which of its months changed.
    months = files.months.get(path, now.months)
    file["records"] = sum(now.records.values())
    file["sha256"] = now.sha256
    file["complete"] = not now.partial
    file["months_written"] = sorted({*file["months_written"], *months})
    return True


def _count_records(job: Job, records: dict[str, int], paths: Iterable[str]) -> None:
    """Count each team's records in the files of the first output, which have each record once."""
    template = re.escape(str(Path(job.output.paths[0]).absolute()))
    counted = re.compile(template.replace(re.escape("{month}"), r"\d{4}-\d\d"))
    outputs = Outputs(job.state_folder)
    written = [outputs.get(Path(path)) for path in paths if counted.fullmatch(path)]
    known = [file for file in written if file is not None]
    if len(known) == len(written):
        for team in records:
            records[team] = sum(file.records.get(team, 0) for file in known)
