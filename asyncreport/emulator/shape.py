"""The parts of a JSON body, each refused with the vendor's error where it is not of its shape. Pure."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from asyncreport.emulator.answers import Refused, bad_request

#: bytes of one request: `request.bytes.max` of https://developer.genesys.cloud/organization/organization/limits
MOST_BYTES = 512_000


def body_of(body: bytes) -> dict[str, Any]:
    """Read a request's body, an object of JSON."""
    if len(body) > MOST_BYTES:
        raise Refused(
            413, "request.entity.too.large", "Maximum bytes: {limit}", {"limit": str(MOST_BYTES)}
        )
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(
            "The request could not be understood by the server: it is no JSON"
        ) from error
    if not isinstance(asked, dict):
        raise bad_request("The request could not be understood by the server: it is no JSON object")
    return asked


def given(shape: object, name: str, known: AbstractSet[str]) -> dict[str, Any]:
    """Give the fields of an object that are not null."""
    if not isinstance(shape, dict):
        raise bad_request("The {field} is no object", field=name)
    for key in shape:
        if key not in known:
            raise bad_request("Unrecognized field [{field}] in the {name}", field=key, name=name)
    return {key: value for key, value in shape.items() if value is not None}


def items(shape: dict[str, Any], field: str) -> list[Any]:
    """Give a list, empty where it is left out."""
    found = shape.get(field, [])
    if not isinstance(found, list):
        raise bad_request("The {field} is no list", field=field)
    return found


def names(shape: dict[str, Any], field: str, known: AbstractSet[str]) -> tuple[str, ...]:
    """Give a list of known names, each once."""
    for name in items(shape, field):
        if not isinstance(name, str) or name not in known:
            raise unknown(field, name)
    return tuple(dict.fromkeys(items(shape, field)))


def required(shape: dict[str, Any], field: str, known: AbstractSet[str]) -> tuple[str, ...]:
    """Give a list of known names that holds at least one."""
    found = names(shape, field, known)
    if not found:
        raise bad_request("The {field} may not be empty", field=field)
    return found


def zone(name: object) -> ZoneInfo:
    """Find an IANA time zone."""
    try:
        return ZoneInfo(str(name))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise bad_request(
            "The value [{value}] of {field} is no IANA time zone", field="timeZone", value=str(name)
        ) from error


def unknown(field: str, value: object) -> Refused:
    """Make the 400 for a value that a field does not know."""
    return bad_request("The value [{value}] of {field} is unknown", field=field, value=str(value))
