"""An emulator in its own process, and its control channel. Owns the process."""

from __future__ import annotations

import json
import socket
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from asyncreport.core.timeline import iso
from tests.template import fork

_ROOT = Path(__file__).parent.parent
#: seconds for any control call, and for the process to start or end
_PATIENCE = 60
#: a proxy of the environment must not come between a test and loopback
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Handle:
    """A running emulator: its address, and the calls of its control channel."""

    def __init__(self, url: str, client_id: str, client_secret: str) -> None:
        self.url = url
        self.client_id = client_id
        self.client_secret = client_secret

    def faults(self, script: list[dict[str, Any]]) -> None:
        """Replace the script of faults; see `asyncreport.emulator.faults`."""
        self._call("PUT", "faults", body=script)

    def log(self) -> list[dict[str, Any]]:
        """Return all requests so far, also those to the token endpoint."""
        return list(json.loads(self._call("GET", "log")))

    def truth(self, start_ms: int, end_ms: int) -> list[dict[str, Any]]:
        """Return all emissions in `[start_ms, end_ms)`."""
        return self._rows(start=iso(start_ms), end=iso(end_ms))

    def statuses(self, start_ms: int, end_ms: int) -> list[dict[str, Any]]:
        """Return all routing statuses in `[start_ms, end_ms)`, cut at its ends.

        Each has user_id, status, start and end.
        """
        return self._rows(kind="statuses", start=iso(start_ms), end=iso(end_ms))

    def jobs(self) -> list[dict[str, Any]]:
        """Return the query jobs that were neither deleted nor lost: id, state, polls, pages."""
        return list(json.loads(self._call("GET", "jobs")))

    def members(self, kind: str, of: str, members: Sequence[str]) -> None:
        """Replace the members of a group, team or queue by these user ids."""
        self._call("PUT", "members", body={kind: of, "members": list(members)})

    def wait(self, requests: int) -> None:
        """Return when so many requests to `/api/` have come; raise HTTPError (408) after 30 s."""
        self._call("GET", "wait", requests=str(requests))

    def hold(self) -> None:
        """Hold all responses of the API back."""
        self._call("POST", "hold")

    def release(self) -> None:
        """Send the responses that were held back."""
        self._call("POST", "release")

    def _rows(self, **query: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._call("GET", "truth", **query).splitlines()]

    def _call(self, method: str, what: str, *, body: object = None, **query: str) -> bytes:
        url = f"{self.url}/emulator/{what}"
        if query:
            url += f"?{urlencode(query)}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, method=method)
        with _OPENER.open(request, timeout=_PATIENCE) as response:
            return bytes(response.read())


@contextmanager
def emulator_process(agents: int = 40, seed: int = 1, **options: Any) -> Iterator[Handle]:
    """Start an emulator with these `Options`, and end it; raise RuntimeError if it fails."""
    settings = json.dumps({"agents": agents, "seed": seed, **options})
    ours, theirs = socket.socketpair()
    # The emulator prints its address there, and ends when the other side is closed.
    with ours, ours.makefile("r") as lines:
        with theirs:
            streams = (theirs, theirs, sys.__stderr__)
            process = fork("tests.emulator_serve", settings, streams=streams)
        try:
            line = lines.readline()
            if not line:
                raise RuntimeError(
                    f"the emulator did not start with {settings}; see its standard error"
                )
            yield Handle(**json.loads(line))
        finally:
            process.end()
