"""A month that is over goes beside writers who never rest: how long that takes, and how long they wait."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Engine, text

from issuance import audit
from issuance.audit import detaching
from issuance.database import schema
from issuance.database.connections import engine_for, transaction
from issuance.tenancy import brands
from issuance.webhooks import months as of_outbox
from issuance.webhooks import outbox, webhooks

#: A month that is over.
LONG_AGO = date(2019, 3, 1)
WRITERS, SECONDS = 2, 3.0
#: An id of that month.
_ID = "CAST(substr(CAST(least_id('2019-03-09') AS text), 1, 14) || '7' || substr(gen_random_uuid()::text, 16) AS uuid)"
_FILL = (
    f"""
    INSERT INTO audit_entries (brand_id, entry_id, brand_time, action, subject_id, after)
    SELECT :brand_id, {_ID}, now(), 'credit.redeemed', gen_random_uuid(), '{{"redemption_id": "a redemption"}}'
      FROM generate_series(1, :rows)
    """,
    f"""
    INSERT INTO webhook_events (brand_id, event_id, type, occurred_at, data)
    SELECT :brand_id, {_ID}, 'credit.issued', now(), jsonb_build_object('code', gen_random_uuid(), 'guest', 'Somebody')
      FROM generate_series(1, :rows)
    """,
    """
    INSERT INTO deliveries (brand_id, delivery_id, webhook_id, event_id, state, next_at, attempted_at, delivered_at)
    SELECT brand_id, gen_random_uuid(), :webhook_id, event_id, 'delivered', NULL, '2019-04-01', '2019-04-01'
      FROM webhook_events e
     WHERE NOT EXISTS (SELECT FROM deliveries d WHERE d.brand_id = e.brand_id AND d.event_id = e.event_id)
    """,
)
#: Rows that one statement writes.
_AT_ONCE = 50_000


class Gone(NamedTuple):
    """How long it took that a month went, and the longest that somebody who wrote waited meanwhile; in seconds."""

    what: str
    seconds: float
    waited: float


def begin(engine: Engine, first: date = LONG_AGO) -> None:
    """The months begin in one that is over, as if everything had been there since."""
    with transaction(engine) as connection:
        for whole in ("deliveries", "webhook_events", "audit_entries"):
            connection.execute(text(f"DROP TABLE {whole}_earlier"))
        for whole in ("audit_entries", "webhook_events", "deliveries"):
            connection.execute(text("SELECT make_month(:whole, :first)"), {"whole": whole, "first": first})


def measure(url: str, rows: int) -> list[Gone]:
    """Nobody at work, for comparison; then a month of the audit, and one of the outbox, of so many rows each."""
    schema.apply(url)
    engine = engine_for(url)
    begin(engine)
    with transaction(engine) as connection:
        brand_id: UUID = brands.create(connection, name="months", timezone="UTC", sandbox=True)[0]
    with transaction(engine, brand_id) as connection:
        webhook_id = webhooks.create(connection, brand_id, "https://example.com/told", ["credit.issued"])["id"]
    for start in range(0, rows, _AT_ONCE):
        some = {"brand_id": brand_id, "rows": min(_AT_ONCE, rows - start), "webhook_id": webhook_id}
        for fill in _FILL:
            with transaction(engine, brand_id) as connection:
                connection.execute(text(fill), some)
    with transaction(engine) as connection:
        (month,) = detaching.before(connection, LONG_AGO + timedelta(days=31))

    def detach() -> None:
        with transaction(engine) as connection:
            detaching.detach(connection, month)

    def drop() -> None:
        assert len(of_outbox.drop(engine, timedelta(days=30))) == 1

    return [
        _gone(engine, brand_id, "nothing goes", lambda: time.sleep(SECONDS)),
        _gone(engine, brand_id, f"a month of the audit is detached, {rows:,} entries", detach),
        _gone(engine, brand_id, f"a month of the outbox is dropped, {rows:,} events", drop),
    ]


def _gone(engine: Engine, brand_id: UUID, what: str, go: Callable[[], None]) -> Gone:
    with _writing(engine, brand_id) as waits:
        time.sleep(SECONDS)
        waits.clear()
        began = time.monotonic()
        go()
        took = time.monotonic() - began
        time.sleep(0.5)
        return Gone(what, took, max(waits))


@contextmanager
def _writing(engine: Engine, brand_id: UUID) -> Iterator[list[float]]:
    """While it lasts some write entries and tell of something; how long each time took."""
    waits: list[float] = []
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            began = time.monotonic()
            with transaction(engine, brand_id) as connection:
                audit.write(connection, brand_id, "coupon.updated", "tea")
                outbox.add(connection, brand_id, "credit.issued", {"code": "ABC"})
            waits.append(time.monotonic() - began)

    writers = [threading.Thread(target=work) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    try:
        yield waits
    finally:
        over.set()
        for writer in writers:
            writer.join()
