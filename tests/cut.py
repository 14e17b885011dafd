"""The command line in a process that something befalls at one exact moment.

`python -m tests.cut '{"at": 40, "deed": "kill"}' run job.yaml`

Moments are counted from 1: every call that changes a file, and every request before it leaves and after its answer came.
With one worker their order is the same in each run, so that the trace of a calm run says what any of them is.
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

#: the calls that all on the disk is made of
_CALLS = ("open", "write", "fsync", "ftruncate", "replace", "unlink")


class Cut:
    """Count moments; at the one that was asked for, do the deed."""

    def __init__(self, at: int, deed: str) -> None:
        self._at = at
        self._deed = deed
        #: what each moment was: a call and a file, or a direction and a path
        self.trace: list[list[str]] = []
        self._real: dict[str, Callable[..., Any]] = {name: getattr(os, name) for name in _CALLS}
        self._files: dict[int, str] = {}
        self._full = False

    def arm(self) -> None:
        """Stand between the product, the disk and the wire."""
        for name in _CALLS:
            setattr(os, name, getattr(self, f"_{name}"))
        really = Transport.send

        async def send(transport: Transport, request: Request) -> Response:
            self._moment("send", request.path)
            answer = await really(transport, request)
            self._moment("answer", request.path)
            return answer

        Transport.send = send  # type: ignore[method-assign]

    def _moment(self, what: str, of: str) -> bool:
        """Tell whether this is the moment; where it ends the process, it does so here."""
        self.trace.append([what, of])
        if len(self.trace) != self._at:
            return False
        if self._deed == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        self._full = self._deed == "full"
        if self._deed in ("hold", "hang"):
            if threading.current_thread() is threading.main_thread():
                signal.signal = _heard  # type: ignore[assignment]
            print("held", flush=True)  # noqa: T201
            _TOLD.wait(60)
            if self._deed == "hang":
                threading.Event().wait()
        return True

    def _open(self, path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if flags & os.O_CREAT:
            self._moment("open", Path(path).name)
        descriptor: int = self._real["open"](path, flags, *rest, **named)
        self._files.pop(descriptor, None)
        if flags & (os.O_CREAT | os.O_DIRECTORY):
            self._files[descriptor] = "." if flags & os.O_DIRECTORY else Path(path).name
        return descriptor

    def _write(self, descriptor: int, data: Any) -> int:
        if descriptor not in self._files:
            return int(self._real["write"](descriptor, data))
        if self._moment("write", self._files[descriptor]) and self._deed in ("half", "full"):
            # As a disk does that fills up in the middle of a write, or a process that dies in it.
            self._real["write"](descriptor, bytes(data)[: len(data) // 2])
            if self._deed == "half":
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
        # Only now is it known what the temporary was to become.
        for each in self.trace:
            if each[1] == Path(old).name:
                each[1] = Path(new).name
        self._moment("replace", Path(new).name)
        self._real["replace"](old, new, **named)

    def _unlink(self, path: Any, **named: Any) -> None:
        if not Path(path).name.endswith(".tmp"):
            self._moment("unlink", Path(path).name)
        self._real["unlink"](path, **named)


_TOLD = threading.Event()
_SIGNAL = signal.signal


def _heard(number: int, handler: Any) -> Any:
    """Tell the test once both signals have their defaults again: the first one was heard."""
    before = _SIGNAL(number, handler)
    if {signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)} == {signal.SIG_DFL}:
        print("heard", flush=True)  # noqa: T201
    return before


class _Stopped(threading.Event):
    """The event by which a merge is told to end, which tells the test as well."""

    def set(self) -> None:
        super().set()
        print("told", flush=True)  # noqa: T201
        _TOLD.set()


def humble() -> None:
    """Give up what lets root pass over the modes of files; who is not root has nothing to give up."""
    if os.geteuid() == 0:
        header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
        if ctypes.CDLL(None, use_errno=True).capset(header, (ctypes.c_uint32 * 6)()):
            raise OSError(ctypes.get_errno(), "capset")


def run(
    at: int = 0, deed: str = "", trace: str = "", file_size: int = 0, as_anyone: bool = False
) -> None:
    """Run the command line under a cut; `trace` is the file for its moments, `file_size` the most bytes that a file may have."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_size or limits[0], limits[1]))
    if as_anyone:
        humble()
    threads.Event = _Stopped  # type: ignore[misc]
    query_jobs._FIRST_PAUSE = 0.01
    cut = Cut(at, deed)
    cut.arm()
    try:
        main()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        if trace:
            Path(trace).write_text(
                json.dumps(
                    [
                        [what, re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", of)]
                        for what, of in cut.trace
                    ]
                )
            )


if __name__ == "__main__":
    given = json.loads(sys.argv.pop(1))
    run(**given)
