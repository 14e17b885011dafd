"""The command line with the logs of all libraries on standard error: `python -m tests.loud run`."""

from __future__ import annotations

import logging
import runpy
import sys

if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG, format="%(name)s %(message)s", stream=sys.stderr)
    for name in ("asyncio", "aiohttp", "aiohttp.client", "asyncreport"):
        logging.getLogger(name).setLevel(logging.DEBUG)
    runpy.run_module("asyncreport", run_name="__main__", alter_sys=True)
