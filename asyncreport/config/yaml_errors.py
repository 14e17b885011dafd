"""What is wrong with a text that is not YAML, or is YAML that a job file must not contain. Pure.

In our own words if the reader's are unclear, or quote the file, which may contain a secret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from asyncreport.config.yaml_causes import Cause, likely_cause
from asyncreport.core.errors import ConfigError

TAG = "tags are not allowed; to write text that starts with !, put it in quotes"
ALIAS = "the alias has no complete anchor above it; to write text that starts with *, quote it"
_DOCUMENT = "a second document starts here; a job file must be one document"


@dataclass(frozen=True, slots=True)
class Source:
    """The text that is read, and how messages name its lines."""

    #: not in the repr: it may contain a secret
    text: str = field(repr=False)
    #: `job.yaml`, or `--set range.end`
    label: str
    #: whether messages add the number of the line
    numbered: bool

    def where(self, line: int) -> str:
        """Name a line, counted from 0 as ruamel's marks do."""
        if self.numbered:
            return f"{self.label}:{line + 1}"
        return self.label

    def line(self, number: int) -> str:
        """Give the text of a line, counted from 0; empty at the end of the file."""
        lines = self.text.splitlines()
        if number >= len(lines):
            return ""
        return lines[number]


class RefusedError(MarkedYAMLError):
    """Report valid YAML that a job file must not contain."""


def not_allowed(source: Source) -> ConfigError:
    """Report an error for which ruamel gives no line."""
    return ConfigError(
        f"{source.label}: is not valid YAML: an escape or a directive is not allowed"
    )


def reader_error(error: ReaderError, source: Source) -> ConfigError:
    """Report a character that YAML does not allow anywhere."""
    line = source.text.count("\n", 0, error.position)
    where = source.where(line)
    character = source.text[error.position]
    return ConfigError(f"{where}: is not valid YAML: control character {character!r}")


def marked_error(error: MarkedYAMLError, source: Source) -> ConfigError:
    """Report an error of ruamel that has a line."""
    mark = _helpful_mark(error)
    if mark is None:
        return ConfigError(f"{source.label}: {_fact(error, source)}")
    cause = _cause(error, mark.line, source)
    if cause is None:
        return ConfigError(f"{source.where(mark.line)}: {_fact(error, source)}")
    return ConfigError(f"{source.where(cause.line)}: is not valid YAML: {cause.text}")


def _cause(error: MarkedYAMLError, line: int, source: Source) -> Cause | None:
    """Find the likely cause of a problem that ruamel has with a line; None: ruamel says it well."""
    problem = str(error.problem)
    if isinstance(error, RefusedError) or any(words in problem for words in _OUR_WORDS):
        return None
    if _hint(error, source):
        return None
    return _never_closed(error) or likely_cause(source.text.splitlines(), line)


def _never_closed(error: MarkedYAMLError) -> Cause | None:
    """Report a quote or a bracket that is never closed, at the line that opens it."""
    mark = error.context_mark
    if mark is None:
        return None
    for words, opened in _OPENED.items():
        if words in str(error.context):
            return Cause(mark.line, f"the {opened} that opens here is not closed")
    return None


#: words in what ruamel was reading -> what opened it
_OPENED = {"quoted scalar": "quote", "flow sequence": "[", "flow mapping": "{"}


def _helpful_mark(error: MarkedYAMLError) -> Any:
    """Choose the position that a message names; None if ruamel gives none."""
    # What is never closed ends with the file: the line that opened it says more.
    if "end of stream" in str(error.problem):
        return error.context_mark
    return error.problem_mark


def _fact(error: MarkedYAMLError, source: Source) -> str:
    """Describe a problem; in our own words if ruamel's are unclear or quote the file."""
    problem = str(error.problem)
    if isinstance(error, RefusedError):
        return problem
    for words, fact in _OUR_WORDS.items():
        if words in problem:
            return fact
    problem = re.sub(r"\('(.*)',\)", r"'\1'", problem)
    return f"is not valid YAML: {problem}{_hint(error, source)}"


#: words in ruamel's message -> ours
_OUR_WORDS = {
    "tag handle": TAG,
    "undefined alias": ALIAS,
    "another document": _DOCUMENT,
}


def _hint(error: MarkedYAMLError, source: Source) -> str:
    """Say what to do about common mistakes that ruamel describes well."""
    problem = str(error.problem)
    if r"'\t'" in problem:
        return "; use spaces instead of the tab"
    if "escape" in problem:
        return "; in double quotes \\ starts an escape: write / or single quotes"
    if "cannot start any token" in problem:
        return "; put a value that starts with it in quotes"
    if re.search(r"\{\w+\}", _line(error, source)):
        return "; put a value that contains { and } in quotes"
    return ""


def _line(error: MarkedYAMLError, source: Source) -> str:
    """Give the text of the line of a problem; empty if ruamel gives no line."""
    if error.problem_mark is None:
        return ""
    return source.line(error.problem_mark.line)
