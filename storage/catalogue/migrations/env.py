"""What Alembic runs: migrations on the connection, and inside the transaction, that `schema.migrate` hands over."""

from __future__ import annotations

from alembic import context

from storage.catalogue.sql.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters most things only by copying the table
)
context.run_migrations()
