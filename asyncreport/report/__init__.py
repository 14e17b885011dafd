"""The report: one self-contained HTML file, made from what a job has on disk."""
