"""Synapse as we set it, run and fill it: the real one, on SQLite, PostgreSQL and Redis."""
