"""The JSON Schema of `summary.json`. Pure."""

from __future__ import annotations

from inspect import cleandoc
from typing import Any

import msgspec

from asyncreport.export.summary import Summary


def summary_schema() -> dict[str, Any]:
    """Give the JSON Schema (draft 2020-12); later versions only add keys."""
    schema = msgspec.json.schema(Summary)
    for definition in schema["$defs"].values():
        # Python 3.13 and newer strip the indentation of a docstring, older versions keep it.
        definition["description"] = cleandoc(definition["description"])
        _require_all(definition)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "summary.json of an asyncreport job",
        **schema,
    }


def _require_all(definition: dict[str, Any]) -> None:
    """Mark every key as required: defaults are written too."""
    properties = definition["properties"]
    definition["required"] = list(properties)
    for each in properties.values():
        each.pop("default", None)
