"""The job file that the tests of the configuration vary, and how to load it from a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from asyncreport.config import load_job
from asyncreport.core.job import Job

GOOD = """\
name: aht
connections:
  default:
    region: mypurecloud.ie
    client_id: ${ID}
    client_secret: ${SECRET}
range:
  start: 2023-01-01
  end: 2023-02-01
  time_zone: Europe/Dublin
  granularity: PT30M
teams:
  - name: billing
    users: [ada, bob]
output:
  path: exports/aht.jsonl
"""

SECRET = "s3cret-value"
ENVIRON = {"ID": "id-1", "SECRET": SECRET, "EMPTY": "", "BAD": SECRET, "ZONE": f"Mars/{SECRET}"}

#: 2023-11-14T22:13:20Z
NOW = 1_700_000_000_000


def load(
    folder: Path,
    text: str = GOOD,
    *,
    environ: Mapping[str, str] = ENVIRON,
    overrides: Sequence[str] = (),
    now: int = NOW,
) -> Job:
    """Load a text as `job.yaml` of a folder that is the current one."""
    (folder / "job.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    return load_job(Path("job.yaml"), environ=environ, overrides=overrides, now=now)


def with_range(start: str, end: str, zone: str = "UTC", granularity: str = "PT1H") -> str:
    """Vary the range of the good job."""
    tail = GOOD[GOOD.index("teams:") :]
    head = GOOD[: GOOD.index("range:")]
    values = f"start: {start}, end: {end}, time_zone: {zone}, granularity: {granularity}"
    return f"{head}range: {{{values}}}\n{tail}"
