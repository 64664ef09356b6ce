"""Keys of before know when they end by themselves, and those that old processes make go on to."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import psycopg
from uuid_utils.compat import uuid7

from issuance.database import schema
from issuance.database.schema import Until
from issuance.database.schema.history import History
from tests.database.upgrades.conftest import connect

RELEASED = Path(__file__).parent / "released" / "0.2.0.sql"
#: The migration that brings what is tried here.
NUMBER = 29
BRAND = uuid4()
LAST_DAY, OVERLAP = (datetime(2099, 1, day, tzinfo=UTC) for day in (31, 2))
MAKE = """
    INSERT INTO api_keys (brand_id, key_id, key_hash, scopes, name, expires_at)
    VALUES (%s, gen_random_uuid(), decode(md5(%s), 'hex'), '{read}', %s, %s) RETURNING key_id
"""


def make(connection: psycopg.Connection, name: str, expires_at: datetime | None) -> str:
    row = connection.execute(MAKE, [BRAND, name, name, expires_at]).fetchone()
    assert row is not None
    return str(row[0])


def test_an_overlap_is_no_last_day(empty_database: Callable[[], str]) -> None:
    """Of a key that another took the place of before the upgrade, it is not known when it ended by itself."""
    url, before = empty_database(), History()
    before.parts = [part for part in before.parts if part.number < NUMBER]
    with connect(url) as connection:
        connection.execute(RELEASED.read_bytes())
        schema.upgrade(url, Until.BEFORE, history=before)
        connection.execute("SET issuance.brand_id = '*'")
        connection.execute(
            "INSERT INTO brands (brand_id, name, timezone, environment) VALUES (%s, 'old', 'UTC', 'live')", [BRAND]
        )
        make(connection, "with a last day", LAST_DAY)
        make(connection, "for ever", None)
        connection.execute(
            "INSERT INTO audit_entries (brand_id, entry_id, brand_time, action, subject_id) "
            "VALUES (%s, %s, now(), 'key.rotated', %s)",
            [BRAND, uuid7(), make(connection, "rotated", OVERLAP)],
        )
        schema.upgrade(url, Until.BEFORE)
        make(connection, "by an old process", LAST_DAY)
        connection.execute("UPDATE api_keys SET expires_at = %s WHERE name = 'by an old process'", [OVERLAP])
        ends: dict[str, datetime | None] = dict(connection.execute("SELECT name, ends_at FROM api_keys").fetchall())
    assert ends == {"with a last day": LAST_DAY, "for ever": None, "rotated": None, "by an old process": LAST_DAY}
