"""One suite for every store, run on SQLite (a real file) and on PostgreSQL (a real server)."""
