"""Run a command and print its figures as JSON: `python -S -E measured.py SECONDS COMMAND...`.

Owns the process. This script is a small process of its own because on Linux the peak memory of a
process starts with that of its parent.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time


def main() -> None:
    """Run the command, kill its group after the seconds; its output goes to standard error."""
    seconds, command = int(sys.argv[1]), sys.argv[2:]
    began = time.perf_counter()
    pid = os.posix_spawn(
        command[0], command, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)], setpgroup=0
    )
    signal.signal(signal.SIGALRM, lambda *_: os.killpg(pid, signal.SIGKILL))
    signal.alarm(seconds)
    _, status, usage = os.wait4(pid, 0)
    elapsed = time.perf_counter() - began
    figures = {
        "code": os.waitstatus_to_exitcode(status),
        "seconds": elapsed,
        "cpu": usage.ru_utime + usage.ru_stime,
        # KiB, but bytes on macOS
        "rss_mb": usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
    }
    sys.stdout.write(json.dumps(figures))


if __name__ == "__main__":
    main()
