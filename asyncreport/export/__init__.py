"""One export from job to files: what the commands and the Python API share."""
