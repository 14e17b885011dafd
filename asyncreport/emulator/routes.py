"""Which handler responds to which request, and what a handler gets. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asyncreport.emulator.fields import json_object
from asyncreport.emulator.limits import Token
from asyncreport.emulator.messages import ApiError, Request, Response


@dataclass(frozen=True, slots=True)
class Call:
    """A request whose token is valid."""

    request: Request
    token: Token
    #: seconds
    now: float

    @property
    def last_step(self) -> str:
        """Return the last step of the path: an id, where a route ends with one."""
        return self.request.path.rpartition("/")[2]

    def json_body(self) -> dict[str, Any]:
        """Read the body, which must be a JSON object; raise ApiError."""
        kind = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            message = f"Unsupported Media Type - {kind or 'none'}"
            raise ApiError(415, "unsupported.media.type", message)
        return json_object(self.request.body)


#: raises ApiError
Handler = Callable[[Call], Response]


@dataclass(frozen=True, slots=True)
class Route:
    """A method and path, and how they are answered."""

    method: str
    path: re.Pattern[str]
    #: the client needs any one of them
    permissions: tuple[str, ...]
    handler: Handler

    @classmethod
    def of(
        cls, method: str, path: str, handler: Handler, permissions: tuple[str, ...] = ()
    ) -> Route:
        """Make a route; its path is a regular expression."""
        return cls(method, re.compile(path), permissions, handler)

    def fits(self, request: Request) -> bool:
        """Tell whether a request is for this route."""
        return request.method == self.method and self.path.fullmatch(request.path) is not None
