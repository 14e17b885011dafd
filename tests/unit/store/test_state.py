"""One process at a time writes a private state folder, and no commit is left half done."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import msgspec
import pytest

from asyncreport.core.errors import StoreError
from asyncreport.core.job import Chunk, Part
from asyncreport.core.records import Block
from asyncreport.store.commit import PartFolder
from asyncreport.store.manifest import Manifest
from asyncreport.store.parts import PartReader, part_name
from asyncreport.store.remote import NOWHERE, Nowhere
from asyncreport.store.restatements import Restatements
from asyncreport.store.state import State
from tests.manifests import edit_lines
from tests.unit.store.facts import (
    CONNECTION,
    FILTER,
    START,
    blocks,
    chunk,
    hours,
    open_state,
    part_file,
)

FIRST, SECOND = chunk(hours(0, 2), ["a", "b"]), chunk(hours(2, 4), ["a", "b"])


def _save(state: State, *chunks: Chunk) -> list[Part]:
    """Save chunks concurrently; each user has one row per hour."""

    async def together() -> list[Part]:
        return await asyncio.gather(
            *(
                state.save(
                    one,
                    blocks(one.users or [None], one.interval),
                    fetched_at=START,
                )
                for one in chunks
            )
        )

    return asyncio.run(together())


def test_saved_parts_are_current_when_the_folder_is_opened_again(tmp_path: Path) -> None:
    with open_state(tmp_path / "state") as state:
        parts = _save(state, FIRST, SECOND)
        assert state.current_parts(CONNECTION) == parts
    with open_state(tmp_path / "state") as state, PartReader(state.folder, NOWHERE) as reader:
        assert state.current_parts(CONNECTION) == parts
        assert [reader.users([part]) for part in parts] == [{"a", "b"}, {"a", "b"}]
    assert [part.number for part in parts] == [1, 2]
    assert [part.interval for part in parts] == [FIRST.interval, SECOND.interval]


def test_concurrent_saves_get_different_numbers(tmp_path: Path) -> None:
    with open_state(tmp_path) as state:
        parts = _save(state, *(chunk(hours(n, n + 1), [f"u{n % 3}"]) for n in range(30)))
        assert sorted(part.number for part in parts) == list(range(1, 31))
        assert sorted(state.current_parts(CONNECTION), key=lambda part: part.interval) == parts


def test_folder_and_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        (tmp_path / "state").mkdir()
        with open_state(tmp_path / "state") as state:
            _save(state, FIRST)
            modes = {
                path.name: stat.S_IMODE(path.stat().st_mode) for path in state.folder.rglob("*")
            }
            assert stat.S_IMODE(state.folder.stat().st_mode) == 0o700
    finally:
        os.umask(old)
    files = ["lock", "lock.json", "manifest.jsonl", part_name(1), "merge.lock", "merge.lock.json"]
    assert modes == {**dict.fromkeys(files, 0o600), "default": 0o700}


def test_a_second_process_is_told_which_one_holds_the_folder(tmp_path: Path) -> None:
    with open_state(tmp_path), pytest.raises(StoreError) as caught:
        open_state(tmp_path)
    assert f"{tmp_path} is in use by process {os.getpid()} on " in str(caught.value)
    assert "since 20" in str(caught.value)
    open_state(tmp_path).close()


def test_without_lock_json_the_holder_is_another_process(tmp_path: Path) -> None:
    with open_state(tmp_path):
        (tmp_path / "merge.lock.json").unlink()
        with pytest.raises(StoreError, match="in use by another process"):
            open_state(tmp_path)


_HOLD = """
import os, sys
from pathlib import Path
from tests.unit.store.facts import open_state
state = open_state(Path(sys.argv[1]))
print(os.getpid(), flush=True)
sys.stdin.read()
os._exit(1)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Hold a folder in another process; the fixture's value is a function that kills it."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) == process.pid

        def die() -> None:
            process.communicate()

        yield die
        if process.poll() is None:
            process.kill()


def test_the_lock_of_a_living_process_blocks_and_that_of_a_dead_one_does_not(
    tmp_path: Path, holder: Callable[[], None]
) -> None:
    with pytest.raises(StoreError, match="is in use by process"):
        open_state(tmp_path)
    holder()
    open_state(tmp_path).close()


def test_reading_needs_no_lock_and_writes_nothing(tmp_path: Path) -> None:
    with open_state(tmp_path) as state:
        parts = _save(state, FIRST)
        before = sorted((path.name, path.stat().st_mtime_ns) for path in tmp_path.iterdir())
        assert Manifest.read(tmp_path / "default").current_parts(FILTER) == parts
        assert sorted((path.name, path.stat().st_mtime_ns) for path in tmp_path.iterdir()) == before


