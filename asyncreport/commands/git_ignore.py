"""Whether git would commit a file. Starts git."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

#: the exit code of `git check-ignore` for a file that is not ignored; 128: not in a repository
_NOT_IGNORED = 1


def is_exposed(path: Path) -> bool:
    """Tell whether a file is in a git repository and not ignored; False if that is not known."""
    git = shutil.which("git")
    if git is None:
        return False
    command = [git, "check-ignore", "--quiet", "--", path.name]
    try:
        # Nothing of what it is given comes from a server.
        answer = subprocess.run(  # noqa: S603
            command, cwd=path.parent, capture_output=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == _NOT_IGNORED
