"""The names of objects of a bucket, whose files are copies in a folder. Pure."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

import msgspec

#: how the path of an object begins
SCHEME = "s3://"

#: how the name of the folder begins that has the copies of one command
COPIES = "asyncreport-copies-"

# The folder is made for one command: its path means nothing to a person.
_COPY = re.compile(rf"/(?:[^/\s\"']+/)*{COPIES}[a-z0-9_]+/")


def as_objects(text: str) -> str:
    """Name objects in a text instead of the files that are copies of them."""
    # Most texts have none, and the expression is slow.
    if COPIES not in text:
        return text
    return _COPY.sub(SCHEME, text)


def named_as_objects(value: Any) -> Any:
    """Name objects in all texts of a value: of structs, dataclasses, lists and mappings."""
    if isinstance(value, str):
        return as_objects(value)
    if isinstance(value, dict):
        return {named_as_objects(key): named_as_objects(each) for key, each in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(map(named_as_objects, value))
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.replace(value, **_fields(value, value.__struct_fields__))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [each.name for each in dataclasses.fields(value)]
        return dataclasses.replace(value, **_fields(value, names))
    return value


def _fields(value: Any, names: Iterable[str]) -> dict[str, Any]:
    """Give the fields of a value, with names of objects."""
    return {name: named_as_objects(getattr(value, name)) for name in names}
