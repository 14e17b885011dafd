"""What only some systems have is called in three files, and each call has a fallback that works."""

from __future__ import annotations

import ast
import asyncio
import ctypes
import os
import platform
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncreport.store import lock
from asyncreport.store.atomic import atomic_write
from asyncreport.store.parts import OPEN_FILES, PartReader
from asyncreport.store.portable import (
    copy_mode,
    open_file_limit,
    read_at,
    return_free_memory,
    sync_folder,
)
from asyncreport.store.remote import NOWHERE
from asyncreport.terminal.signals import run_until_signal
from tests.unit.store.facts import blocks, chunk, hours, written

PACKAGE = Path(__file__).parents[2] / "asyncreport"

#: the files that may call what not every system has; each looks first whether it is there
ALLOWED = {"store/portable.py", "store/lock.py", "terminal/signals.py"}

#: modules of the standard library that Windows lacks
MODULES = {
    *("crypt", "fcntl", "grp", "nis", "ossaudiodev", "posix", "pty", "pwd", "resource"),
    *("spwd", "syslog", "termios", "tty"),
}

#: names in `os`, `signal`, `socket` and of an event loop that Windows lacks
NAMES = {
    *("O_CLOEXEC", "O_DIRECTORY", "O_DSYNC", "O_NOFOLLOW", "O_NONBLOCK", "O_SYNC", "O_TMPFILE"),
    *("chown", "chroot", "confstr", "copy_file_range", "fchdir", "fchmod", "fchown", "fdatasync"),
    *("fork", "forkpty", "fpathconf", "fstatvfs", "getegid", "geteuid", "getgid", "getgroups"),
    *("getloadavg", "getpgid", "getpriority", "getresuid", "getsid", "getuid", "getxattr"),
    *("initgroups", "killpg", "lchmod", "lchown", "listxattr", "lockf", "mkfifo", "mknod", "nice"),
    *("pathconf", "pidfd_open", "pipe2", "posix_fadvise", "posix_fallocate", "posix_spawn"),
    *("pread", "preadv", "pwrite", "pwritev", "readv", "register_at_fork", "sched_getaffinity"),
    *("sendfile", "setegid", "seteuid", "setgid", "setgroups", "setpgid", "setpriority"),
    *("setsid", "setuid", "setxattr", "splice", "statvfs", "sync", "sysconf", "tcgetpgrp"),
    *("ttyname", "uname", "wait3", "wait4", "waitid", "writev"),
    *("SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP"),
    *("SIGTSTP", "SIGUSR1", "SIGUSR2", "SIGWINCH", "alarm", "pause", "pthread_kill"),
    *("pthread_sigmask", "setitimer", "siginterrupt", "sigpending", "sigtimedwait", "sigwait"),
    *("AF_UNIX", "SO_REUSEPORT", "socketpair_unix", "open_unix_connection", "start_unix_server"),
    *("add_signal_handler", "remove_signal_handler"),
}

#: objects whose attributes of these names are meant: `self.sync` is something else
OWNERS = {"os", "signal", "socket", "asyncio", "loop", "_loop"}

#: what also needs care, whatever module it is in: on Windows it ends a process, or fails
UNSAFE = {"kill"}


def lacking(tree: ast.AST) -> Iterator[str]:
    """Find what a system may lack, in a module's code."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from {alias.name for alias in names} & MODULES
            case ast.ImportFrom(module=str(module), names=names):
                yield from {module} & MODULES
                if module in OWNERS:
                    yield from {alias.name for alias in names} & (NAMES | UNSAFE)
            case ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr=name):
                if owner in OWNERS and name in NAMES | UNSAFE:
                    yield f"{owner}.{name}"
            case ast.Attribute(attr="add_signal_handler" as name):
                yield name
            case _:
                pass


def test_only_three_files_call_what_a_system_may_lack() -> None:
    found = {
        str(path.relative_to(PACKAGE)): names
        for path in sorted(PACKAGE.rglob("*.py"))
        if (names := sorted(set(lacking(ast.parse(path.read_text())))))
    }
    assert {path: names for path, names in found.items() if path not in ALLOWED} == {}
    # The search finds what is there.
    assert {"os.pread", "os.fchmod", "resource"} <= set(found["store/portable.py"])
    assert {"fcntl", "os.kill"} <= set(found["store/lock.py"])


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("import os\nos.pread(1, 2, 3)", "os.pread"),
        ("from os import statvfs", "statvfs"),
        ("import fcntl", "fcntl"),
        ("from resource import getrlimit", "resource"),
        ("import signal\nsignal.SIGPIPE", "signal.SIGPIPE"),
        ("asyncio.get_running_loop().add_signal_handler(2, f)", "add_signal_handler"),
    ],
)
def test_the_search_finds(line: str, name: str) -> None:
    assert list(lacking(ast.parse(line))) == [name]


@pytest.fixture
def poor_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what Windows lacks."""
    for name in ("pread", "fchmod", "O_DIRECTORY"):
        monkeypatch.delattr(os, name)
    monkeypatch.setattr(sys, "platform", "win32")


