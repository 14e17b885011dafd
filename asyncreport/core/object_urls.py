"""The names of objects of a bucket, whose files are copies in a folder. Pure."""

from __future__ import annotations

import re

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
