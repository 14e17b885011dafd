"""The command line in a process in which something goes wrong at one exact moment.

`python -m tests.cut '{"at": 40, "action": "kill"}' run job.yaml`

Moments are counted from 1: every call that changes a file, and every request before it is sent and
after its response came. With one worker their order is the same in each run, so the trace of an
undisturbed run says what each of them is.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import re
import resource
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asyncreport.__main__ import main
from asyncreport.api import query_jobs
from asyncreport.api.wire import Request, Response
from asyncreport.net.transport import Transport
from asyncreport.store import threads

#: all changes of the disk are made of these calls
_CALLS = ("open", "write", "fsync", "ftruncate", "replace", "unlink")


class Cut:
    """Count the moments, and act at one of them.

    The actions: `kill` the process; write `half` of the bytes and kill it; from this write on the
    disk is `full`; `hold` the call until the test has sent a signal; `hang` in it forever.
    """

    def __init__(self, at: int, action: str) -> None:
        self._at = at
        self._action = action
        #: what each moment is: a call and a file, or a direction and a path
        self.trace: list[list[str]] = []
        self._real: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in _CALLS}
        #: descriptor -> name of the file
        self._files: dict[int, str] = {}
        self._full = False

    def arm(self) -> None:
        """Replace the calls between the product, the disk and the wire."""
        for name in _CALLS:
            setattr(os, name, getattr(self, f"_{name}"))
        real_send = Transport.send

        async def send(transport: Transport, request: Request) -> Response:
            self._moment("send", request.path)
            response = await real_send(transport, request)
            self._moment("answer", request.path)
            return response

        Transport.send = send  # type: ignore[method-assign]

    def _moment(self, what: str, of: str) -> bool:
        """Count a moment and tell whether it is the one; end or stop the process if it is."""
        self.trace.append([what, of])
        if len(self.trace) != self._at:
            return False
        if self._action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        self._full = self._action == "full"
        if self._action in ("hold", "hang"):
            self._stop_here()
        return True

    def _stop_here(self) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal = _report_defaults  # type: ignore[assignment]
        os.write(1, b"held\n")
        _STOPPED.wait(60)
        if self._action == "hang":
            threading.Event().wait()

    def _open(self, path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if flags & os.O_CREAT:
            self._moment("open", Path(path).name)
        descriptor: int = self._real["open"](path, flags, *rest, **named)
        self._files.pop(descriptor, None)
        if flags & os.O_DIRECTORY:
            self._files[descriptor] = "."
        elif flags & (os.O_CREAT | os.O_WRONLY):
            self._files[descriptor] = Path(path).name
        return descriptor

    def _write(self, descriptor: int, data: Any) -> int:
        if descriptor not in self._files:
            return int(self._real["write"](descriptor, data))
        if self._moment("write", self._files[descriptor]) and self._action in ("half", "full"):
            # A disk that becomes full in the middle of a write, or a process that dies in it.
            self._real["write"](descriptor, bytes(data)[: len(data) // 2])
            if self._action == "half":
                os.kill(os.getpid(), signal.SIGKILL)
        if self._full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return int(self._real["write"](descriptor, data))

    def _fsync(self, descriptor: int) -> None:
        self._moment("fsync", self._files[descriptor])
        self._real["fsync"](descriptor)

    def _ftruncate(self, descriptor: int, length: int) -> None:
        if descriptor in self._files:
            self._moment("ftruncate", self._files[descriptor])
        self._real["ftruncate"](descriptor, length)

    def _replace(self, old: Any, new: Any, **named: Any) -> None:
        # Only now is it known which file the temporary one becomes.
        for each in self.trace:
            if each[1] == Path(old).name:
                each[1] = Path(new).name
        self._moment("replace", Path(new).name)
        self._real["replace"](old, new, **named)

    def _unlink(self, path: Any, **named: Any) -> None:
        if not Path(path).name.endswith(".tmp"):
            self._moment("unlink", Path(path).name)
        self._real["unlink"](path, **named)


#: calls after which the disk is another one
_CHANGES = ("write", "ftruncate", "replace", "unlink")


def kills(trace: Path) -> list[tuple[int, str, str]]:
    """Read a trace; give each moment whose kill leaves another disk, with its action and call.

    A process that dies at any other moment leaves what one of these leaves.
    """
    moments = json.loads(trace.read_text())
    found = []
    for at, (what, of) in enumerate(moments, 1):
        if what in _CHANGES or at == len(moments):
            found.append((at, "half" if what == "write" else "kill", f"{what} {of}"))
    return found


_STOPPED = threading.Event()
_SIGNAL = signal.signal


def _report_defaults(number: int, handler: Any) -> Any:
    """Report when both signals have their defaults again: the process has handled the first one."""
    before = _SIGNAL(number, handler)
    if {signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)} == {signal.SIG_DFL}:
        # No `print`: the signal may have come in the middle of one.
        os.write(1, b"heard\n")
    return before


class _ReportedEvent(threading.Event):
    """The event that stops a merge; it reports to the test as well."""

    def set(self) -> None:
        super().set()
        print("told", flush=True)  # noqa: T201  the test reads it
        _STOPPED.set()


def drop_privileges() -> None:
    """Give up the capabilities with which root ignores the modes of files."""
    if os.geteuid() != 0:
        return
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    if ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()):
        raise OSError(ctypes.get_errno(), "capset")


def run(
    at: int = 0, action: str = "", trace: str = "", file_size: int = 0, unprivileged: bool = False
) -> None:
    """Run the command line, with an action at one moment.

    `trace` is the file for the moments; `file_size` is the largest size of a file in bytes.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_size or soft, hard))
    if unprivileged:
        drop_privileges()
    threads.Event = _ReportedEvent  # type: ignore[misc]
    query_jobs._FIRST_PAUSE = 0.01
    cut = Cut(at, action)
    cut.arm()
    try:
        main()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        if trace:
            Path(trace).write_text(json.dumps(_without_ids(cut.trace)))


def _without_ids(trace: list[list[str]]) -> list[list[str]]:
    return [[what, re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", of)] for what, of in trace]


if __name__ == "__main__":
    spec = json.loads(sys.argv.pop(1))
    run(**spec)
