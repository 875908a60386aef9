"""What Alembic runs to make the steps, on the connection that it is given."""

from __future__ import annotations

from alembic import context

from signalling.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # All steps or none: SQLite can, since we begin transactions ourselves.
)
with context.begin_transaction():
    context.run_migrations()
