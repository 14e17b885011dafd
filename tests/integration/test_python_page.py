"""The examples of docs/python.md and of the README, executed one after the other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.blocks import texts
from tests.exporting import call

JOB = texts("python.md", "yaml")[0]
BLOCKS = texts("python.md", "python")
FRAMES = [block for block in BLOCKS if "pandas" in block or "polars" in block]


def execute(block: str, folder: Path) -> tuple[str, str]:
    """Run an example; give what it printed to stdout and stderr."""
    (folder / "example.py").write_text(block)
    done = call("example.py", module="tests.script", cwd=folder)
    assert done.code == 0, f"{block}\n{done.err}"
    return done.out, done.err


def test_the_examples_run(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(JOB)
    examples = [block for block in BLOCKS if block not in FRAMES]
    printed = [execute(block, tmp_path) for block in examples]
    assert len(printed) == 7
    records, job_as_dict, notebook, errors, status, sums, messages = printed
    assert records[0].startswith("True {'everyone': 3")
    assert [line[:12] for line in records[0].splitlines()[1:]] == ["Mary O'Brien"] * 3
    assert "default 1 requests\n" in job_as_dict[0]
    assert "OK reached " in job_as_dict[0]
    assert notebook == ("True False\n", "")
    assert errors == ("", "")
    assert status[0].startswith("current 3")
    assert status[0].endswith("True\n")
    assert re.fullmatch(r"everyone: \d+\.\d s\n", sums[0])
    assert "INFO aht: nothing to do, 1 part reused" in messages[1]
    assert {each[1] for each in printed[:-1]} == {""}


@pytest.mark.extra
def test_the_examples_of_data_frames_run(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(JOB)
    execute(BLOCKS[0], tmp_path)
    means = [re.findall(r"\d{3}\.\d+", execute(block, tmp_path)[0])[0] for block in FRAMES]
    assert len(means) == 2
    assert float(means[0]) == pytest.approx(float(means[1]))


@pytest.mark.extra
def test_the_example_of_the_readme_runs(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(JOB)
    for block in texts("README.md", "python"):
        execute(block, tmp_path)