def test_an_unreadable_manifest_releases_the_lock(tmp_path: Path) -> None:
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / "manifest.jsonl").write_bytes(b"{}\n{}\n")
    for _ in range(2):
        with pytest.raises(StoreError, match=r"manifest\.jsonl, line 1"):
            open_state(tmp_path)
    (tmp_path / "default" / "manifest.jsonl").unlink()
    open_state(tmp_path).close()


def test_only_the_temporary_files_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    (tmp_path / "default").mkdir()
    for folder in (tmp_path, tmp_path / "default"):
        (folder / ".asyncreport-0123456789abcdef.tmp").touch()
        (folder / "notes.tmp").touch()
    open_state(tmp_path).close()
    assert {path.name for path in tmp_path.iterdir()} == {
        "default",
        "merge.lock",
        "merge.lock.json",
        "notes.tmp",
    }
    assert {path.name for path in (tmp_path / "default").iterdir()} == {
        "lock",
        "lock.json",
        "manifest.jsonl",
        "notes.tmp",
    }


def test_files_of_replaced_and_of_uncommitted_parts_are_deleted(tmp_path: Path) -> None:
    with open_state(tmp_path) as state:
        first, second = _save(state, FIRST, SECOND)
        (third,) = _save(state, chunk(FIRST.interval, ["a", "b"], replaces=(first.number,)))
        part_file(tmp_path, 99).touch()
        (tmp_path / "default" / "part-notes.jsonl").touch()
        state.delete_replaced(Event(), at=START)
        assert state.current_parts(CONNECTION) == [second, third]
    assert {path.name for path in (tmp_path / "default").glob("part-*")} == {
        part_name(2),
        part_name(3),
        "part-notes.jsonl",
    }


