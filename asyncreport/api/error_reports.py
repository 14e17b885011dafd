"""What a server says about an error: the body of a response becomes a report fit to be shown. Pure.

Only text in the platform's own form is shown, without secrets and cut to one line.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from asyncreport.api.redaction import redact
from asyncreport.api.wire import Request, Response, as_correlation_id
from asyncreport.core.text import one_line

#: characters of a server's text that are shown
MAX_TEXT = 200
_MAX_CODE = 80

#: the error codes of a token endpoint: https://www.rfc-editor.org/rfc/rfc6749#section-5.2
_OAUTH_CODES = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    }
)

_NOT_PLATFORM = "this is not an error message of Genesys Cloud; a proxy or gateway may have sent it"


@dataclass(frozen=True, slots=True)
class Report:
    """What a server says about an error: text of one line that may be shown, or nothing."""

    code: str = ""
    text: str = ""
    #: the correlation id, as the body gives it
    correlation_id: str | None = None
    #: the token endpoint refuses because it had too many requests
    throttled: bool = False
    #: the body is a JSON object
    is_json: bool = True
    #: the body has the form of the platform or of a token endpoint
    is_platform: bool = True


def read_report(request: Request, response: Response, secrets: Collection[str]) -> Report:
    """Read what a server says about an error, without secrets."""
    try:
        body = msgspec.json.decode(response.body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _foreign_report(request, response)
    if request.host == "login":
        return _token_report(response.status, body)
    return _platform_report(body, secrets)


def _foreign_report(request: Request, response: Response) -> Report:
    """Report a body without JSON; an empty one says nothing, and the login host needs no hint."""
    if request.host == "login" or not response.body.strip():
        return Report(is_json=False, is_platform=False)
    return Report(text=_NOT_PLATFORM, is_json=False, is_platform=False)


def _token_report(status: int, body: dict[str, Any]) -> Report:
    """Read an error of the token endpoint; its text may quote the client's secret."""
    code = _text(body, "error")
    if code not in _OAUTH_CODES:
        code = ""
    if status == 400 and _limits_rate(body):
        return Report(code=code, text="too many requests for a token", throttled=True)
    return Report(code=code, is_platform=bool(code))


def _limits_rate(body: dict[str, Any]) -> bool:
    """Tell whether the token endpoint refuses because of too many requests.

    It does that with a 400: https://github.com/MyPureCloud/terraform-provider-genesyscloud
    """
    description = _text(body, "error_description") or _text(body, "description")
    description = _text(body, "message") or description
    return description.lower().startswith("rate limit exceeded")


def _platform_report(body: dict[str, Any], secrets: Collection[str]) -> Report:
    """Read an error in the platform's form; other JSON says nothing that may be shown."""
    correlation_id = as_correlation_id(_text(body, "contextId"))
    code = _shown(_text(body, "code"), secrets, _MAX_CODE)
    message = _shown(_text(body, "message"), secrets)
    if body and not (message or code):
        return Report(text=_NOT_PLATFORM, correlation_id=correlation_id, is_platform=False)
    details = _shown(_named_details(body, message), secrets)
    if details:
        message = f"{message} ({details})".strip()
    return Report(code=code, text=message, correlation_id=correlation_id)


def _named_details(body: dict[str, Any], message: str) -> str:
    """List the details with their names, except values that the message itself has."""
    named = [f"{name}: {value}" for name, value in _details(body) if value not in message]
    return ", ".join(dict.fromkeys(named))


def _shown(text: str, secrets: Collection[str], longest: int = MAX_TEXT) -> str:
    """Prepare a server's text for a message: redact first, because a cut secret is not found."""
    return one_line(redact(text, secrets), longest)


def _details(body: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what the platform names next to its message: fields, values, permissions, limits."""
    for name, value in _object(body, "messageParams").items():
        yield name, _shown_value(value)
    for field in _wrong_fields(body.get("details")):
        yield "field", field
    limit = _object(body, "limit")
    yield _text(limit, "key"), _shown_value(limit.get("value"))


def _wrong_fields(details: object) -> Iterator[str]:
    """Walk the names of the fields that the platform complains about."""
    if not isinstance(details, list):
        return
    for detail in details:
        if isinstance(detail, dict):
            yield _text(detail, "fieldName")


def _shown_value(value: object) -> str:
    """Write a text, a number or a list of them.

    Nothing else: a `repr` spells a secret in a way that `redact` does not recognize.
    """
    values = value if isinstance(value, list) else [value]
    plain = [str(each) for each in values if isinstance(each, str | int | float)]
    return ", ".join(plain)


def _object(body: dict[str, Any], key: str) -> dict[str, Any]:
    """Return an object of a body; an empty one if it is absent or something else."""
    value = body.get(key)
    if isinstance(value, dict):
        return value
    return {}


def _text(body: dict[str, Any], key: str) -> str:
    """Return a text of a body; an empty one if it is absent or something else."""
    value = body.get(key)
    if isinstance(value, str):
        return value
    return ""
