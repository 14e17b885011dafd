"""Print the JSON Schema of a job file."""

from __future__ import annotations

import json

from asyncreport.config import job_schema
from asyncreport.terminal.stdout import show


def execute() -> None:
    """Print the schema."""
    show(json.dumps(job_schema(), indent=2))
