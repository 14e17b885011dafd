"""Start Python modules as processes without their imports: fork a process that has done them.

The imports of one command cost more CPU than most tests. `fork` gives a process of its own, with
its own arguments, environment, folder and standard streams. It is not for tests about the start of
a process: what the interpreter reads at its start (`PYTHON...`, the locale) is the template's.

`python -m tests.template` is the template; it serves until the tests close its socket.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from _typeshed import HasFileno

_ROOT = Path(__file__).parent.parent

#: bytes of a request, most of all the environment
_MOST = 2**18

#: everything that the modules import which tests start
_PRELOADED = (
    "asyncreport.commands.check",
    "asyncreport.commands.init",
    "asyncreport.commands.plan",
    "asyncreport.commands.query",
    "asyncreport.commands.run",
    "asyncreport.commands.status",
    "asyncreport.commands.verify",
    "tests.cut",
    "tests.emulator_serve",
)


class Forked:
    """A process that was forked from the template; `report` tells its number and its exit code."""

    def __init__(self, report: socket.socket) -> None:
        self._report = report
        # The first report is the end of the template's imports.
        report.settimeout(60)
        self._lines = report.makefile("r")
        self.pid = int(self._lines.readline())
        self._code: int | None = None

    def wait(self, timeout: float) -> int:
        """Wait for the end of the process and give its exit code; raise TimeoutError."""
        if self._code is None:
            self._report.settimeout(timeout)
            self._code = int(self._lines.readline())
            self._lines.close()
            self._report.close()
        return self._code

    def end(self, number: signal.Signals = signal.SIGTERM, timeout: float = 60) -> int:
        """Send a signal unless the process has ended, and wait for its end."""
        if self._code is None and not select.select([self._report], [], [], 0)[0]:
            os.kill(self.pid, number)
        return self.wait(timeout)


def fork(
    module: str,
    *arguments: str,
    streams: Sequence[HasFileno],
    cwd: Path = _ROOT,
    env: Mapping[str, str] = os.environ,
) -> Forked:
    """Run a module as `__main__` in a process of its own, with these three standard streams."""
    ours, theirs = socket.socketpair()
    request = json.dumps([module, arguments, str(cwd), dict(env)]).encode()
    with theirs:
        descriptors = [*(stream.fileno() for stream in streams), theirs.fileno()]
        socket.send_fds(_template(), [request], descriptors)
    return Forked(ours)


@cache
def _template() -> socket.socket:
    """Start the template of this test process, and end it with the test process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # Without dev mode: it would report slow callbacks on the standard error of commands.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDEVMODE"}
    with theirs:
        command = [sys.executable, "-m", "tests.template", str(theirs.fileno())]
        template = subprocess.Popen(command, cwd=_ROOT, env=env, pass_fds=[theirs.fileno()])
    atexit.register(template.wait, 60)
    atexit.register(ours.close)
    return ours


class _Request(NamedTuple):
    """What a new process shall be."""

    module: str
    arguments: list[str]
    cwd: str
    env: dict[str, str]

    def become(self, streams: Sequence[int]) -> None:
        """Turn this process into the one that is wanted, and run its module."""
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(self.cwd)
        os.environ.clear()
        os.environ.update(self.env)
        sys.argv[1:] = self.arguments
        runpy.run_module(self.module, run_name="__main__", alter_sys=True)


class _Template:
    """Fork for each request, and report the end of each child."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._selector = selectors.DefaultSelector()
        self._selector.register(requests, selectors.EVENT_READ)

    def serve(self) -> None:
        """Serve until the tests close the socket, or, in a child, until its module has ended."""
        while True:
            for key, _ in self._selector.select():
                if key.data is not None:
                    self._reap(key.fd, *key.data)
                elif self._serve_one():
                    return

    def _serve_one(self) -> bool:
        """Serve one request; tell whether it was the last one of this process."""
        content, descriptors, _, _ = socket.recv_fds(self._requests, _MOST, 4)
        if not content:
            return True
        *streams, report = descriptors
        pid = os.fork()
        if pid == 0:
            _Request(*json.loads(content)).become(streams)
            return True
        for stream in streams:
            os.close(stream)
        self._watch(pid, socket.socket(fileno=report))
        return False

    def _watch(self, pid: int, report: socket.socket) -> None:
        report.sendall(f"{pid}\n".encode())
        self._selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, report))

    def _reap(self, watched: int, pid: int, report: socket.socket) -> None:
        """Report the exit code of a child."""
        self._selector.unregister(watched)
        os.close(watched)
        _, status = os.waitpid(pid, 0)
        with report:
            report.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _preload() -> None:
    """Import what the modules need, and forget the modules, so that they can run as `__main__`.

    Their writes do not wait for the disk, see `tests/conftest.py`.
    """
    os.fsync = lambda _: None
    for name in _PRELOADED:
        importlib.import_module(name)
    for name in ("asyncreport.__main__", *_PRELOADED):
        if name.startswith("tests.") or name.endswith("__main__"):
            del sys.modules[name]
    # A child searches no import of the template for cycles. At its end that takes a fifth of a
    # second, and copies the memory that both share.
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    _preload()
    _Template(socket.socket(fileno=int(sys.argv[1]))).serve()
