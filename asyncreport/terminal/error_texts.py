"""The text of errors of click and of the system, and of bugs in asyncreport. Pure."""

from __future__ import annotations

import re

import click

#: the exit code if the system cannot read or write a file, or has no memory
_SYSTEM_ERROR = 5

#: the exit code after a bug in asyncreport: EX_SOFTWARE of sysexits.h
_INTERNAL_ERROR = 70

#: the suggestion in an error of click
_DID_YOU_MEAN = re.compile(r"\. Did you mean (.*)\?")

OUT_OF_MEMORY = (
    "not enough memory, or too many threads; give the process more, or set range.chunk to a "
    "shorter time, and run again: finished work is kept"
)


def usage_error(error: click.ClickException) -> str:
    """Say what is wrong with the command line, in the form of our own errors."""
    text = _DID_YOU_MEAN.sub(r" (did you mean \1?)", error.format_message().rstrip("."))
    text = text[:1].lower() + text[1:]
    context = getattr(error, "ctx", None)
    if context is None:
        return text
    return f"{text}; see {context.command_path} --help"


def unexpected_error(error: BaseException) -> tuple[str, int]:
    """Describe an error that is not an AsyncReportError; give its exit code too."""
    if isinstance(error, OSError):
        return f"{os_error(error)}; run again with -v to see the traceback", _SYSTEM_ERROR
    if is_out_of_memory(error):
        return OUT_OF_MEMORY, _SYSTEM_ERROR
    return internal_error(error), _INTERNAL_ERROR


def os_error(error: OSError) -> str:
    """Name the file or the operating system, and say what went wrong."""
    place = error.filename or "operating system"
    return f"{place}: {error.strerror or error}"


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether there was not enough memory, perhaps for one more thread."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't start new thread" in str(error)


def internal_error(error: BaseException) -> str:
    """Ask the person to report a bug."""
    kind = type(error).__name__
    return (
        f"internal error, {kind}: {error}; this is a bug in asyncreport: please report it with "
        "the output of the same command with -v; finished work is kept"
    )
