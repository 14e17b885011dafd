"""The configuration: a job file, `--set`, the environment and `.env` become a Job.

Reads files; owns none.
"""

from __future__ import annotations

from asyncreport.config.dates import refresh_interval
from asyncreport.config.elsewhere import Unresolved, unresolved_connections
from asyncreport.config.environ import read_environ
from asyncreport.config.load import load_connection, load_job, load_options, load_text
from asyncreport.config.names import is_uuid
from asyncreport.config.object_paths import storage_settings
from asyncreport.config.schema import MULTI_VALUED, job_schema
from asyncreport.config.zones import load_zone

__all__ = [
    "MULTI_VALUED",
    "Unresolved",
    "is_uuid",
    "job_schema",
    "load_connection",
    "load_job",
    "load_options",
    "load_text",
    "load_zone",
    "read_environ",
    "refresh_interval",
    "storage_settings",
    "unresolved_connections",
]
