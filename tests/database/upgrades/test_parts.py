"""The outbox, its deliveries and the audit become parts where they stand, while processes of 0.2.0 write them."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from uuid_utils.compat import uuid7

from issuance.database import schema
from issuance.database.connections import engine_for
from issuance.database.months import make_ahead
from issuance.database.schema import Until
from issuance.database.schema.history import History
from tests.database.upgrades.conftest import connect
from tests.waiting import eventually

RELEASED = Path(__file__).parent / "released" / "0.2.0.sql"
TABLES = ("webhook_events", "deliveries", "audit_entries")
ROWS = 2_000
BRAND, WEBHOOK = uuid4(), uuid4()
# What 0.2.0 does: it names no event where it writes what came of a delivery.
TELL = """
    WITH added AS (INSERT INTO webhook_events (brand_id, event_id, type, occurred_at, data)
                   SELECT %(brand)s, event_id, 'credit.issued', now(), '{}' FROM unnest(%(ids)s::uuid[]) AS event_id
                   RETURNING event_id)
    INSERT INTO deliveries (brand_id, delivery_id, webhook_id, event_id)
    SELECT %(brand)s, gen_random_uuid(), %(webhook)s, event_id FROM added
"""
CLAIM = """
    WITH next AS MATERIALIZED (
         SELECT delivery_id FROM deliveries
          WHERE brand_id = %(brand)s AND webhook_id = %(webhook)s AND state = 'pending' AND next_at <= clock_timestamp()
          ORDER BY next_at, event_id LIMIT 20 FOR UPDATE)
    UPDATE deliveries d SET attempts = d.attempts + 1, attempted_at = clock_timestamp()
      FROM next, webhook_events e
     WHERE d.brand_id = %(brand)s AND d.delivery_id = next.delivery_id
       AND e.brand_id = d.brand_id AND e.event_id = d.event_id
    RETURNING d.delivery_id
"""
RECORD = """
    UPDATE deliveries SET state = 'delivered', next_at = NULL, delivered_at = clock_timestamp()
     WHERE brand_id = %s AND delivery_id = ANY(%s) AND state = 'pending'
"""


def own(connection: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    connection.execute("SET issuance.brand_id = '*'")
    return connection


def tell(connection: psycopg.Connection[Any], ids: list[UUID]) -> None:
    connection.execute(TELL, {"brand": BRAND, "webhook": WEBHOOK, "ids": ids})


@pytest.fixture
def old(empty_database: Callable[[], str]) -> str:
    """A database of 0.2.0 that was brought to before there were months, with what was told and done."""
    url = empty_database()
    before = History()
    before.parts = [part for part in before.parts if part.number < 27]
    with connect(url) as connection:
        connection.execute(RELEASED.read_bytes())
        schema.upgrade(url, Until.BEFORE, history=before)
        own(connection).execute(
            "INSERT INTO brands (brand_id, name, timezone, environment) VALUES (%s, 'old', 'UTC', 'live')", [BRAND]
        )
        connection.execute(
            "INSERT INTO webhooks (brand_id, webhook_id, url, events, signing_secret) "
            "VALUES (%s, %s, 'https://example.com', '{credit.issued}', sha256('a'))",
            [BRAND, WEBHOOK],
        )
        tell(connection, [uuid7() for _ in range(ROWS)])
        note(connection, [uuid7() for _ in range(ROWS)])
    return url


def note(connection: psycopg.Connection[Any], ids: list[UUID]) -> None:
    connection.execute(
        "INSERT INTO audit_entries (brand_id, entry_id, brand_time, action, subject_id) "
        "SELECT %s, id, now(), 'coupon.updated', 'tea' FROM unnest(%s::uuid[]) AS id",
        [BRAND, ids],
    )


def counts(connection: psycopg.Connection[Any]) -> dict[str, int]:
    found = {}
    for table in TABLES:
        row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
        assert row is not None
        found[table] = row[0]
    return found


def test_every_row_stays_while_old_processes_write(old: str) -> None:
    """None is lost or refused; what is there is one part, and months are made where it ends."""
    over = threading.Event()
    told = [0]
    failed: list[BaseException] = []

    def work() -> None:
        try:
            with own(connect(old, "issuance 0.2.0 schema 3")) as connection:
                while not over.is_set():
                    tell(connection, [uuid7()])
                    note(connection, [uuid7()])
                    told[0] += 1
                    claimed = connection.execute(CLAIM, {"brand": BRAND, "webhook": WEBHOOK}).fetchall()
                    connection.execute(RECORD, [BRAND, [one for (one,) in claimed]])
                    over.wait(0.02)  # else its statements, which become slow, leave no turn for minutes
        except BaseException as error:
            failed.append(error)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        eventually(lambda: failed or told[0])
        before = told[0]
        schema.upgrade(old, Until.BEFORE)
        meanwhile = told[0] - before
        eventually(lambda: failed or told[0] > before + meanwhile)
    finally:
        over.set()
        worker.join()
    assert failed == []
    assert schema.diff(old) == []
    engine = engine_for(old)
    with own(connect(old)) as connection:
        assert counts(connection) == dict.fromkeys(TABLES, ROWS + told[0])
        assert meanwhile, "somebody wrote, or this shows nothing"
        make_ahead(engine, ahead=4)
        parts = connection.execute("SELECT count(*), count(since) FROM parts_of('deliveries')").fetchone()
        assert parts in ((2 + 1, 2), (3 + 1, 3)), "two or three months are the old part's"
        leads = """
            SELECT confrelid::regclass::text FROM pg_constraint
             WHERE conname = 'deliveries_of_event' AND conrelid = 'deliveries_earlier'::regclass
        """
        assert connection.execute(leads).fetchone() == ("webhook_events_earlier",)
        with pytest.raises(psycopg.errors.RestrictViolation):
            connection.execute("DELETE FROM audit_entries")
    engine.dispose()


def test_an_id_of_a_clock_that_was_wrong_holds_up_no_upgrade(old: str) -> None:
    """All of it stays one part."""
    far = UUID("ff000000-0000-7000-8000-000000000000")
    with own(connect(old)) as connection:
        tell(connection, [far])
        schema.upgrade(old, Until.BEFORE)
        assert counts(connection) == {"webhook_events": ROWS + 1, "deliveries": ROWS + 1, "audit_entries": ROWS}
        tell(connection, [uuid7(), UUID("ff000000-0000-7000-8000-000000000001")])
        assert connection.execute("SELECT count(*) FROM ONLY deliveries_other").fetchone() == (0,)
    assert schema.diff(old) == []
