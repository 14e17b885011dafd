"""A request and an answer as the emulator sees them, and the vendor's form of an error. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request, whole."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    #: names in lower case
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = b""

    def one(self, name: str, default: str = "") -> str:
        """Give a query parameter's first value."""
        return next((value for key, value in self.query if key == name), default)

    def many(self, name: str) -> list[str]:
        """Give the values of a query parameter that may repeat or hold a list with commas."""
        return [
            part for key, value in self.query if key == name for part in value.split(",") if part
        ]

    def number(self, name: str, default: int) -> int:
        """Give a query parameter that is a whole number; raise Refused where it is none."""
        text = self.one(name, str(default))
        if not text.isdecimal() or len(text) > 9:
            raise bad_request(
                "The value [{value}] of {field} is no whole number", field=name, value=text
            )
        return int(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer, whole."""

    status: int = 200
    #: names in lower case
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)


class Refused(Exception):
    """Carry the error that the emulated API answers with."""

    def __init__(
        self, status: int, code: str, template: str, params: Mapping[str, str] | None = None
    ) -> None:
        self.status, self.code, self.template, self.params = (
            status,
            code,
            template,
            dict(params or {}),
        )
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """Give the template with its parameters filled in."""
        text = self.template
        for name, value in self.params.items():
            text = text.replace("{" + name + "}", value)
        return text


def bad_request(template: str, **params: str) -> Refused:
    """Make the 400 that says what is wrong with a request."""
    return Refused(400, "bad.request", template, params)


def not_found() -> Refused:
    """Make the 404 of whatever there is not."""
    return Refused(404, "not.found", "The requested resource was not found")


def as_json(value: object, status: int = 200) -> Answer:
    """Answer with a JSON body."""
    return Answer(
        status=status, headers={"content-type": "application/json"}, body=orjson.dumps(value)
    )


def error_body(refused: Refused, correlation_id: str) -> dict[str, Any]:
    """Write the platform's error body: `ErrorBody` of the vendor's SDKs; contextId is the correlation id."""
    body: dict[str, Any] = {
        "message": refused.message,
        "code": refused.code,
        "status": refused.status,
    }
    if refused.params:
        body |= {"messageWithParams": refused.template, "messageParams": refused.params}
    return body | {"contextId": correlation_id, "details": [], "errors": []}
