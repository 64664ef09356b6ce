"""`issuance up`: everything at once, as `./run` does it."""

import typer

from issuance.embedded import up as embedded


def up() -> None:
    """Start everything; Ctrl-C stops it.

    Embedded PostgreSQL and Valkey if DATABASE_URL and REDIS_URL are not set; web, scheduler and workers.
    """
    raise typer.Exit(embedded.up())
