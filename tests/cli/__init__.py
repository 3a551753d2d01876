"""The command line as its operator sees it."""
