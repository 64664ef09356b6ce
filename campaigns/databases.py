"""Databases that tests and campaigns make and drop, and the server that they are on."""

import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from issuance.addresses import libpq_url
from issuance.database import schema
from issuance.embedded.lock import SupervisorLock
from issuance.embedded.servers import supervised

#: For who asks no queue.
NO_BROKER = "redis://127.0.0.1:1/0"


def drop_database(connection: psycopg.Connection[Any], name: str) -> None:
    """Drop a database although others are connected. Only a superuser can end autovacuum, so wait for it."""
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    for _ in range(100):
        try:
            connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            time.sleep(0.1)
        else:
            return
    connection.execute(statement)


@contextmanager
def database_of_its_own(server_url: str) -> Iterator[str]:
    """A database with the schema on that server, for as long as this goes on."""
    url = make_url(server_url).set(database=f"issuance_campaign_{secrets.token_hex(4)}")
    name, address = str(url.database), url.render_as_string(hide_password=False)
    with psycopg.connect(libpq_url(server_url), autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        try:
            schema.apply(address)
            yield address
        finally:
            drop_database(connection, name)


@contextmanager
def database_server() -> Iterator[str]:
    """The address of DATABASE_URL's server, else of one that lives as long as this does."""
    os.environ.setdefault("REDIS_URL", NO_BROKER)
    given = os.environ.get("DATABASE_URL")
    if given:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="issuance-simulation-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        lock = SupervisorLock(home)
        assert lock.take(), "a new folder's lock is free"
        with supervised(home, lock, durable=False) as servers:
            os.environ.update(servers.addresses())
            yield os.environ["DATABASE_URL"]
