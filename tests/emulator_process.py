"""An emulator in a process of its own, and its control channel. Owns the process."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from asyncreport.core.timeline import iso

_ROOT = Path(__file__).parent.parent
#: seconds for any control call, and for the process to come up or go
_PATIENCE = 60
#: no proxy of the environment stands between a test and loopback
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Handle:
    """A running emulator: where it is, and what tests tell and ask it."""

    def __init__(self, url: str, client_id: str, client_secret: str) -> None:
        self.url = url
        self.client_id = client_id
        self.client_secret = client_secret

    def faults(self, script: list[dict[str, Any]]) -> None:
        """Replace the script of faults; see `asyncreport.emulator.faults`."""
        self._call("PUT", "faults", body=json.dumps(script).encode())

    def log(self) -> list[dict[str, Any]]:
        """Give every API request seen so far."""
        found: list[dict[str, Any]] = json.loads(self._call("GET", "log"))
        return found

    def truth(self, start_ms: int, end_ms: int) -> list[dict[str, Any]]:
        """Give every emission in `[start_ms, end_ms)`."""
        return [
            json.loads(line)
            for line in self._call(
                "GET", "truth", start=iso(start_ms), end=iso(end_ms)
            ).splitlines()
        ]

    def statuses(self, start_ms: int, end_ms: int) -> list[dict[str, Any]]:
        """Give every routing status within `[start_ms, end_ms)`, cut at its ends: user_id, status, start, end."""
        told = self._call("GET", "truth", kind="statuses", start=iso(start_ms), end=iso(end_ms))
        return [json.loads(line) for line in told.splitlines()]

    def jobs(self) -> list[dict[str, Any]]:
        """Give the query jobs that were neither deleted nor lost: id, state, polls, pages."""
        found: list[dict[str, Any]] = json.loads(self._call("GET", "jobs"))
        return found

    def members(self, kind: str, of: str, members: Sequence[str]) -> None:
        """Let these user ids be the members of a group, team or queue from now on."""
        self._call("PUT", "members", body=json.dumps({kind: of, "members": list(members)}).encode())

    def wait(self, requests: int) -> None:
        """Return as soon as so many requests to `/api/` have been seen; raise HTTPError (408) after 30 s."""
        self._call("GET", "wait", requests=str(requests))

    def hold(self) -> None:
        """Let API answers wait."""
        self._call("POST", "hold")

    def release(self) -> None:
        """Let API answers go."""
        self._call("POST", "release")

    def _call(self, method: str, what: str, *, body: bytes | None = None, **query: str) -> bytes:
        url = f"{self.url}/emulator/{what}" + (f"?{urlencode(query)}" if query else "")
        with _OPENER.open(
            urllib.request.Request(url, data=body, method=method), timeout=_PATIENCE
        ) as answer:
            found: bytes = answer.read()
            return found


@contextmanager
def emulator_process(agents: int = 40, seed: int = 1, **options: Any) -> Iterator[Handle]:
    """Start an emulator with these `Options` and end it; raise RuntimeError where it does not come up."""
    settings = json.dumps({"agents": agents, "seed": seed, **options})
    command = [sys.executable, "-m", "tests.emulator_serve", settings]
    with subprocess.Popen(
        command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(
                    f"the emulator did not come up with {settings}; its own words are on standard error"
                )
            yield Handle(**json.loads(line))
        finally:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
