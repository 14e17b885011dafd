"""Parts of the documentation that are made from the code: `python -m tests.pages` writes them.

A part stands between two comments in its page. A test compares it with what the code says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from asyncreport.cli import cli
from asyncreport.config.schema import job_schema
from tests.record_fields import record_fields

DOCS = Path(__file__).parents[1] / "docs"

_Schema = Mapping[str, Any]

#: more values than this are listed below the table
_FEW_VALUES = 5
#: options that the page describes once for all commands
_SHARED = ("folder", "env_file", "amount", "form")


def main() -> None:
    """Write each part into its page."""
    for name in PARTS:
        page = DOCS / name
        page.write_text(made(name, page.read_text()))


def made(name: str, page: str) -> str:
    """Give a page with the part that the code says."""
    found = re.sub(
        r"(?<=<!-- made by python -m tests\.pages -->\n).*?(?=<!-- end -->)",
        lambda _: f"\n{PARTS[name]()}\n",
        page,
        flags=re.DOTALL,
    )
    assert "<!-- end -->" in found
    return found


def job_file_keys() -> str:
    """Describe every key of a job file: a section for each mapping, a table row for each key."""
    schema = job_schema()
    structs = schema["$defs"]
    sections = [_section("The job", structs["JobFile"])]
    for place, name in _mappings("", structs["JobFile"], structs):
        sections.append(_section(f"`{place}`", structs[name]))
    return "\n\n".join(sections)


def _mappings(place: str, struct: _Schema, structs: _Schema) -> Iterator[tuple[str, str]]:
    """Walk the mappings inside a mapping: the key that leads to each, and its type."""
    for key, schema in struct["properties"].items():
        name = _reference(schema)
        if name is not None:
            inner = f"{place}{key}{_item(schema)}"
            yield inner, name
            yield from _mappings(f"{inner}.", structs[name], structs)


def _reference(schema: object) -> str | None:
    """Find the type of the mapping that a key holds, also one of a list; None: it holds none."""
    found = re.search(r"'\$ref': '#/\$defs/(\w+)'", str(schema))
    return None if found is None else found[1]


def _item(schema: _Schema) -> str:
    """Say how the mappings under a key are reached."""
    if "items" in schema:
        return "[]"
    return ".NAME" if "additionalProperties" in schema else ""


def _section(title: str, struct: _Schema) -> str:
    """Write the section of a mapping."""
    required = struct.get("required", ())
    rows = [
        f"### {title}",
        "",
        struct["description"],
        "",
        "| key | accepted | default | meaning |",
        "|---|---|---|---|",
    ]
    lists = []
    for key, schema in struct["properties"].items():
        rows.append(_row(key, schema, required=key in required))
        values = _values(schema)
        if len(values) > _FEW_VALUES:
            lists.append(f"\nValues of `{key}`: {_coded(values)}.")
    return "\n".join(rows + lists)


def _row(key: str, schema: _Schema, *, required: bool) -> str:
    """Write the table row of a key."""
    meaning = schema["description"]
    examples = schema.get("examples")
    if examples:
        meaning += f". Example: {_coded(examples)}"
    default = "**required**" if required else _default(schema)
    cells = [f"`{key}`", _accepted(schema), default, meaning]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _accepted(schema: _Schema) -> str:
    """Say what a key accepts."""
    if schema.get("type") == "array":
        return "a list of " + _one(schema["items"], "mappings", "texts", "values listed below")
    if "additionalProperties" in schema:
        return "mappings by name"
    kinds = [each.get("type") for each in schema.get("anyOf", ())]
    if "array" in kinds:
        return "a text, or a list of texts"
    return _one(schema, "a mapping", "a text", "a value listed below")


def _one(schema: _Schema, mapping: str, text: str, listed: str) -> str:
    """Say what a value is."""
    values = _values(schema)
    if values:
        return _coded(values) if len(values) <= _FEW_VALUES else listed
    kinds = {
        "integer": f"an integer from {schema.get('minimum', 0):,} to {schema.get('maximum', 0):,}",
        "boolean": "`true` or `false`",
        "string": text,
    }
    kind = schema.get("type")
    if kind is None:
        inner = [each["type"] for each in schema.get("anyOf", ()) if "type" in each]
        return " or ".join([*(kinds[each] for each in inner if each in kinds), mapping])
    return kinds[kind]


def _values(schema: _Schema) -> list[str]:
    """List the values that a key, or an item of its list, can have; none: there is no list."""
    holder = schema.get("items", schema)
    for each in (holder, *holder.get("anyOf", ())):
        if "enum" in each:
            return list(each["enum"])
    return []


def _default(schema: _Schema) -> str:
    """Write the default of a key."""
    default = schema.get("default")
    if default is None or isinstance(default, dict):
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`"


def _coded(values: list[str]) -> str:
    """Write values as code."""
    return ", ".join(f"`{value}`" for value in values)


def commands() -> str:
    """Describe every command: its arguments, what it does, and its options."""
    return "\n\n".join(_command(name, each) for name, each in sorted(cli.commands.items()))


def _command(name: str, command: click.Command) -> str:
    """Write the section of a command."""
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    usage = " ".join(["asyncreport", name, *(f"{each.metavar}" for each in arguments)])
    rows = [f"### `{usage}`", "", " ".join((command.help or "").split()), ""]
    options = [each for each in command.params if isinstance(each, click.Option)]
    own = [_option(each) for each in options if each.name not in _SHARED]
    if own:
        rows += ["| option | meaning |", "|---|---|", *own]
    return "\n".join(rows).rstrip()


def _option(option: click.Option) -> str:
    """Write the table row of an option."""
    names = ", ".join(f"`{name}`" for name in option.opts)
    meaning = option.help or ""
    if option.show_default:
        meaning += f" Default: `{option.default}`."
    value = _value(option)
    if value:
        names += f" {value}"
    return f"| {names} | {meaning} |".replace("\\b", "")


def _value(option: click.Option) -> str:
    """Say what follows an option; empty if nothing does."""
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return " or ".join(f"`{choice}`" for choice in option.type.choices)
    return option.metavar or option.type.name.split()[0].upper()


#: by the name of the page
PARTS: Mapping[str, Callable[[], str]] = {
    "job-file.md": job_file_keys,
    "commands.md": commands,
    "record.md": record_fields,
}


if __name__ == "__main__":
    main()
