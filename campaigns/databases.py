"""Databases that tests make, and leave behind no trace of."""

import time
from typing import Any

import psycopg
from psycopg import sql


def drop_database(connection: psycopg.Connection[Any], name: str) -> None:
    """Drop a database, whoever is connected. Autovacuum is, now and then: nobody may end it, and it is soon done."""
    statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    for _ in range(100):
        try:
            connection.execute(statement)
        except psycopg.errors.InsufficientPrivilege:
            time.sleep(0.1)
        else:
            return
    connection.execute(statement)
