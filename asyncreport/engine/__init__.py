"""The engine: chunks to lanes, one chunk to rows."""
