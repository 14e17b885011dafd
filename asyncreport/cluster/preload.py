"""What a local worker process does first; Dask calls `dask_setup`.

https://docs.dask.org/en/stable/customize-initialization.html
"""

from __future__ import annotations

import signal
from typing import Any


def dask_setup(_: Any) -> None:
    """Leave Ctrl-C to the client, also in a process that was started in place of another one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
