"""The command line with a storage that is far away: each request to it takes longer.

`python -m tests.bench.far SECONDS run job.yaml`
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import obstore

from asyncreport.cli import main

_REQUESTS = ("get", "get_range", "head", "put", "delete")


def _delayed(request: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    def later(*arguments: Any, **options: Any) -> Any:
        time.sleep(seconds)
        return request(*arguments, **options)

    return later


if __name__ == "__main__":
    delay = float(sys.argv.pop(1))
    for name in _REQUESTS:
        setattr(obstore, name, _delayed(getattr(obstore, name), delay))
    main()
