"""Alembic's way to the database: the session of the upgrade, in autocommit; steps have transactions of their own."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=False)
context.run_migrations()
