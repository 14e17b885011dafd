"""Bulk export of agent handle time from Genesys Cloud: one job file in, one exact JSONL file out."""

__version__ = "0.1.0"
