"""The rules of an export. Pure: no I/O, no clock, no environment."""
