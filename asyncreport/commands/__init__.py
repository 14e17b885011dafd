"""One module per command: `execute` runs it, and prints what it finds."""
