"""What Genesys speaks: requests out, typed answers in, no I/O. Pure."""
