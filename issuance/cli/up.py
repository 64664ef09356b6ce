"""`issuance up`: everything at once, as `./run` does it."""

import typer

from issuance.embedded import up as embedded


def up() -> None:
    """Start everything: database and queue where none are set, web, scheduler, workers. Ctrl-C stops it."""
    raise typer.Exit(embedded.up())
