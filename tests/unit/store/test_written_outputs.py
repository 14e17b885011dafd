"""A file without changes is not touched, and a file with changes is written again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event

import pytest

from asyncreport.core.errors import StoreError
from asyncreport.core.job import Part, Team
from asyncreport.core.timeline import Interval
from asyncreport.store.parts import PartReader
from asyncreport.store.remote import NOWHERE
from asyncreport.store.target import Source, Target
from asyncreport.store.written_outputs import Outputs
from tests.unit.store.facts import FORM, blocks, chunk, hours, part_file, written

JANUARY, FEBRUARY = hours(0, 2), hours(800, 802)
EVERYONE = (Team(name="all", connection="default", everyone=True),)


def _parts(folder: Path, users: Sequence[str] = ("a",)) -> list[Part]:
    """Write a part of everyone in January and one of some users in February."""
    return [
        written(folder, 1, chunk(JANUARY, None), blocks([None, "a"], JANUARY)),
        written(folder, 2, chunk(FEBRUARY, None, month="2023-02"), blocks(users, FEBRUARY)),
    ]


def _targets(
    folder: Path,
    parts: Sequence[Part],
    *,
    names: Mapping[str, str | None] | None = None,
    teams: Sequence[Team] = EVERYONE,
    interval: Interval | None = None,
) -> list[Target]:
    """Make a target for each month."""
    sources = {"default": Source.of(parts, {"a": "Ann"} if names is None else names)}
    return [
        Target(
            path=folder / "out" / f"{month}.jsonl",
            interval=interval or hours(0, 900),
            months=(month,),
            teams=tuple(teams),
            sources=sources,
            form=FORM,
        )
        for month in ("2023-01", "2023-02")
    ]


def _write(folder: Path, targets: Sequence[Target]) -> list[str]:
    """Bring the files up to date, and list those that were replaced."""
    before = {
        target.path: target.path.stat().st_ino if target.path.exists() else None
        for target in targets
    }
    kept = {
        target.path: target.path.read_bytes() if target.path.exists() else b"" for target in targets
    }
    links = [target.path.with_suffix(".kept") for target in targets if target.path.exists()]
    for link in links:
        link.hardlink_to(
            link.with_suffix(".jsonl")
        )  # keeps the number of the old file from being used for the new one
    outputs = Outputs(folder)
    with PartReader(folder, NOWHERE) as reader:
        made = outputs.write(targets, reader, Event())
    for link in links:
        link.unlink()
    touched = [path for path, number in before.items() if path.stat().st_ino != number]
    assert outputs.changed.keys() == set(touched)
    assert all(path.read_bytes() == kept[path] for path in before if path not in touched)
    assert {path: one.size for path, one in made.items()} == {
        path: path.stat().st_size for path in before
    }
    return [path.stem for path in touched]


def _unchanged(folder: Path, targets: Sequence[Target]) -> list[bool]:
    outputs = Outputs(folder)
    return [outputs.unchanged(target) is not None for target in targets]


def test_without_changes_no_part_is_read(tmp_path: Path) -> None:
    targets = _targets(tmp_path, _parts(tmp_path))
    assert _unchanged(tmp_path, targets) == [False, False]
    assert _write(tmp_path, targets) == ["2023-01", "2023-02"]
    for number in (1, 2):
        part_file(tmp_path, number).unlink()
    assert _unchanged(tmp_path, targets) == [True, True]
    before = (tmp_path / "outputs.json").stat().st_mtime_ns
    assert _write(tmp_path, targets) == []
    assert (tmp_path / "outputs.json").stat().st_mtime_ns == before
    made = Outputs(tmp_path).unchanged(targets[0])
    assert made is not None
    assert made.records == {"all": 4}


def test_a_new_agent_changes_only_the_months_with_his_records(tmp_path: Path) -> None:
    _write(tmp_path, _targets(tmp_path, _parts(tmp_path)))
    targets = _targets(tmp_path, _parts(tmp_path, ["a", "b"]), names={"a": "Ann", "b": "Bob"})
    assert _unchanged(tmp_path, targets) == [False, False]
    assert _write(tmp_path, targets) == ["2023-02"]
    assert _unchanged(tmp_path, targets) == [True, True]


def test_a_renamed_agent_changes_the_months_he_is_in(tmp_path: Path) -> None:
    parts = _parts(tmp_path, ["b"])
    _write(tmp_path, _targets(tmp_path, parts))
    assert _write(tmp_path, _targets(tmp_path, parts, names={"a": "Anne"})) == ["2023-01"]


@pytest.mark.parametrize(
    "teams",
    [
        (Team(name="renamed", connection="default", everyone=True),),
        (*EVERYONE, Team(name="a", connection="default", users=("a",))),
        (Team(name="all", connection="default", users=("a", "b")),),
    ],
)
def test_other_teams_change_the_output(teams: tuple[Team, ...], tmp_path: Path) -> None:
    parts = _parts(tmp_path)
    _write(tmp_path, _targets(tmp_path, parts))
    assert "2023-01" in _write(tmp_path, _targets(tmp_path, parts, teams=teams))


def test_a_renamed_team_without_records_is_counted_under_its_new_name(tmp_path: Path) -> None:
    for name in ("old", "new"):
        targets = _targets(
            tmp_path, _parts(tmp_path), teams=[Team(name=name, connection="default", users=("x",))]
        )
        _write(tmp_path, targets)
    made = Outputs(tmp_path).unchanged(targets[0])
    assert made is not None
    assert made.records == {"new": 0}


def test_a_range_that_grows_or_shrinks_touches_the_month_that_it_cuts(tmp_path: Path) -> None:
    parts = _parts(tmp_path)
    _write(tmp_path, _targets(tmp_path, parts))
    grown = _targets(tmp_path, parts, interval=hours(0, 10_000))
    assert _unchanged(tmp_path, grown) == [True, True]
    assert _write(tmp_path, _targets(tmp_path, parts, interval=hours(0, 801))) == ["2023-02"]
    assert _write(tmp_path, _targets(tmp_path, parts, interval=hours(1, 801))) == ["2023-01"]


def test_a_part_that_is_fetched_again_without_changes_touches_no_file(tmp_path: Path) -> None:
    old, other = _parts(tmp_path)
    _write(tmp_path, _targets(tmp_path, [old, other]))
    again = written(tmp_path, 3, chunk(JANUARY, None), blocks([None, "a"], JANUARY))
    assert _unchanged(tmp_path, _targets(tmp_path, [again, other])) == [True, True]


def _cut(path: Path) -> None:
    """Shorten a file and keep its time, as an interrupted copy may do."""
    before = path.stat()
    path.write_bytes(path.read_bytes()[:-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _edit(path: Path) -> None:
    """Change a file and keep its size."""
    path.write_bytes(path.read_bytes().swapcase())
    os.utime(path, ns=(0, 0))


@pytest.mark.parametrize("change", [Path.unlink, _cut, _edit])
def test_a_file_that_was_changed_is_written_again(
    change: Callable[[Path], None], tmp_path: Path
) -> None:
    targets = _targets(tmp_path, _parts(tmp_path))
    _write(tmp_path, targets)
    path = targets[1].path
    content = path.read_bytes()
    change(path)
    assert _unchanged(tmp_path, targets) == [True, False]
    assert _write(tmp_path, targets) == ["2023-02"]
    assert path.read_bytes() == content


def test_a_file_that_has_only_another_time_is_looked_at_once_and_left_alone(tmp_path: Path) -> None:
    targets = _targets(tmp_path, _parts(tmp_path))
    _write(tmp_path, targets)
    os.utime(targets[1].path, ns=(0, 0))
    assert _unchanged(tmp_path, targets) == [True, False]
    assert _write(tmp_path, targets) == []
    assert targets[1].path.stat().st_mtime_ns == 0
    assert _unchanged(tmp_path, targets) == [True, True]


def test_files_without_changes_are_left_alone_after_the_state_is_lost(tmp_path: Path) -> None:
    targets = _targets(tmp_path, _parts(tmp_path))
    _write(tmp_path, targets)
    (tmp_path / "outputs.json").unlink()
    times = [target.path.stat().st_mtime_ns for target in targets]
    assert _write(tmp_path, targets) == []
    assert [target.path.stat().st_mtime_ns for target in targets] == times
    assert _unchanged(tmp_path, targets) == [True, True]


def test_the_outputs_json_of_the_last_version_is_read(tmp_path: Path) -> None:
    """It knew no formats and no months, and before that it kept a digest `exact`."""
    targets = _targets(tmp_path, _parts(tmp_path))
    _write(tmp_path, targets)
    path = tmp_path / "outputs.json"
    files = json.loads(path.read_bytes())
    last = ["mtime_ns", "partial", "quick", "records", "sha256", "size"]
    old = {
        name: {**{key: file[key] for key in last}, "exact": "e" * 64}
        for name, file in files.items()
    }
    path.write_text(json.dumps(old))
    assert _unchanged(tmp_path, targets) == [True, True]
    assert _write(tmp_path, targets) == []


_IN_ANOTHER_PROCESS = """
import sys
from pathlib import Path
from asyncreport.store.target import Source
names = {each: each for each in {"a", "b", "c", "d", "e", "f"}}
print(Source.of([], names, names).names_digest)
"""


def test_every_process_gives_the_same_names_the_same_digest() -> None:
    """Whatever the order of its sets."""
    digests = set()
    for seed in "1234":
        done = subprocess.run(
            [sys.executable, "-c", _IN_ANOTHER_PROCESS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1


def test_names_in_another_order_change_nothing(tmp_path: Path) -> None:
    parts = _parts(tmp_path)
    _write(tmp_path, _targets(tmp_path, parts, names={"a": "Ann", "b": "Bob"}))
    other = _targets(tmp_path, parts, names={"b": "Bob", "a": "Ann"})
    assert _unchanged(tmp_path, other) == [True, True]


def test_after_a_run_without_all_names_the_next_one_looks_again_and_touches_no_file(
    tmp_path: Path,
) -> None:
    targets = _targets(tmp_path, _parts(tmp_path))
    for names_complete in (True, False):
        with PartReader(tmp_path, NOWHERE) as reader:
            Outputs(tmp_path).write(targets, reader, Event(), names_complete=names_complete)
    assert _unchanged(tmp_path, targets) == [False, False]
    assert _write(tmp_path, targets) == []
    assert _unchanged(tmp_path, targets) == [True, True]


def test_a_path_that_cannot_be_looked_at_is_an_error(tmp_path: Path) -> None:
    """A missing file counts as changed; any other failure is an error."""
    targets = _targets(tmp_path, _parts(tmp_path))
    _write(tmp_path, targets)
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "out").touch()
    with pytest.raises(StoreError, match="could not be read"):
        Outputs(tmp_path).unchanged(targets[0])


def test_files_made_before_a_failure_are_remembered(tmp_path: Path) -> None:
    targets = _targets(tmp_path, _parts(tmp_path))
    part_file(tmp_path, 2).unlink()
    with (
        pytest.raises(StoreError, match="it has disappeared"),
        PartReader(tmp_path, NOWHERE) as reader,
    ):
        Outputs(tmp_path).write(targets, reader, Event())
    assert _unchanged(tmp_path, targets) == [True, False]


def test_a_file_is_partial_until_nothing_is_missing_even_if_its_bytes_stay_the_same(
    tmp_path: Path,
) -> None:
    targets = _targets(tmp_path, _parts(tmp_path))
    path = targets[0].path
    for partial in (True, False):
        with PartReader(tmp_path, NOWHERE) as reader:
            Outputs(tmp_path, partial=partial).write(targets, reader, Event())
        assert Outputs(tmp_path).is_partial(path) == partial
        assert (Outputs(tmp_path).unchanged(targets[0]) is None) == partial
    assert Outputs(tmp_path, partial=True).unchanged(targets[0]) is None


def test_a_file_that_is_no_longer_written_is_reported_once_and_forgotten(tmp_path: Path) -> None:
    january, february = _targets(tmp_path, _parts(tmp_path))
    _write(tmp_path, [january, february])
    february.path.unlink()
    assert Outputs(tmp_path).forget_others([january.path]) == []
    _write(tmp_path, [january, february])
    assert Outputs(tmp_path).forget_others([february.path]) == [january.path]
    assert Outputs(tmp_path).forget_others([february.path]) == []
    assert Outputs(tmp_path).get(january.path) is None
    assert january.path.exists()


def test_a_path_that_is_not_normalised_is_forgotten_like_any_other(tmp_path: Path) -> None:
    """Somebody may have edited the file by hand."""
    targets = _targets(tmp_path, _parts(tmp_path))
    _write(tmp_path, targets)
    path = tmp_path / "outputs.json"
    path.write_text(path.read_text().replace("/out/", "/out//"))
    assert Outputs(tmp_path).forget_others([]) == [target.path for target in targets]
    assert Outputs(tmp_path).paths() == []
