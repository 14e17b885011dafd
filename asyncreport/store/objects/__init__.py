"""A job whose files are objects of a bucket: a working copy on disk, and what it owes the bucket."""
