"""Check the characters in the id and the secret of an OAuth client. Pure."""

from __future__ import annotations

import re
import unicodedata

from asyncreport.config.validate import Place

#: accepted in both: visible ASCII characters and blanks
#: (https://www.rfc-editor.org/rfc/rfc6749#appendix-A)
_ALLOWED = re.compile(r"[ -~]*")

_VARIABLE = re.compile(r"\$\{(\w+)\}")
#: the name of a variable as people write it, without braces; a secret may begin with $ too
_BARE_VARIABLE = re.compile(r"\$[A-Z_][A-Z0-9_]*|%[A-Z_][A-Z0-9_]*%")

_STRAIGHT_QUOTES = "'\""
_CURLY_QUOTES = "\u2018\u2019\u201a\u201c\u201d\u201e\u00ab\u00bb"


def check_credential(place: Place, text: str, variable: str = "") -> None:
    """Refuse an id or a secret that cannot come from a server; the value is never shown.

    `variable` is where it comes from if the file names no variable. Raise ConfigError.
    """
    fault = _mistake(text) or _invalid(text)
    if fault:
        raise place.error(f"{_source(place, variable)}{fault}")


def _source(place: Place, variable: str) -> str:
    """Name the variables that a value comes from; empty if the value is in the file itself."""
    names = [variable]
    if place.node is not None:
        names = _VARIABLE.findall(place.node.text)
    if not any(names):
        return ""
    return f"the value of {' and '.join(names)} "


def _mistake(text: str) -> str:
    """Describe a common mistake, and what to do; empty if there is none."""
    if _BARE_VARIABLE.fullmatch(text):
        return "looks like the name of a variable; write ${VARIABLE}, with braces"
    if text[0] in _CURLY_QUOTES or text[-1] in _CURLY_QUOTES:
        return "begins or ends with a curly quote; write straight quotes, or none"
    if text[0] in _STRAIGHT_QUOTES and text[0] == text[-1]:
        return "has quotes around it that belong to the value; remove them"
    if text[-1] in "\r\n":
        return "ends with a line break; remove it: it may come from the file that it was read from"
    if text.strip() != text:
        return "begins or ends with a blank; remove it"
    return ""


def _invalid(text: str) -> str:
    """Describe the first character that is not allowed; empty if all are."""
    match = _ALLOWED.match(text)
    assert match is not None
    if match.end() == len(text):
        return ""
    return f"has {_kind(text[match.end()])}; copy it again: ids and secrets are plain ASCII"


def _kind(character: str) -> str:
    """Say what a character is, without showing it."""
    if character in "\r\n":
        return "a line break"
    kind = unicodedata.category(character)
    if kind == "Cs":
        # Python keeps a byte of the environment that is not UTF-8 in this form.
        return "a byte that is not UTF-8"
    if kind == "Cf":
        return "an invisible character"
    if kind == "Cc":
        return "a control character"
    return "a character that is not ASCII"
