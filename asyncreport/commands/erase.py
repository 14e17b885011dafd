"""Erase one person from everything that a job has stored, and say what was done."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from asyncreport.commands.erase_choice import find_id
from asyncreport.commands.one_by_one import worst
from asyncreport.core.apart import apart
from asyncreport.core.job import Job
from asyncreport.core.text import counted, first_lines
from asyncreport.export.erase import Erased, erase_user, find_user
from asyncreport.store.erase import UserParts
from asyncreport.terminal.signals import run_until_signal
from asyncreport.terminal.stderr import lines_shown, say
from asyncreport.terminal.stdout import show_lines

#: the exit code if files are left that name the person
_LEFT = 1


#: what no search can find
_NOT_SEARCHED = (
    "not searched: pages that `asyncreport report -o` wrote, and copies of files in other places"
)


def execute(job: Job, given: str, *, now: int, dry_run: bool) -> int:
    """Erase a user from a job, or show what would be erased; give the worst exit code.

    `given` is an id, a name or an e-mail address.
    """
    user = find_id(apart(job), given)
    if user != given.lower():
        # Before the name is erased: if the command is killed, only the id finds the rest.
        say(f"{given} is user {user}")
    exit_code = worst(job, partial(_erase, user=user, now=now, dry_run=dry_run))
    show_lines([_NOT_SEARCHED])
    return exit_code


def _erase(job: Job, *, user: str, now: int, dry_run: bool) -> int:
    """Erase the user of an id from a job, or show what would be erased; give the exit code."""
    if dry_run:
        erased = find_user(job, user, now=now)
        show_lines(_describe(job, erased, _WOULD))
    else:
        erased = run_until_signal(erase_user(job, user, now=now, say=say))
        show_lines(_describe(job, erased, _DONE))
    for team in erased.returning:
        say(f"warning: {team}")
    for path in erased.left:
        say(f"warning: {_left(path)}")
    return _LEFT if erased.left else 0


#: what is said of records, of output files, and of copies
_Verbs = tuple[str, str, str]
_DONE: _Verbs = ("erased", "wrote", "deleted")
_WOULD: _Verbs = ("would erase", "would write", "would delete")


def _describe(job: Job, erased: Erased, verbs: _Verbs) -> Iterator[str]:
    """Say what was done: a line for each place, then the sum."""
    if not erased:
        yield f"{job.name}: nothing is stored about user {erased.user}"
        return
    erase = verbs[0]
    for name, parts in erased.parts.items():
        for fact in _parts(parts):
            yield f"{name}: {erase} {fact}"
    for fact in _files(erased, verbs):
        yield f"{job.name}: {fact}"
    yield f"{job.name}: {erase} user {erased.user}: {_sum(erased)}"


def _files(erased: Erased, verbs: _Verbs) -> Iterator[str]:
    """Say what was done to files."""
    erase, write, delete = verbs
    if erased.state_files:
        yield f"{erase} the user from {', '.join(erased.state_files)}"
    outputs = [f"{write} {_output(path, erased)}" for path in erased.outputs]
    yield from first_lines(outputs, "output file", limit=lines_shown())
    copies = [
        f"{delete} {path}, which names the user and is not used by asyncreport"
        for path in erased.copies
    ]
    yield from first_lines(copies, "file", limit=lines_shown())
    if erased.report is not None:
        yield f"{delete} {erased.report}; the next run makes it again without the user"


def _output(path: Path, erased: Erased) -> str:
    """Describe an output file; mark it if records are missing in it."""
    mark = " (partial: the job has gaps; run it again)" if path in erased.partial else ""
    return f"{path} again without the user{mark}"


def _parts(parts: UserParts) -> Iterator[str]:
    """Say what the folder of a connection has."""
    if parts.records:
        records = counted(sum(parts.records.values()), "record")
        yield f"{records} in {counted(len(parts.records), 'part')}"
    if parts.listed:
        yield f"the id from the user lists of {counted(parts.listed, 'part')}"
    if parts.changes:
        yield f"{counted(parts.changes, 'line')} of changes.jsonl"


def _sum(erased: Erased) -> str:
    """Count what is erased in all."""
    records = sum(sum(parts.records.values()) for parts in erased.parts.values())
    files = len(erased.outputs)
    return f"{counted(records, 'record')}, {counted(files, 'output file')}"


def _left(path: Path) -> str:
    """Say what to do about a file that names the person."""
    return (
        f"{path} names this user, or cannot be searched, and this job does not write it now: "
        "delete it; or run this command with the range that it was written for "
        "(--set range.start=...); or, if the job changed since, run the job first"
    )
