"""Databases without tables, and a small history of migrations to bring them through."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from campaigns.databases import drop_database
from issuance.addresses import libpq_url
from issuance.database.schema.history import History
from issuance.settings import Settings
from tests.serving import MARK

HISTORY = Path(__file__).parent / "history"
NEWEST = (HISTORY / "newest.sql").read_text()
#: Enough for many batches.
TICKETS = 20_000


@pytest.fixture
def history() -> History:
    return History(HISTORY)


@pytest.fixture
def empty_database(given: Settings) -> Iterator[Callable[[], str]]:
    """Makes databases with nothing in them: `empty_database()` is the address of a new one. All are dropped.

    Past a pooler, where there is one: work on the schema needs a session of its own.
    """
    prefix = f"{MARK}_{secrets.token_hex(4)}"
    made: list[str] = []
    with psycopg.connect(libpq_url(given.schema_url), autocommit=True) as connection:

        def create() -> str:
            name = f"{prefix}_{len(made)}"
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
            made.append(name)
            return make_url(given.schema_url).set(database=name).render_as_string(hide_password=False)

        yield create
        for name in made:
            drop_database(connection, name)


@pytest.fixture
def shop(empty_database: Callable[[], str], history: History) -> str:
    """A shop of version 0.1.0, with tickets of two brands."""
    url = empty_database()
    with connect(url) as connection:
        fill(connection, history)
    return url


def fill(connection: psycopg.Connection, history: History) -> None:
    """The tables and rows of a shop of version 0.1.0."""
    connection.execute(history.base.encode())
    connection.execute("SET issuance.brand_id = '*'")
    connection.execute("INSERT INTO brands SELECT gen_random_uuid(), 'brand ' || n FROM generate_series(1, 2) n")
    connection.execute(
        "INSERT INTO tickets (brand_id, ticket_id, code) SELECT brand_id, gen_random_uuid(), n::text "
        "FROM brands, generate_series(1, %s) n",
        [TICKETS // 2],
    )
    connection.execute("ANALYZE tickets")


def connect(url: str, name: str = "psql") -> psycopg.Connection:
    """A connection of somebody who calls himself `name`."""
    libpq = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(libpq, autocommit=True, application_name=name)
