"""Paths in a bucket: which are accepted, and what is said about the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asyncreport.config import load_job
from asyncreport.core.errors import ConfigError
from asyncreport.core.job import Job
from asyncreport.core.timeline import parse_iso
from asyncreport.formats import Library

NOW = parse_iso("2025-01-01T00:00Z")


def load(folder: Path, path: Any, *, installed: bool = True, **environ: str) -> Job:
    """Load a job with output files in these places."""
    job = {
        "name": "job",
        "connections": {"default": {"emulator": {}}},
        "range": {"start": "2024-01-01", "end": "2024-01-02"},
        "teams": [{"name": "all", "everyone": True}],
        "output": {"path": path},
    }
    file = folder / "job.yaml"
    file.write_text(json.dumps(job))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Library, "is_installed", property(lambda _: installed))
        return load_job(file, environ=environ, now=NOW)


def test_the_variables_of_the_storage_are_kept_for_a_bucket_only(tmp_path: Path) -> None:
    variables = {"AWS_REGION": "eu-west-1", "AWS_SECRET_ACCESS_KEY": "hidden", "AWS_OTHER": "x"}
    job = load(tmp_path, "s3://my-bucket/a/{month}.jsonl", **variables)
    assert {name: value.reveal() for name, value in job.storage.items()} == {
        "AWS_REGION": "eu-west-1",
        "AWS_SECRET_ACCESS_KEY": "hidden",
    }
    assert "hidden" not in repr(job)
    assert not load(tmp_path, "a.jsonl", **variables).storage


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("gs://bucket/a.jsonl", "gs:// is not supported"),
        ("https://bucket/a.jsonl", "https:// is not supported"),
        ("s3://B/a.jsonl", "name a bucket of 3 to 63 lower-case letters"),
        ("s3:///a.jsonl", "name a bucket of 3 to 63 lower-case letters"),
        ("s3://bucket", "name a file in the bucket"),
        ("s3://bucket/a//b.jsonl", "without an empty folder"),
        ("s3://bucket/../b.jsonl", "without an empty folder"),
        ("s3://bucket/a.txt", "be a file with a known extension"),
        (["s3://one-bucket/a.jsonl", "s3://two-bucket/b.csv"], "be in the same place as"),
        (["s3://one-bucket/a.jsonl", "b.csv"], "be in the same place as"),
        (["a.jsonl", "s3://one-bucket/b.csv"], "be in the same place as"),
    ],
)
def test_other_paths_are_refused(tmp_path: Path, path: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=r"output\.path") as caught:
        load(tmp_path, path)
    assert says in str(caught.value)


def test_without_the_extra_its_command_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"pip install 'asyncreport\[s3\]'"):
        load(tmp_path, "s3://bucket/a.jsonl", installed=False)


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_an_endpoint_without_encryption_must_be_allowed(tmp_path: Path, name: str) -> None:
    path = "s3://bucket/a.jsonl"
    with pytest.raises(ConfigError, match=f"{name}: .* is not encrypted"):
        load(tmp_path, path, **{name: "http://storage.example"})
    assert load(tmp_path, path, **{name: "http://storage.example", "AWS_ALLOW_HTTP": "true"})
    assert load(tmp_path, path, **{name: "https://storage.example"})
    with pytest.raises(ConfigError, match=f"{name}: .* must be a URL"):
        load(tmp_path, path, **{name: "storage.example"})
