"""Alembic's entry: runs the revisions on the connection that Database.upgrade opened, in its transaction."""

from alembic import context
from sqlmodel import SQLModel

import backend.store.chain_tables
import backend.store.tables  # noqa: F401  (both register their tables)

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
