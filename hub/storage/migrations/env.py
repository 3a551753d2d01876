"""What Alembic runs: take the steps on the connection that we were handed."""

from __future__ import annotations

from alembic import context

# One transaction on both databases, whatever Alembic believes of SQLite: a kill in the middle leaves the
# old schema.
context.configure(
    connection=context.config.attributes["connection"], transactional_ddl=True, render_as_batch=True
)

with context.begin_transaction():
    context.run_migrations()
