"""Discard what is written to a stream that is broken. Owns nothing."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TextIO


def discard(stream: TextIO | None) -> None:
    """Send to /dev/null what a stream still holds and what is written to it from now on.

    Otherwise the interpreter would try again when it ends, fail again, and end with 120.
    """
    # A stream without a descriptor holds nothing that could fail.
    if stream is None:
        return
    with suppress(OSError), Path(os.devnull).open("wb") as null:
        os.dup2(null.fileno(), stream.fileno())
