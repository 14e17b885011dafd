"""Whenever the process or the power dies, the folder has the old state or the new one.

The store's calls are recorded. A model of a disk then plays them up to each call. Of what was not
synced it keeps nothing, half, zeros or all. Each outcome is written to a folder and opened.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
import pytest

from asyncreport.core.errors import StoreError
from asyncreport.core.job import Part
from asyncreport.store.erase import PartsWithoutUser, UserParts
from asyncreport.store.parts import PartReader
from asyncreport.store.remote import NOWHERE
from asyncreport.store.state import State
from tests.unit.store.facts import (
    CONNECTION,
    START,
    block,
    blocks,
    chunk,
    hours,
    open_state,
    row,
)

#: name of the call, name of the file, and what else it was given
Call = tuple[str, str, Any]


@dataclass
class Inode:
    """A file's bytes: as they are, and as they were when last synced."""

    now: bytes = b""
    kept: bytes = b""


@dataclass
class Disk:
    """One folder, played call by call."""

    now: dict[str, Inode] = field(default_factory=dict)
    kept: dict[str, Inode] = field(default_factory=dict)

    def play(self, call: Call) -> None:
        name, file, given = call
        if name == "open":
            self.now.setdefault(file, Inode())
        elif name == "write":
            self.now[file].now += given
        elif name == "ftruncate":
            self.now[file].now = self.now[file].now[:given]
        elif name == "fsync" and file == ".":
            self.kept = dict(self.now)
        elif name == "fsync":
            self.now[file].kept = self.now[file].now
        elif name == "replace":
            self.now[given] = self.now.pop(file)
        else:
            self.now.pop(file, None)

    def outcomes(self) -> Iterator[dict[str, bytes]]:
        """Give the folders that a power cut may leave, and last what a killed process leaves."""
        changed = sorted(
            name
            for name in self.kept.keys() | self.now.keys()
            if self.kept.get(name) is not self.now.get(name)
        )
        # Each name that was not synced may survive or not.
        for fates, survives in product(
            product((False, True), repeat=len(changed)), (_synced, _half, _zeros, _all)
        ):
            lost = {name for name, survived in zip(changed, fates, strict=True) if not survived}
            names = {name: inode for name, inode in self.now.items() if name not in lost}
            names |= {name: inode for name, inode in self.kept.items() if name in lost}
            yield {name: survives(inode) for name, inode in names.items()}


def _synced(inode: Inode) -> bytes:
    return inode.kept


