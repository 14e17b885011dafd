"""The commands: options into one call each; what the command line prints."""