def test_a_cancelled_save_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on, fsync = threading.Event(), threading.Event(), os.fsync

    def slow(descriptor: int) -> None:
        begun.set()
        go_on.wait()
        fsync(descriptor)

    async def cancelled(state: State) -> None:
        task = asyncio.create_task(
            state.save(FIRST, blocks(["a"], FIRST.interval), fetched_at=START)
        )
        await asyncio.to_thread(begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()

    with open_state(tmp_path) as state:
        monkeypatch.setattr(os, "fsync", slow)
        asyncio.run(cancelled(state))
    assert [
        part.interval for part in Manifest.read(tmp_path / "default").current_parts(FILTER)
    ] == [FIRST.interval]
    assert list(tmp_path.glob("*.tmp")) == []


def _fail(monkeypatch: pytest.MonkeyPatch, at: int) -> Callable[[], bool]:
    """Make the disk full at the `at`th change, a write in its middle.

    The function that is returned tells whether that has happened.
    """
    left = [at]

    def full(name: str) -> None:
        call = getattr(os, name)

        def counted(*arguments: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                if name == "write":
                    descriptor, data = arguments
                    assert isinstance(data, memoryview)
                    call(descriptor, data[: len(data) // 2])
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return call(*arguments)

        monkeypatch.setattr(os, name, counted)

    for name in ("write", "fsync", "replace", "ftruncate"):
        full(name)
    return lambda: left[0] <= 0


def test_a_disk_that_fills_up_at_any_step_costs_one_chunk_and_no_more(tmp_path: Path) -> None:
    steps = 0
    while True:
        steps += 1
        folder = tmp_path / str(steps)
        with open_state(folder) as state:
            kept = _save(state, chunk(hours(9, 10), ["z"]))
            with pytest.MonkeyPatch.context() as patch:
                failed = _fail(patch, steps)
                try:
                    _save(state, FIRST)
                except StoreError as error:
                    assert "free some space" in str(error)
                if not failed():
                    break
            kept += _save(state, SECOND)
            assert [part.interval for part in state.current_parts(CONNECTION)] == [
                part.interval for part in kept
            ]
        assert Manifest.read(folder / "default").current_parts(FILTER) == kept
        assert list(folder.glob("*.tmp")) == []
    assert (
        steps - 1 == 4 + 3 + 3
    )  # those of the file, of the line of users and of the line that commits


def test_a_folder_that_cannot_be_created_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="could not be created"):
        open_state(tmp_path / "file" / "state")


def test_the_lock_is_released_if_lock_json_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "default").mkdir()
    (tmp_path / "default" / "lock.json").mkdir()
    with pytest.raises(StoreError, match=r"default/lock\.json could not be written"):
        open_state(tmp_path)
    (tmp_path / "default" / "lock.json").rmdir()
    open_state(tmp_path).close()


def test_the_caller_waits_while_many_parts_wait_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two may wait; with a third the caller waits until one of them is saved."""
    go = threading.Semaphore(0)
    save = PartFolder.save

    def slow(opened: PartFolder, of: Chunk, found: list[Block], **rest: Any) -> Part:
        go.acquire()
        return save(opened, of, found, **rest)

    async def main() -> None:
        with open_state(tmp_path / "state") as state:
            monkeypatch.setattr(PartFolder, "save", slow)
            saves = [
                asyncio.create_task(_one(state, chunk(hours(n, n + 1), ["a"]))) for n in range(3)
            ]
            waiter = asyncio.create_task(state.wait_for_writer())
            for _ in range(5):
                await asyncio.sleep(0)
            assert not waiter.done()
            go.release()
            await waiter
            assert sum(save.done() for save in saves) == 1
            go.release(2)
            await asyncio.gather(*saves)
            await state.wait_for_writer()

    asyncio.run(main())


async def _one(state: State, of: Chunk) -> Part:
    return await state.save(of, blocks(of.users or [None], of.interval), fetched_at=START)


def _emptied(folder: Path) -> None:
    for path in (folder / "default").iterdir():
        path.unlink()


def _restored(folder: Path) -> None:
    """Put a copy with the same bytes in the place of the folder."""
    shutil.copytree(folder / "default", folder / "copy")
    shutil.rmtree(folder / "default")
    (folder / "copy").rename(folder / "default")


def _replaced(folder: Path) -> None:
    shutil.rmtree(folder / "default")


def _written_to(folder: Path) -> None:
    with (folder / "default" / "manifest.jsonl").open("ab") as file:
        file.write(b"\n")


def _cut(folder: Path) -> None:
    path = folder / "default" / "manifest.jsonl"
    path.write_bytes(path.read_bytes()[:-10])


def _without_lock(folder: Path) -> None:
    (folder / "default" / "lock").unlink()
    (folder / "default" / "lock").touch()


@pytest.mark.parametrize("harm", [_emptied, _restored, _replaced, _written_to, _cut, _without_lock])
def test_a_folder_that_is_changed_under_a_run_ends_it_and_loses_nothing(
    harm: Callable[[Path], None], tmp_path: Path
) -> None:
    """What is there afterwards can be opened, and has whole lines only."""
    with open_state(tmp_path) as state:
        (kept,) = _save(state, FIRST)
        harm(tmp_path)
        for _ in range(2):
            with pytest.raises(StoreError):
                _save(state, SECOND)
    with open_state(tmp_path) as state:
        assert state.current_parts(CONNECTION) in ([], [kept])
        saved = _save(state, SECOND)
        assert state.current_parts(CONNECTION)[-1:] == saved
    assert b"\0" not in (tmp_path / "default" / "manifest.jsonl").read_bytes()


def test_the_message_of_a_changed_folder_names_the_file_and_the_next_step(tmp_path: Path) -> None:
    with open_state(tmp_path) as state:
        _restored(tmp_path)
        with pytest.raises(StoreError) as caught:
            _save(state, FIRST)
    folder = tmp_path / "default"
    assert str(caught.value) == (
        f"{folder}/lock was deleted, replaced or changed by another process while this run used "
        f"it; make sure that nothing else changes {folder}, then run again: existing parts are "
        "reused"
    )


def test_a_manifest_of_mostly_replaced_parts_is_shortened(tmp_path: Path) -> None:
    """A job that runs every hour keeps a manifest of the size of its parts."""
    replaces: tuple[int, ...] = ()
    path = tmp_path / "default" / "manifest.jsonl"
    sizes = []
    for _ in range(20):
        with open_state(tmp_path) as state:
            (part,) = _save(state, chunk(FIRST.interval, ["a", "b"], replaces=replaces))
            state.delete_replaced(Event(), at=START)
            # The run goes on with the shorter file.
            (other,) = _save(state, chunk(hours(5, 6), ["c"], replaces=replaces[1:]))
            assert state.current_parts(CONNECTION) == [part, other]
            replaces = (part.number, other.number)
        sizes.append(path.stat().st_size)
    assert max(sizes) < 2 * sizes[0]
    assert part.number == 39


def test_parts_whose_bucket_edges_have_moved_are_replaced_by_what_is_fetched_again(
    tmp_path: Path,
) -> None:
    """A chunk of other users leaves none of them: nobody can use them any more."""
    with open_state(tmp_path) as state:
        moved, later = _save(state, chunk(hours(0, 2), ["a", "b"]), chunk(hours(9, 11), ["a"]))
    manifest = tmp_path / "default" / "manifest.jsonl"
    edit_lines(
        manifest, lambda line: {**line, "edges": "0" * 16} if line.get("part") == 1 else line
    )
    with open_state(tmp_path) as state:
        assert [part.number for part in state.outdated_parts(CONNECTION)] == [moved.number]
        assert state.current_parts(CONNECTION) == [later]
        (again,) = _save(state, chunk(hours(1, 3), ["a"]))
        assert state.outdated_parts(CONNECTION) == []
        # The rows have other buckets: they cannot be compared.
        assert state.delete_replaced(Event(), at=START) == Restatements()
        assert not part_file(tmp_path, moved.number).exists()
        assert state.current_parts(CONNECTION) == [later, again]


def test_the_organization_of_a_connection_is_kept(tmp_path: Path) -> None:
    with open_state(tmp_path) as state:
        assert state.organization(CONNECTION) is None
        asyncio.run(state.note_organization(CONNECTION, "org-1"))
        assert state.organization(CONNECTION) == "org-1"
    with open_state(tmp_path) as state:
        assert state.organization(CONNECTION) == "org-1"
        other = msgspec.structs.replace(CONNECTION, api_url="https://other")
        assert state.organization(other) is None
        asyncio.run(state.note_organization(other, "org-2"))
        assert state.organization(CONNECTION) == "org-1"


class _Far(Nowhere):
    """Where parts are kept, so far away that several requests must be on their way at once."""

    def __init__(self) -> None:
        #: how many parts each commit had
        self.commits: list[int] = []
        self.uploaded = threading.Semaphore(0)
        #: called in each upload and before each commit of parts; may raise StoreError
        self.in_upload: Callable[[Part], object] = lambda _: None
        self.in_commit: Callable[[], object] = lambda: None

    def save_part(self, part: Part) -> None:
        self.in_upload(part)
        self.uploaded.release()

    def append(self, lines: bytes) -> None:
        parts = lines.count(b'"part":')
        if parts:
            self.in_commit()
            self.commits.append(parts)


def _open_far(folder: Path, far: _Far) -> State:
    return State.open(folder, FILTER, remotes=lambda _: far)


def test_parts_are_uploaded_at_the_same_time_and_their_rows_let_go(tmp_path: Path) -> None:
    far = _Far()
    all_are_here = threading.Barrier(4, timeout=30)
    rows = [blocks(["a"], hours(n, n + 1)) for n in range(4)]

    def in_upload(_: Part) -> None:
        all_are_here.wait()
        assert rows == [[]] * 4

    async def main(state: State) -> list[Part]:
        saves = [
            state.save(chunk(hours(n, n + 1), ["a"]), found, fetched_at=START)
            for n, found in enumerate(rows)
        ]
        return await asyncio.gather(*saves)

    far.in_upload = in_upload
    with _open_far(tmp_path, far) as state:
        parts = asyncio.run(main(state))
        assert sorted(part.number for part in parts) == [1, 2, 3, 4]
        assert {part.number for part in state.current_parts(CONNECTION)} == {1, 2, 3, 4}


def _save_while_one_is_committed(state: State, far: _Far, after: Callable[[], object]) -> list[Any]:
    """Save four parts: three are uploaded while the first is committed, and `after` runs then."""
    committing = Event()

    def in_upload(part: Part) -> None:
        assert part.number == 1 or committing.wait(30)

    def in_commit() -> None:
        far.in_commit = after
        committing.set()
        for _ in range(4):
            assert far.uploaded.acquire(timeout=30)

    async def main() -> list[Any]:
        saves = [_one(state, chunk(hours(n, n + 1), ["a"])) for n in range(4)]
        return await asyncio.gather(*saves, return_exceptions=True)

    far.in_upload, far.in_commit = in_upload, in_commit
    return asyncio.run(main())


def test_parts_that_were_uploaded_meanwhile_are_committed_together(tmp_path: Path) -> None:
    far = _Far()
    with _open_far(tmp_path, far) as state:
        parts = _save_while_one_is_committed(state, far, lambda: None)
        assert far.commits == [1, 3]
        assert sorted(state.current_parts(CONNECTION), key=lambda part: part.interval) == parts
    with open_state(tmp_path) as state:
        assert sorted(state.current_parts(CONNECTION), key=lambda part: part.interval) == parts


def test_a_commit_that_fails_fails_for_all_its_parts(tmp_path: Path) -> None:
    far = _Far()

    def fail() -> None:
        raise StoreError("the storage cannot be reached")

    with _open_far(tmp_path, far) as state:
        found = _save_while_one_is_committed(state, far, fail)
        saved = [each for each in found if isinstance(each, Part)]
        assert state.current_parts(CONNECTION) == saved
        assert len(saved) == 1
        errors = [str(each) for each in found if isinstance(each, StoreError)]
        assert errors == ["the storage cannot be reached"] * 3
    with open_state(tmp_path) as state:
        assert state.current_parts(CONNECTION) == saved
