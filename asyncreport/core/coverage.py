"""Find what parts of earlier runs do not cover: intervals and their users. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from asyncreport.core.job import Chunk, Part, batches
from asyncreport.core.timeline import Interval

#: sorted ids; None: everyone
Users = tuple[str, ...] | None

#: what covers an interval of users
Covering = Part | Chunk

#: disjoint, in order of time
Intervals = tuple[Interval, ...]


def missing_by_batch(
    users: Users,
    demanded: Interval,
    parts: Iterable[Covering],
) -> Iterator[tuple[Intervals, Users]]:
    """Walk batches of users who lack the same intervals."""
    covered = _intervals_by_users(parts)
    by_everyone = covered.pop(None, [])
    if users is None:
        yield _subtract(demanded, by_everyone), None
        return
    lacking: defaultdict[Intervals, list[str]] = defaultdict(list)
    for same, intervals in _by_parts(users, covered):
        lacking[_subtract(demanded, by_everyone + intervals)] += same
    yield from _in_batches(lacking)


def _in_batches(lacking: Mapping[Intervals, list[str]]) -> Iterator[tuple[Intervals, Users]]:
    """Cut users who lack the same intervals into batches that one request can name."""
    for missing, users in lacking.items():
        for batch in batches(sorted(users)):
            yield missing, batch


def _intervals_by_users(parts: Iterable[Covering]) -> dict[Users, list[Interval]]:
    """Collect the intervals that the parts of each set of users cover."""
    covered: defaultdict[Users, list[Interval]] = defaultdict(list)
    for part in parts:
        covered[part.users].append(part.interval)
    return covered


def _by_parts(
    users: Sequence[str],
    covered: Mapping[Users, list[Interval]],
) -> Iterator[tuple[list[str], list[Interval]]]:
    """Group the users who are in the same parts, with the intervals of these parts."""
    groups: defaultdict[tuple[int, ...], list[str]] = defaultdict(list)
    for user, sets in _sets_of(users, covered).items():
        groups[tuple(sets)].append(user)
    intervals = list(covered.values())
    for numbers, same in groups.items():
        of_these_parts = [intervals[number] for number in numbers]
        yield same, list(chain.from_iterable(of_these_parts))


def _sets_of(users: Sequence[str], sets: Iterable[Users]) -> dict[str, list[int]]:
    """Give the number of each set that a user is in.

    A set is walked once a month, not once a part: years of history are ten thousand parts of a few
    sets.
    """
    found: dict[str, list[int]] = {user: [] for user in users}
    for number, members in enumerate(sets):
        for user in members or ():
            if user in found:
                found[user].append(number)
    return found


def _subtract(whole: Interval, covered: list[Interval]) -> Intervals:
    """Give what is left of an interval."""
    left: list[Interval] = []
    at = whole.start
    for interval in sorted(covered):
        start = min(interval.start, whole.end)
        if at < start:
            left.append(Interval(at, start))
        at = max(at, interval.end)
    if at < whole.end:
        left.append(Interval(at, whole.end))
    return tuple(left)