def _half(inode: Inode) -> bytes:
    if not inode.now.startswith(inode.kept):
        return inode.now
    return inode.now[: (len(inode.kept) + len(inode.now)) // 2]


def _zeros(inode: Inode) -> bytes:
    return inode.kept + bytes(max(0, len(inode.now) - len(inode.kept)))


def _all(inode: Inode) -> bytes:
    return inode.now


@contextmanager
def _recorded(folder: Path) -> Iterator[list[Call]]:
    """Record every call that changes a folder, in order."""
    calls: list[Call] = []
    files: dict[int, str] = {}
    real = {
        name: getattr(os, name)
        for name in ("open", "write", "fsync", "ftruncate", "replace", "unlink")
    }

    def opened(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        descriptor: int = real["open"](path, flags, *rest, **named)
        files.pop(descriptor, None)
        if Path(path) == folder or Path(path).parent == folder:
            files[descriptor] = "." if Path(path) == folder else Path(path).name
            if flags & os.O_CREAT:
                calls.append(("open", files[descriptor], None))
        return descriptor

    def on_descriptor(name: str) -> Callable[..., Any]:
        def call(descriptor: int, *given: Any) -> Any:
            done = real[name](descriptor, *given)
            if descriptor in files:
                # Bytes as they went out: the caller may go on with the same buffer.
                what = bytes(given[0][:done]) if name == "write" else given[0] if given else None
                calls.append((name, files[descriptor], what))
            return done

        return call

    def replaced(old: Any, new: Any) -> None:
        real["replace"](old, new)
        if Path(old).parent == folder:
            calls.append(("replace", Path(old).name, Path(new).name))

    def unlinked(path: Any) -> None:
        real["unlink"](path)
        if Path(path).parent == folder:
            calls.append(("unlink", Path(path).name, None))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", opened)
        patch.setattr(os, "replace", replaced)
        patch.setattr(os, "unlink", unlinked)
        for name in ("write", "fsync", "ftruncate"):
            patch.setattr(os, name, on_descriptor(name))
        yield calls


#: the second replaces the first, the folder's old state; the third has other user ids
CHUNKS = [
    chunk(hours(0, 2), ["a", "b"]),
    chunk(hours(0, 2), ["a", "b"], replaces=(1,)),
    chunk(hours(2, 3), ["c"]),
]
#: numbers of the current parts after each commit
CURRENT = [[1], [2], [2, 3]]


def _save(state: State, number: int) -> Part:
    of = CHUNKS[number]
    found = blocks(of.users or (), of.interval)
    if number == 1:
        found[0] = block(found[0].user, [row(0, handled=9), row(1)])
    return asyncio.run(state.save(of, found, fetched_at=START + number))


def _trace(folder: Path, tail: bytes) -> tuple[Disk, list[Call]]:
    """Make a folder with one part and a torn tail, then open it, save twice and clean up.

    Give the disk before the opening, and the calls.
    """
    with open_state(folder) as state:
        _save(state, 0)
    inside = folder / "default"
    with (inside / "manifest.jsonl").open("ab") as file:
        file.write(tail)
    (inside / ".asyncreport-0123456789abcdef.tmp").write_bytes(b"left by a killed run")
    before = _inodes(inside)
    with _recorded(inside) as calls, open_state(folder) as state:
        asyncio.run(state.mark_for_refresh(state.current_parts(CONNECTION)))
        for number in (1, 2):
            _save(state, number)
            calls.append(("saved", "", number))
        state.delete_replaced(Event(), at=START)
    return Disk(dict(before), dict(before)), calls


def _inodes(folder: Path) -> dict[str, Inode]:
    """Read the files of a folder as a disk has them."""
    return {
        path.name: Inode(path.read_bytes(), path.read_bytes())
        for path in folder.iterdir()
        if path.name != "lock"
    }


def _write(outcome: dict[str, bytes], folder: Path) -> Path:
    """Write what a power cut left, as the folder of a connection."""
    inside = folder / "default"
    inside.mkdir(parents=True)
    for name, content in outcome.items():
        (inside / name).write_bytes(content)
    return inside


def _check(outcome: dict[str, bytes], folder: Path, saved: int) -> None:
    """Check that a folder opens in the state of the last finished save or the next one.

    It is complete, and the next save works.
    """
    inside = _write(outcome, folder)
    with open_state(folder) as state:
        current = state.current_parts(CONNECTION)
        assert [part.number for part in current] in CURRENT[saved : saved + 2]
        with PartReader(folder, NOWHERE) as reader:
            for part in current:
                found = [
                    reader.block(part, entry).count(b"\n") for entry in reader.checked_index(part)
                ]
                assert found == [(part.interval.end - part.interval.start) // 3_600_000] * len(
                    part.users or ()
                )
        assert list(folder.rglob("*.tmp")) == []
        # A change is listed once, whether the old part still exists or not.
        state.delete_replaced(Event(), at=START)
        path = inside / "changes.jsonl"
        assert (path.read_bytes().count(b"\n") if path.exists() else 0) == (current[0].number == 2)
        again = _save(state, 2)
        assert state.current_parts(CONNECTION) == [*current, again]


def _cuts(disk: Disk, calls: Sequence[Call]) -> Iterator[tuple[int, dict[str, bytes]]]:
    """Walk the outcomes of a power cut after every call, each with the last save that finished.

    Two cuts often leave equal folders. A folder comes once for each save: what is found in it does
    not depend on the call.
    """
    seen: set[tuple[int, frozenset[tuple[str, bytes]]]] = set()
    saved = 0
    for call in [("open", "lock", None), *calls]:
        if call[0] == "saved":
            saved = call[2]
            continue
        disk.play(call)
        for outcome in disk.outcomes():
            folder = saved, frozenset(outcome.items())
            if folder not in seen:
                seen.add(folder)
                yield saved, outcome


def _after_each_cut(disk: Disk, calls: Sequence[Call], folder: Path) -> Iterator[Path]:
    """Write every outcome of a power cut after every call; give the folder of each."""
    for n, (_, outcome) in enumerate(_cuts(disk, calls)):
        state = folder / str(n)
        _write(outcome, state)
        yield state


def _play(disk: Disk, calls: Sequence[Call], folder: Path) -> int:
    """Check every outcome of a power cut after every call; count them."""
    count = 0
    for saved, outcome in _cuts(disk, calls):
        _check(outcome, folder / str(count), saved)
        count += 1
    return count


@pytest.mark.parametrize("tail", [b"", b'{"part":2,"finger'], ids=["whole", "torn"])
def test_a_power_cut_after_any_call_leaves_the_old_state_or_the_new_one(
    tail: bytes, tmp_path: Path
) -> None:
    disk, calls = _trace(tmp_path / "state", tail)
    (tmp_path / "cut").mkdir()
    assert _play(disk, calls, tmp_path / "cut") > 40


def _trace_of_compaction(folder: Path) -> tuple[Disk, list[Call]]:
    """Make a folder where most parts were replaced, then open it, clean up and save once."""
    again = (CHUNKS[0], CHUNKS[1], msgspec.structs.replace(CHUNKS[1], replaces=(2,)))
    with open_state(folder) as state:
        for of in again:
            found = blocks(of.users or (), of.interval)
            asyncio.run(state.save(of, found, fetched_at=START))
    inside = folder / "default"
    before = _inodes(inside)
    with _recorded(inside) as calls, open_state(folder) as state:
        state.delete_replaced(Event(), at=START)
        _save(state, 2)
    assert ("replace", "manifest.jsonl") in [(call[0], call[2]) for call in calls]
    return Disk(dict(before), dict(before)), calls


def test_a_power_cut_while_a_manifest_is_shortened_loses_no_part(tmp_path: Path) -> None:
    disk, calls = _trace_of_compaction(tmp_path / "state")
    for folder in _after_each_cut(disk, calls, tmp_path):
        with open_state(folder) as state, PartReader(folder, NOWHERE) as reader:
            current = state.current_parts(CONNECTION)
            assert [part.number for part in current] in ([3], [3, 4])
            assert reader.damaged(current) == []
            state.delete_replaced(Event(), at=START)
            again = _save(state, 2)
            assert state.current_parts(CONNECTION) == [*current, again]


def _erase(folder: Path) -> None:
    """Erase the user `a`."""
    with open_state(folder) as state:
        of_connection = state.folders["default"]
        state.delete_replaced(Event(), at=START)
        with PartReader(folder, NOWHERE) as reader:
            found = UserParts.find(of_connection.manifest, "a", reader)
            if found:
                new = PartsWithoutUser(of_connection, "a", found)
                new.write(reader, Event())
                new.commit()


def _trace_of_erasure(folder: Path) -> tuple[Disk, list[Call]]:
    """Make a folder with a change of two users, then erase one of them."""
    with open_state(folder) as state:
        for number, of in enumerate(CHUNKS[:2]):
            found = [block(user, [row(0, handled=number)]) for user in of.users or ()]
            asyncio.run(state.save(of, found, fetched_at=START + number))
        state.delete_replaced(Event(), at=START)
    inside = folder / "default"
    before = _inodes(inside)
    with _recorded(inside) as calls:
        _erase(folder)
    return Disk(dict(before), dict(before)), calls


def test_a_power_cut_while_a_user_is_erased_loses_nobody_else(tmp_path: Path) -> None:
    """The parts are the old ones or the new ones, and the same command finishes."""
    disk, calls = _trace_of_erasure(tmp_path / "state")
    for folder in _after_each_cut(disk, calls, tmp_path):
        with open_state(folder) as state, PartReader(folder, NOWHERE) as reader:
            (part,) = state.current_parts(CONNECTION)
            users = tuple(entry.user for entry in reader.checked_index(part))
            assert part.users == users
            assert users in (("a", "b"), ("b",))
        _erase(folder)
        inside = folder / "default"
        left = [path for path in inside.iterdir() if b'"a"' in path.read_bytes()]
        assert left == []
        assert (inside / "changes.jsonl").read_bytes().count(b"\n") == 1


@pytest.mark.model
@pytest.mark.parametrize(
    "forgotten",
    [
        lambda call: call[0] == "fsync" and call[1].startswith(".asyncreport"),
        lambda call: call[0] == "fsync" and call[1] == ".",
        lambda call: call[0] == "fsync" and call[1] == "manifest.jsonl",
    ],
    ids=["the file", "the folder", "the manifest"],
)
def test_the_model_notices_when_something_is_not_synced(
    forgotten: Callable[[Call], bool], tmp_path: Path
) -> None:
    """The test above can fail: it does so if any one of the syncs is left out."""
    disk, calls = _trace(tmp_path / "state", b"")
    (tmp_path / "cut").mkdir()
    with pytest.raises((AssertionError, StoreError)):
        _play(disk, [call for call in calls if not forgotten(call)], tmp_path / "cut")
