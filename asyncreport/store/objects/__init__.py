"""Jobs whose files are objects of a bucket: leases, commits, and a copy to work with."""
