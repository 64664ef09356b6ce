"""Databases that tests make and drop."""

import time
from typing import Any

import psycopg
from psycopg import sql


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
