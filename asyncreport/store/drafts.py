"""Output files whose first months are written while later months are still fetched.

Owns these files until the merge takes them. A draft changes nothing that anybody sees: it is the
temporary file of the merge. The merge goes on with it only if all that shaped its months is still
the same, and else begins again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Self

from asyncreport.core.job import Part
from asyncreport.store.merge_outputs import NewFile, new_file, write_month
from asyncreport.store.parts import PartReader
from asyncreport.store.target import Target

#: names by id
_Names = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class _Written:
    """What shaped one connection's lines of one month."""

    connection: str
    month: str
    parts: Sequence[Part]
    #: of the users and queues in these parts
    users: _Names
    queues: _Names

    def is_current(self, target: Target) -> bool:
        """Tell whether the same shapes the lines now."""
        source = target.sources[self.connection]
        return (
            self.parts == target.parts(self.connection, self.month)
            and _agree(self.users, source.names)
            and _agree(self.queues, source.queues or {})
        )


def _agree(written: _Names, names: Mapping[str, str | None]) -> bool:
    """Tell whether names are still the same."""
    return all(names.get(each) == name for each, name in written.items())


@dataclass(slots=True)
class _Draft:
    """A file that has some of its months."""

    file: NewFile
    written: list[_Written] = field(default_factory=list)

    def is_current(self, target: Target) -> bool:
        """Tell whether the file begins as the file of a target does."""
        same_form = replace(self.file.target, sources={}) == replace(target, sources={})
        return same_form and all(written.is_current(target) for written in self.written)


class Drafts:
    """The drafts of one run, by path."""

    def __init__(self) -> None:
        self._drafts: dict[Path, _Draft] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def may_add(self, target: Target, month: str) -> bool:
        """Tell whether a month is the next one of a file; a file without months has no draft."""
        draft = self._drafts.get(target.path)
        left = target.months if draft is None else draft.file.months_left
        return month in left[:1]

    def __contains__(self, path: Path) -> bool:
        return path in self._drafts

    def add_month(
        self, targets: Sequence[Target], month: str, reader: PartReader, stopped: Event
    ) -> None:
        """Write the next month of files, from parts and names that are complete for it.

        Raise StoreError, and Interrupted once `stopped` is set; both discard all drafts.
        """
        try:
            for target in targets:
                self._prepare(target, month, reader)
            write_month(
                [self._drafts[target.path].file for target in targets], month, reader, stopped
            )
        except BaseException:
            self.discard()
            raise

    def _prepare(self, target: Target, month: str, reader: PartReader) -> None:
        """Note what will shape the lines of a month; begin the file if it is the first one."""
        draft = self._drafts.get(target.path)
        if draft is None:
            draft = self._drafts[target.path] = _Draft(new_file(target, reader))
        else:
            draft.file.go_on(target, reader)
        for connection in {team.connection for team in target.teams}:
            draft.written.append(_written(target, connection, month, reader))

    def take(self, target: Target, reader: PartReader, check: Callable[[Path], None]) -> NewFile:
        """Give the draft of a file if it is still right, or else a file without content.

        The caller owns it. `check` is called right before an old file is replaced.
        """
        draft = self._drafts.pop(target.path, None)
        if draft is not None and draft.is_current(target):
            draft.file.go_on(target, reader, check)
            return draft.file
        # It has the same temporary file as the draft, and empties it.
        return new_file(target, reader, check)

    def discard(self) -> None:
        """Remove the drafts that the merge did not take; raise StoreError."""
        while self._drafts:
            self._drafts.popitem()[1].file.discard()


def _written(target: Target, connection: str, month: str, reader: PartReader) -> _Written:
    """Say what shapes the lines of a month; raise StoreError."""
    parts = target.parts(connection, month)
    source = target.sources[connection]
    users = reader.users(parts)
    queues = source.queues
    return _Written(
        connection=connection,
        month=month,
        parts=parts,
        users={user: source.names.get(user) for user in users},
        queues={} if queues is None else {each: queues.get(each) for each in reader.queues(parts)},
    )
