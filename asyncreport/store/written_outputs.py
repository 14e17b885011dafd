"""What each output file was made from, so that a file without changes is not touched.

Owns `outputs.json`.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from hashlib import file_digest, sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import orjson
from msgspec import Struct, field
from msgspec.structs import replace

from asyncreport.core.fingerprint import LAYOUT
from asyncreport.core.job import Part, Team
from asyncreport.formats import Conversion, Convert
from asyncreport.store.disk_errors import oserror_as_store_error
from asyncreport.store.drafts import Drafts
from asyncreport.store.folders import make_folder
from asyncreport.store.json_files import read_json, write_json
from asyncreport.store.merge_outputs import Merged, merge
from asyncreport.store.parts import PartReader
from asyncreport.store.replacement import SCRATCH, Replacement
from asyncreport.store.space import check_counts, check_records, check_space
from asyncreport.store.target import Target


class WrittenFile(Struct, frozen=True, kw_only=True):
    """An output file and what it was made from."""

    #: of everything that can shape the file, known without reading a part; empty: look again
    digest: str = field(name="quick")
    #: bytes
    size: int
    mtime_ns: int
    #: hex
    sha256: str
    #: by the team's name
    records: dict[str, int]
    #: something was missing when it was written
    partial: bool = False
    #: SHA-256 of the JSON lines that it was converted from; empty: it is JSON lines
    lines: str = ""
    #: digest of its format; empty: it is JSON lines
    style: str = ""
    #: by month: SHA-256 of its lines, in hex; empty: not known
    months: dict[str, str] = {}

    def is_made_of(self, lines: str, style: str) -> bool:
        """Tell whether it was converted from these lines into this format."""
        return (self.lines, self.style) == (lines, style)

    @property
    def lines_sha256(self) -> str:
        """Give the SHA-256 of the file as JSON lines."""
        return self.lines or self.sha256

    def matches(self, path: Path) -> bool:
        """Tell whether the file still has the size and time it was left with; raise StoreError."""
        with oserror_as_store_error(path, "read"):
            try:
                found = path.stat()
            except FileNotFoundError:
                return False
        return (found.st_size, found.st_mtime_ns) == (self.size, self.mtime_ns)


class Outputs:
    """The output files that one state folder remembers.

    `partial`: something is missing in the files that are written now. `check` is called right
    before a file is replaced, and may raise an error.
    """

    def __init__(
        self,
        folder: Path,
        *,
        partial: bool = False,
        check: Callable[[Path], None] = lambda _: None,
    ) -> None:
        self._folder = folder
        self._path = folder / "outputs.json"
        self._files = read_json(self._path, dict[str, WrittenFile]) or {}
        self._partial = partial
        self._check = check
        #: the months whose rows `write` wrote, by the file whose content it changed
        self.changed: dict[Path, list[str]] = {}

    def unchanged(self, target: Target) -> WrittenFile | None:
        """Give what is known of a file that needs no work; no part is read. Raise StoreError."""
        file = self._current(target.path, _digest(target))
        return file if file is not None and file.partial == self._partial else None

    def get(self, path: Path) -> WrittenFile | None:
        """Give what was remembered when a file was last written, even if it has changed since."""
        return self._files.get(str(path))

    def is_current(self, target: Target) -> bool:
        """Tell whether a file is what a run would write now; no part is read. Raise StoreError."""
        return self._current(target.path, _digest(target)) is not None

    def is_made_from(self, path: Path, digest: str) -> bool:
        """Tell whether a file was made from this, and has not changed since; raise StoreError."""
        return self._current(path, digest) is not None

    def is_partial(self, path: Path) -> bool:
        """Tell whether a file is still as a run with missing data left it; raise StoreError."""
        file = self.get(path)
        return file is not None and file.partial and file.matches(path)

    def is_edited(self, path: Path) -> bool:
        """Tell whether a file has another content than a run wrote; raise StoreError."""
        file = self.get(path)
        if file is None or not path.is_file() or file.matches(path):
            return False
        # A copy of the same content has another time; somebody may have restored it.
        with oserror_as_store_error(path, "read"), path.open("rb") as content:
            return file_digest(content, "sha256").hexdigest() != file.sha256

    def remember(self, path: Path, content: bytes, digest: str) -> None:
        """Remember a file without records that was just written; raise StoreError."""
        self._files[str(path)] = WrittenFile(
            digest=digest,
            size=len(content),
            mtime_ns=_mtime(path),
            sha256=sha256(content).hexdigest(),
            records={},
            partial=self._partial,
        )
        write_json(self._path, self._files)

    def forget_others(self, paths: Container[Path]) -> list[Path]:
        """Forget the files that the job does not write any more, so that another job may.

        List those that still exist. Raise StoreError.
        """
        # By the names as they are stored: somebody may have edited them, as in `/a//b`.
        others = {name: Path(name) for name in self._files if Path(name) not in paths}
        if others:
            for name in others:
                del self._files[name]
            write_json(self._path, self._files)
        return [path for path in others.values() if path.exists()]

    def by_real_path(self) -> dict[str, WrittenFile]:
        """Give the remembered files by their paths without links."""
        return {os.path.realpath(name): file for name, file in self._files.items()}

    def paths(self) -> list[str]:
        """List the paths that are remembered."""
        return sorted(self._files)

    def write(
        self,
        targets: Sequence[Target],
        reader: PartReader,
        stopped: Event,
        *,
        drafts: Drafts | None = None,
        names_complete: bool = True,
    ) -> dict[Path, WrittenFile]:
        """Bring files up to date; a file whose content stays the same is not touched.

        `drafts` may have the first months of files; those that are not taken stay where they are.
        Unless `names_complete`, the next run looks at every file again, for the missing names.
        Raise StoreError, and Interrupted once `stopped` is set.
        """
        results = {}
        before = dict(self._files)
        try:
            for target, file in self._update(targets, reader, stopped, drafts or Drafts()):
                results[target.path] = file
                self._files[str(target.path)] = file if names_complete else replace(file, digest="")
        finally:
            # Also after an error: the files before it were replaced, and must not be merged again.
            if self._files != before:
                write_json(self._path, self._files)
        # In the order of the job, whichever was complete first.
        return {target.path: results[target.path] for target in targets}

    def _update(
        self,
        targets: Iterable[Target],
        reader: PartReader,
        stopped: Event,
        drafts: Drafts,
    ) -> Iterator[tuple[Target, WrittenFile]]:
        """Give each file once it is up to date; those that need no work first."""
        outdated = []
        for target in targets:
            file = self._current(target.path, _digest(target))
            if file is None:
                outdated.append(target)
            else:
                yield target, replace(file, partial=self._partial)
        groups = _checked_groups(outdated, reader)
        # By path, which no two files share.
        same = {group[0].path: group for group in groups}
        sources = [group[0] for group in groups]
        begin = partial(drafts.take, check=self._check)
        with closing(merge(sources, reader, stopped, begin)) as files:
            for source, merged in files:
                for target in same[source.path]:
                    yield target, self._written(target, merged, stopped)

    def _written(self, target: Target, merged: Merged, stopped: Event) -> WrittenFile:
        """Describe a file whose lines were just merged; convert it if it has another format."""
        convert = target.form.format.convert
        if convert is not None:
            return self._converted(target, merged, convert, stopped)
        if merged.changed:
            self._note_change(target, merged)
        return self._file(target, merged, merged.size, merged.sha256)

    def _converted(
        self,
        target: Target,
        merged: Merged,
        convert: Convert,
        stopped: Event,
    ) -> WrittenFile:
        """Convert a file, unless it was converted from the same lines."""
        style = _style(target)
        last = self.get(target.path)
        if last is not None and last.is_made_of(merged.sha256, style) and last.matches(target.path):
            return self._file(target, merged, last.size, last.sha256, style)
        check_records(target, sum(merged.records.values()))
        new = Replacement(target.path, owner=self._folder)
        size, sha256 = self._convert(new, target, merged, convert, stopped)
        return self._file(target, merged, size, sha256, style)

    def _convert(
        self,
        new: Replacement,
        target: Target,
        merged: Merged,
        convert: Convert,
        stopped: Event,
    ) -> tuple[int, str]:
        """Write a file of another format; give its bytes and its SHA-256."""
        make_folder(target.path.parent)

        def write(path: Path) -> None:
            with TemporaryDirectory(prefix=SCRATCH, dir=self._folder) as scratch:
                convert(
                    Conversion(
                        source=merged.path,
                        target=path,
                        table=target.form.table,
                        scratch=Path(scratch),
                        stopped=stopped,
                    )
                )

        needs = partial(round, merged.size * target.form.format.share)
        with oserror_as_store_error(new.path, "written", needs):
            new.fill(write)
            new.finish(keep_equal=True, before_replace=lambda: self._check(target.path))
        if new.sink.changed:
            self._note_change(target, merged)
        return new.content

    def _note_change(self, target: Target, merged: Merged) -> None:
        """Note the months whose lines differ from those that were written last."""
        last = self.get(target.path)
        before = {} if last is None else last.months
        self.changed[target.path] = [
            month
            for month in target.months
            if not merged.months or merged.months[month] != before.get(month)
        ]

    def _file(
        self,
        target: Target,
        merged: Merged,
        size: int,
        sha256: str,
        style: str = "",
    ) -> WrittenFile:
        """Describe a file that is up to date."""
        return WrittenFile(
            digest=_digest(target),
            size=size,
            mtime_ns=_mtime(target.path),
            sha256=sha256,
            records=merged.records,
            partial=self._partial,
            lines=merged.sha256 if style else "",
            style=style,
            months=merged.months,
        )

    def _current(self, path: Path, digest: str) -> WrittenFile | None:
        """Find a file that was made from the same and has not changed since."""
        file = self.get(path)
        if file is None or file.digest != digest or not file.matches(path):
            return None
        return file


def _mtime(path: Path) -> int:
    """Give the time of a file's last change, in ns; raise StoreError."""
    with oserror_as_store_error(path, "read"):
        return path.stat().st_mtime_ns