@pytest.mark.usefixtures("poor_system")
def test_a_part_is_written_and_read_without_pread(tmp_path: Path) -> None:
    here = hours(0, 3)
    part = written(tmp_path, 1, chunk(here, None), blocks([None, "a", "b"], here))
    with PartReader(tmp_path, NOWHERE) as reader:
        entries = reader.checked_index(part)
        # Backwards: each read goes to its own place.
        found = {entry.user: reader.block(part, entry) for entry in reversed(entries)}
        assert reader._most_open == OPEN_FILES
    lengths = {entry.user: entry.length for entry in entries}
    assert {user: len(block) for user, block in found.items()} == lengths
    assert (
        b"".join(found[user] for user in (None, "a", "b"))
        == ((tmp_path / "default" / "part-00000001.jsonl").read_bytes()[: part.index_at])
    )


def test_both_ways_to_read_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data"
    path.write_bytes(bytes(range(100)))
    places = [(10, 5), (0, 100), (95, 20), (200, 3), (3, 0)]
    descriptor = os.open(path, os.O_RDONLY)
    try:
        expected = [read_at(descriptor, length, at) for at, length in places]
        monkeypatch.delattr(os, "pread")
        assert [read_at(descriptor, length, at) for at, length in places] == expected
    finally:
        os.close(descriptor)
    assert expected[2] == bytes(range(95, 100))


@pytest.mark.usefixtures("poor_system")
def test_a_file_is_replaced_without_folder_fsync_and_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    path.chmod(0o640)
    with atomic_write(path, owner=tmp_path) as sink:
        sink.write(b"new\n")
    assert path.read_bytes() == b"new\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


@pytest.mark.usefixtures("poor_system")
def test_without_folder_fsync_nothing_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "open", None)
    sync_folder(tmp_path)


def test_without_a_limit_of_open_files_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_file_limit() is None or open_file_limit() > 0
    monkeypatch.setattr(sys, "platform", "win32")
    assert open_file_limit() is None


#: frees 100 MB, but not the last block, so that the C library keeps what is in front of it
_FREED = """
from pathlib import Path
from asyncreport.store.portable import return_free_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])

blocks = [bytearray(50_000) for _ in range(2_000)]
del blocks[:-1]
before = resident()
return_free_memory()
print(before - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps freed memory")
def test_freed_memory_is_returned() -> None:
    command = [sys.executable, "-c", _FREED]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) * os.sysconf("SC_PAGE_SIZE") > 80_000_000


@pytest.mark.parametrize("system", ["win32", "linux"])
def test_freed_memory_stays_without_the_call(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    return_free_memory()


def test_both_ways_to_copy_a_mode_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.touch(0o640)
    source.chmod(0o604)
    for missing in (False, True):
        target.touch()
        target.chmod(0o600)
        if missing:
            monkeypatch.delattr(os, "fchmod")
        with target.open("wb") as file:
            copy_mode(source, file.fileno(), target)
        assert stat.S_IMODE(target.stat().st_mode) == 0o604


def test_the_holder_of_a_lock_is_found_without_fcntl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    # On Windows this call would end the process.
    monkeypatch.setattr(os, "kill", None)
    path = tmp_path / "merge.lock"
    held = lock.take_lock(path)
    assert f"by process {os.getpid()}" in (lock.lock_holder(path) or "")
    with pytest.raises(Exception, match="is in use by process"):
        lock.take_lock(path)
    held.release()
    assert lock.lock_holder(path) is None
    lock.take_lock(path).release()
    path.unlink()
    assert lock.lock_holder(path) is None


def test_a_signal_stops_a_command_without_add_signal_handler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The handlers are those of `signal`: an event loop on Windows has none."""

    def missing(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(asyncio.SelectorEventLoop, "add_signal_handler", missing)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    async def command() -> None:
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(60)

    try:
        with pytest.raises(Exception, match=str(int(signal.SIGINT))):
            run_until_signal(command())
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)


def test_the_modules_of_the_list_exist() -> None:
    """A misspelt name in the list would find nothing."""
    assert sys.stdlib_module_names >= MODULES - {"crypt", "nis", "ossaudiodev", "spwd"}
