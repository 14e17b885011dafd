"""Replace what varies in a command's output, so that a snapshot can be compared with it."""

from __future__ import annotations

import re

#: bytes, records, times of the clock: patterns, and what replaces them
_PATTERNS = (
    (r"http://127\.0\.0\.1:\d+", "URL"),
    (r"[\d,]+ (bytes|records?|handled)\b", r"N \1"),
    (r"[\d.,]+ s pacing", "N s pacing"),
    (r"(requests?) in [\d.,]+ s", r"\1 in N s"),
    (r"[\d.,]+ GB", "N GB"),
    (r"correlation id [^\]]+", "correlation id ID"),
    (r"attempts? in \d+ s", "attempts in N s"),
    (r"requests?, [\d.]+ s at", "requests, N s at"),
    (r"[\d,]+ days ago", "N days ago"),
    (r"ended \d{4}-\S+Z", "ended WHEN"),
    (r"written \d{4}-\S+Z", "written WHEN"),
    (r"by process \d+ on \S+ since \S+Z", "by process PID on HOST since WHEN"),
)


def masked(text: str, **names: object) -> str:
    """Replace paths and ids by the names given, then numbers that vary."""
    for name, value in names.items():
        text = text.replace(str(value), name.upper())
    for pattern, replacement in _PATTERNS:
        text = re.sub(pattern, replacement, text)
    return text
