"""A request and a response as the emulator sees them, and the vendor's form of an error. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One complete request."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    #: names in lower case
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = b""

    def param(self, name: str, default: str = "") -> str:
        """Return the first value of a query parameter."""
        for key, value in self.query:
            if key == name:
                return value
        return default

    def params(self, name: str) -> list[str]:
        """Return all values of a query parameter that may repeat."""
        return [value for key, value in self.query if key == name]

    def integer(self, name: str, default: int) -> int:
        """Return a query parameter that is an integer; raise ApiError if it is not one."""
        text = self.param(name, str(default))
        if not text.isdecimal() or len(text) > 9:
            template = "The value [{value}] of {field} is not an integer"
            raise bad_request(template, field=name, value=text)
        return int(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One complete response."""

    status: int = 200
    #: names in lower case
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)


class ApiError(Exception):
    """The error that the emulated API responds with."""

    def __init__(
        self, status: int, code: str, template: str, params: Mapping[str, str] | None = None
    ) -> None:
        self.status = status
        self.code = code
        self.template = template
        self.params = dict(params or {})
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """Return the template with its parameters filled in."""
        text = self.template
        for name, value in self.params.items():
            text = text.replace("{" + name + "}", value)
        return text


def bad_request(template: str, **params: str) -> ApiError:
    """Make the 400 that says what is wrong with a request."""
    return ApiError(400, "bad.request", template, params)


def not_found() -> ApiError:
    """Make the 404 for a resource that does not exist."""
    return ApiError(404, "not.found", "The requested resource was not found")


def json_response(value: object, status: int = 200) -> Response:
    """Make a response with a JSON body."""
    headers = {"content-type": "application/json"}
    return Response(status=status, headers=headers, body=orjson.dumps(value))


def error_body(error: ApiError, correlation_id: str) -> dict[str, Any]:
    """Write the platform's error body; its contextId is the correlation id.

    The form is `ErrorBody` of the vendor's SDK:
    https://github.com/MyPureCloud/platform-client-sdk-python
    """
    body: dict[str, Any] = {
        "message": error.message,
        "code": error.code,
        "status": error.status,
    }
    if error.params:
        body["messageWithParams"] = error.template
        body["messageParams"] = error.params
    body["contextId"] = correlation_id
    body["details"] = []
    body["errors"] = []
    return body
