"""Read the parts of a JSON body; what has the wrong form gets the vendor's error. Pure."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from asyncreport.emulator.messages import ApiError, bad_request
from asyncreport.emulator.zones import load_zone

#: bytes of one request, at most: `request.bytes.max` of
#: https://developer.genesys.cloud/organization/organization/limits
MAX_BYTES = 512_000
#: the 400 that names nothing
MALFORMED = "The request could not be understood by the server due to malformed syntax."


def json_object(body: bytes) -> dict[str, Any]:
    """Read a request's body, which must be a JSON object."""
    if len(body) > MAX_BYTES:
        params = {"limit": str(MAX_BYTES)}
        template = "The request is over the size limit. Maximum bytes: {limit}"
        raise ApiError(413, "request.entity.too.large", template, params)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(MALFORMED) from error
    if not isinstance(value, dict):
        raise bad_request("The request body is not a JSON object")
    return value


def known_fields(value: object, name: str, known: AbstractSet[str]) -> dict[str, Any]:
    """Return the fields of an object that are not null; raise ApiError for an unknown field."""
    if not isinstance(value, dict):
        raise bad_request("The {field} is not an object", field=name)
    for key in value:
        if key not in known:
            raise bad_request("Unrecognized field [{field}] in the {name}", field=key, name=name)
    return {key: inner for key, inner in value.items() if inner is not None}


def list_field(fields: dict[str, Any], name: str) -> list[Any]:
    """Return a list; a missing one is empty."""
    value = fields.get(name, [])
    if not isinstance(value, list):
        raise bad_request("The {field} is not a list", field=name)
    return value


def name_list(fields: dict[str, Any], name: str, known: AbstractSet[str]) -> tuple[str, ...]:
    """Return a list of known names without repeats."""
    names = list_field(fields, name)
    for each in names:
        if not isinstance(each, str) or each not in known:
            raise unknown_value(name, each)
    return tuple(dict.fromkeys(names))


def required_names(fields: dict[str, Any], name: str, known: AbstractSet[str]) -> tuple[str, ...]:
    """Return a list of known names that has at least one."""
    names = name_list(fields, name, known)
    if not names:
        raise bad_request("The {field} may not be empty", field=name)
    return names


def time_zone(name: object) -> ZoneInfo:
    """Find an IANA time zone."""
    try:
        return load_zone(str(name))
    except ValueError as error:
        template = "The value [{value}] of {field} is not an IANA time zone"
        raise bad_request(template, field="timeZone", value=str(name)) from error


def unknown_value(field: str, value: object) -> ApiError:
    """Make the 400 for a value that a field does not accept."""
    return bad_request("The value [{value}] of {field} is unknown", field=field, value=str(value))