def _shape_of(team: Team) -> tuple[str, str, tuple[str, ...] | None]:
    """Give what a team adds to a digest: its name, connection and users; None: everyone."""
    if team.everyone:
        return team.name, team.connection, None
    return team.name, team.connection, team.users


def _digest(target: Target) -> str:
    """Hash all that can shape a file: teams, names, and which parts overlap its months and range.

    It may differ though the file would not, as after a new name of a user of other months.
    """
    teams = []
    names = {}
    for team in target.teams:
        teams.append(_shape_of(team))
        names[team.connection] = target.sources[team.connection].names_digest
    parts = []
    for month in target.months:
        for connection in names:
            parts += _parts(target, connection, month)
    hashed = [LAYOUT, teams, list(names.items()), parts, *_form_of(target)]
    return sha256(orjson.dumps(hashed)).hexdigest()


def _form_of(target: Target) -> list[object]:
    """List what shapes a file besides the records; nothing for JSON lines of all columns.

    So the digests of earlier versions stay right.
    """
    form = target.form
    found: list[object] = [str(each) for each in (form.rows, form.style) if each is not None]
    if form.rollup is not None:
        found.append(str(target.interval))
        if form.rollup.fill:
            found.append(_known_until(target))
    return found


def _known_until(target: Target) -> list[str]:
    """List how far each part reaches that ended in the future when it was fetched."""
    found: list[Part] = []
    for team in target.teams:
        for month in target.months:
            found += target.parts(team.connection, month)
    early = [part for part in found if part.fetched_at < part.interval.end]
    return [f"{part.interval} {part.fetched_at}" for part in early]


