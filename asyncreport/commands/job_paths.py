"""Find mistakes in the paths of several jobs: one is named twice, or a blank is not in quotes.

Reads no file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from asyncreport.core.errors import ConfigError

#: words of one path that are joined at most
_MOST_WORDS = 6


def check_paths(paths: Sequence[Path]) -> None:
    """Check the paths of several jobs; raise ConfigError."""
    _check_quotes(paths)
    seen = set()
    for path in paths:
        if path.resolve() in seen:
            raise ConfigError(f"{path} is named twice; name each job once")
        seen.add(path.resolve())


def _check_quotes(paths: Sequence[Path]) -> None:
    """Check that no path was split at its blanks; raise ConfigError.

    Otherwise a run would fetch the job whose file happens to have the name of the last word.
    """
    if all(path.exists() for path in paths):
        return
    for words in _neighbours(paths):
        joined = Path(" ".join(map(str, words)))
        if joined.is_file() and not all(word.exists() for word in words):
            raise ConfigError(f'put the path in quotes, because it has a blank: "{joined}"')


def _neighbours(paths: Sequence[Path]) -> Iterator[Sequence[Path]]:
    """List the paths that may be words of one."""
    for start in range(len(paths)):
        for end in range(start + 2, min(start + _MOST_WORDS, len(paths)) + 1):
            yield paths[start:end]
