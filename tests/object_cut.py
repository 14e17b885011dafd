"""The command line in a process in which something happens at one exact write to the bucket.

`python -m tests.object_cut '{"at": 7, "action": "kill"}' run job.yaml`

Moments are counted from 1: before and after each write and each deletion, renewals of leases aside,
and each request to Genesys before it is sent. With one worker their order is the same in each run.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asyncreport.__main__ import main
from asyncreport.api.wire import Request, Response
from asyncreport.export import storage
from asyncreport.net.transport import Transport
from asyncreport.store.objects import bucket
from asyncreport.store.objects.bucket import Bucket

#: what a test waits for a lease, in seconds
LEASE = 2.0


_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "interrupt": signal.SIGINT}


class ObjectCut:
    """Count the moments, and `kill`, `stop` or `interrupt` the process at one of them."""

    def __init__(self, at: int, action: str) -> None:
        self._at = at
        self._signal = _SIGNALS[action]
        # Objects are written by several threads.
        self._lock = threading.Lock()
        #: what each moment is: a call and the name of an object, or a path
        self.trace: list[list[str]] = []

    def arm(self) -> None:
        """Replace the calls between the product, the bucket and Genesys."""
        for name in ("_put", "upload"):
            setattr(Bucket, name, self._counted(name, getattr(Bucket, name)))
        real_delete = Bucket.delete

        def delete(each: Bucket, keys: Any) -> None:
            gone = list(keys)
            if gone:
                self._moment("delete", gone[0])
                real_delete(each, gone)

        Bucket.delete = delete  # type: ignore[assignment,method-assign]
        real_send = Transport.send

        async def send(transport: Transport, request: Request) -> Response:
            self._moment("send", request.path)
            return await real_send(transport, request)

        Transport.send = send  # type: ignore[assignment,method-assign]

    def _counted(self, name: str, real: Callable[..., str]) -> Callable[..., str]:
        def write(each: Bucket, key: str, *rest: Any) -> str:
            if key.endswith("lease.json"):
                return real(each, key, *rest)
            self._moment(f"before {name}", key)
            etag = real(each, key, *rest)
            self._moment(f"after {name}", key)
            return etag

        return write

    def _moment(self, what: str, of: str) -> None:
        """Count a moment; end or stop the process if it is the one."""
        with self._lock:
            self.trace.append([what, of])
            if len(self.trace) == self._at:
                os.kill(os.getpid(), self._signal)
                # A command that is interrupted has time to hear of it.
                time.sleep(1)


def jumping(seconds: float) -> None:
    """Let the wall clock jump by so many seconds, there and back again, each time it is read."""
    real, real_ns = time.time, time.time_ns
    odd = iter(lambda: bool(int(time.monotonic() * 4) % 2), None)
    time.time = lambda: real() + seconds * next(odd)
    time.time_ns = lambda: real_ns() + int(seconds * 1e9) * next(odd)


def run(at: int = 0, action: str = "kill", trace: str = "", jump: float = 0.0) -> None:
    """Run the command line; `trace` is the file for the moments."""
    bucket._PATIENCE = LEASE
    storage.LEASE_SECONDS = LEASE  # type: ignore[attr-defined]
    if jump:
        jumping(jump)
    cut = ObjectCut(at, action)
    cut.arm()
    try:
        main()
    finally:
        if trace:
            Path(trace).write_text(json.dumps(cut.trace))


if __name__ == "__main__":
    spec = json.loads(sys.argv.pop(1))
    run(**spec)
