"""A script as a process of its own, forked with the imports of `asyncreport` already done.

`python -m tests.script example.py` runs it as `python example.py` would, or as a notebook does:
`await` may stand outside of functions.
"""

from __future__ import annotations

import ast
import asyncio
import sys
import types
from pathlib import Path


def run(path: str) -> None:
    """Run the script; as a coroutine if it awaits."""
    code = compile(Path(path).read_text(), path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    sys.argv = [path]
    value = types.FunctionType(code, {"__name__": "__main__"})()
    if value is not None:
        asyncio.run(value)


if __name__ == "__main__":
    run(sys.argv[1])
