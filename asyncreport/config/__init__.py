"""The configuration: a job file, `--set`, the environment and `.env` into a Job. Reads files; owns none."""

from __future__ import annotations

from asyncreport.config.environ import read_environ
from asyncreport.config.file import MULTI_VALUED, job_schema
from asyncreport.config.load import load_job, load_options
from asyncreport.config.span import refreshed

__all__ = ["MULTI_VALUED", "job_schema", "load_job", "load_options", "read_environ", "refreshed"]
