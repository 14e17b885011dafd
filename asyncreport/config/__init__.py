"""The configuration: a job file, `--set`, the environment and `.env` become a Job.

Reads files; owns none.
"""

from __future__ import annotations

from asyncreport.config.dates import refresh_interval
from asyncreport.config.environ import read_environ
from asyncreport.config.load import load_job, load_options, load_text
from asyncreport.config.names import user_id
from asyncreport.config.schema import MULTI_VALUED, job_schema

__all__ = [
    "MULTI_VALUED",
    "job_schema",
    "load_job",
    "load_options",
    "load_text",
    "read_environ",
    "refresh_interval",
    "user_id",
]
