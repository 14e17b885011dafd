"""The configuration: a job file, `--set`, the environment and `.env` into a Job. Reads files; owns none."""

from __future__ import annotations

from asyncreport.config.environ import read_environ
from asyncreport.config.file import job_schema
from asyncreport.config.load import load_job

__all__ = ["job_schema", "load_job", "read_environ"]