def _style(target: Target) -> str:
    """Hash what the bytes of a converted file depend on besides its lines."""
    table = target.form.table
    return sha256(f"{target.form.style}{table.columns}".encode()).hexdigest()


def _checked_groups(targets: Sequence[Target], reader: PartReader) -> list[list[Target]]:
    """Group files, and check that they can be written; raise ConfigError or StoreError."""
    check_counts(targets, reader)
    groups = merged_groups(targets)
    if any(map(_is_converted, targets)):
        check_space(groups, reader)
    return groups


def merged_groups(targets: Iterable[Target]) -> list[list[Target]]:
    """Group the files whose lines are merged once; the merge writes the first file of a group."""
    # JSON lines first: the others are converted from them.
    return by_content(sorted(targets, key=_is_converted))


def by_content(targets: Iterable[Target]) -> list[list[Target]]:
    """Group the files that are made from the same lines; a file of JSON lines comes first.

    A second file of the same JSON lines is a group of its own: the merge writes it too.
    """
    groups: defaultdict[object, list[Target]] = defaultdict(list)
    for target in targets:
        content = target.content
        if groups[content] and not _is_converted(target):
            groups[target.path] = [target]
        else:
            groups[content].append(target)
    return list(groups.values())


def _is_converted(target: Target) -> bool:
    """Tell whether a file is converted from JSON lines."""
    return target.form.format.convert is not None


def _parts(target: Target, connection: str, month: str) -> list[tuple[str, str, int, int]]:
    """List the parts of a month, and how much of each lies in the range.

    The range itself is not hashed: if it grows by a day, the months before stay the same.
    """
    found = []
    for part in target.parts(connection, month):
        start = max(part.interval.start, target.interval.start)
        end = min(part.interval.end, target.interval.end)
        found.append((connection, part.sha256, start, end))
    return found
