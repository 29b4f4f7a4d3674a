"""What Alembic runs for every command: on the connection that it was given."""

from alembic import context

from fettle.store.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
