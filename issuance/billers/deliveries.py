"""What billers sent: each webhook is stored as it came before it is answered, with what became of it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple, get_args
from uuid import UUID

from sqlalchemy import Connection, func, select, text

from issuance import audit, limits, origins
from issuance.billers.adapter import Unmappable, Wait
from issuance.database import paging
from issuance.database.fragments import translating
from issuance.database.tables import biller_deliveries
from issuance.engine.rows import as_json
from issuance.origins import NOWHERE, Origin, sane

State = Literal["pending", "translated", "waiting", "asking", "unmappable", "refused"]
STATES: tuple[str, ...] = get_args(State)

#: How long a delivery waits for what should have come before (real time). Billers retry a failed delivery for longer,
#: but most late ones come within this.
PATIENCE = timedelta(hours=1)
#: How many bytes of a body a list shows: a page of a hundred fits into an answer, whatever the bodies are.
LONGEST_SHOWN = 12 * 1024
#: Characters of the message why a delivery is not translated, and of the name that it waits for. Billers choose such
#: names: no id or price is longer.
LONGEST_MESSAGE, LONGEST_NAME = 500, 255
_CONTROLS = dict.fromkeys({*range(32)} - {*b"\t\n\r"}, "\N{REPLACEMENT CHARACTER}")

# Makes a delivery pending again that was set aside or waited.
_PENDING_AGAIN = "state = 'pending', waits_for = NULL, next_at = NULL, code = NULL, message = NULL"
_STORE = text("""
    INSERT INTO biller_deliveries (brand_id, biller_id, delivery_id, body, state, code, message, request_id,
                                   traceparent)
    VALUES (:brand_id, :biller_id, :delivery_id, :body, :state, :code, :message, :request_id, :traceparent)
    ON CONFLICT ON CONSTRAINT biller_deliveries_pkey DO NOTHING
""")
_LOCK = text(f"SELECT pg_try_advisory_xact_lock({translating(':biller_id')})")
_HOLD_WAITING = text(f"SELECT pg_advisory_xact_lock({translating(':biller_id')})")
_MENDED = text(f"""
    UPDATE biller_deliveries
       SET {_PENDING_AGAIN}, attempts = 0
     WHERE (brand_id, biller_id, delivery_id) IN (
               SELECT d.brand_id, d.biller_id, d.delivery_id
                 FROM biller_deliveries d JOIN billers b USING (brand_id, biller_id)
                WHERE b.kind = :kind AND d.state = 'unmappable' AND d.adapter < :version LIMIT :most)
       AND state = 'unmappable'
""")
_READ = text("""
    SELECT delivery_id, body, received_at < clock_timestamp() - CAST(:patience AS interval) AS overdue,
           CASE WHEN adapter IS NULL THEN received_at END AS received_at, request_id, traceparent
      FROM biller_deliveries
     WHERE brand_id = :brand_id AND biller_id = :biller_id AND state = 'pending'
       AND delivery_id = ANY(CAST(:ids AS text[]))
     FOR UPDATE SKIP LOCKED
""")
_MARK = text("""
    UPDATE biller_deliveries d
       SET state = became.state, waits_for = became.waits_for, code = became.code, message = became.message,
           attempts = CASE WHEN became.state = 'asking' THEN d.attempts ELSE 0 END,
           next_at = CASE became.state
               WHEN 'waiting' THEN clock_timestamp() + CASE
                   WHEN d.received_at < clock_timestamp() - CAST(:patience AS interval) THEN interval '1 day'
                   ELSE CAST(:patience AS interval) END
               WHEN 'asking' THEN coalesce(d.next_at, clock_timestamp()) END,
           adapter = :adapter, translated_at = CASE WHEN became.state = 'translated' THEN clock_timestamp() END
      FROM json_to_recordset(CAST(:rows AS json))
           AS became (delivery_id text, state text, waits_for text, code text, message text)
     WHERE d.brand_id = :brand_id AND d.biller_id = :biller_id AND d.delivery_id = became.delivery_id
""")
_WAKE = text(f"""
    UPDATE biller_deliveries
       SET {_PENDING_AGAIN}, attempts = 0
     WHERE brand_id = :brand_id AND biller_id = :biller_id AND waits_for = ANY(CAST(:keys AS text[]))
       AND state IN ('waiting', 'asking', 'unmappable')
""")
_RETRY = text(f"""
    UPDATE biller_deliveries
       SET {_PENDING_AGAIN}, attempts = 0
     WHERE brand_id = :brand_id AND biller_id = :biller_id AND state = ANY(CAST(:states AS text[]))
""")
_LOOK_AGAIN = text(f"""
    UPDATE biller_deliveries SET {_PENDING_AGAIN}
     WHERE (brand_id, biller_id, delivery_id) IN (
           SELECT brand_id, biller_id, delivery_id FROM biller_deliveries
            WHERE next_at <= clock_timestamp() AND state = 'waiting' LIMIT :most FOR UPDATE SKIP LOCKED)
""")
# Brands take turns.
_WITH_PENDING = text("""
    SELECT b.brand_id, b.biller_id FROM billers b
     WHERE EXISTS (SELECT FROM biller_deliveries d
                    WHERE d.brand_id = b.brand_id AND d.biller_id = b.biller_id AND d.state = 'pending'
                      AND d.received_at < clock_timestamp() - CAST(:older_than AS interval))
     ORDER BY row_number() OVER (PARTITION BY b.brand_id), b.biller_id LIMIT :most
""")
_FORGET = text("""
    DELETE FROM biller_deliveries
     WHERE (brand_id, biller_id, delivery_id) IN (
               SELECT brand_id, biller_id, delivery_id FROM biller_deliveries
                WHERE state IN ('translated', 'refused') AND received_at < clock_timestamp() - CAST(:kept AS interval)
                LIMIT :most)
       AND state IN ('translated', 'refused')
""")
# Names and messages are cut here too: rows of older versions may hold longer ones.
_COUNTS = text("""
    SELECT biller_id, state, code, price, count(*) AS deliveries, min(received_at) AS since,
           mode() WITHIN GROUP (ORDER BY message) AS message, count(DISTINCT message) AS messages
      FROM (SELECT biller_id, state, code, received_at, left(message, :longest_message) AS message,
                   CASE WHEN state = 'unmappable' THEN left(waits_for, :longest_name) END AS price
              FROM biller_deliveries
             WHERE brand_id = :brand_id AND biller_id = ANY(CAST(:biller_ids AS uuid[]))
               AND state IN ('unmappable', 'waiting', 'asking', 'refused', 'pending')) d
     GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4 LIMIT :most
""")


class Delivery(NamedTuple):
    """A webhook that is to be translated. `overdue`: what it may have waited for has been missing for long.
    `received_at`: None if it was looked at before and waits for something else. `origin`: the request that brought
    it."""

    delivery_id: str
    body: bytes
    overdue: bool
    received_at: datetime | None = None
    origin: Origin = NOWHERE


class Became(NamedTuple):
    """What a delivery became."""

    delivery_id: str
    state: State
    waits_for: str | None = None
    code: str | None = None
    message: str | None = None


def store(
    connection: Connection,
    brand_id: UUID,
    biller_id: UUID,
    delivery_id: str,
    body: bytes,
    refused: Unmappable | None = None,
) -> bool:
    """Keep a webhook as it came; False if it is kept already. `refused`: why it will never be translated."""
    row = {
        "brand_id": brand_id,
        "biller_id": biller_id,
        "delivery_id": delivery_id,
        "body": body,
        "state": "pending" if refused is None else "refused",
        "code": refused and refused.code,
        "message": refused and refused.message[:LONGEST_MESSAGE],
        **origins.here()._asdict(),
    }
    return connection.execute(_STORE, row).rowcount > 0


def lock(connection: Connection, biller_id: UUID, *, wait: bool = False) -> bool:
    """Be the only one who translates a biller's webhooks until the transaction ends. False if somebody else does,
    unless this is to `wait`."""
    if wait:
        connection.execute(_HOLD_WAITING, {"biller_id": biller_id})
        return True
    return bool(connection.scalar(_LOCK, {"biller_id": biller_id}))


def retry_mended(connection: Connection, kind: str, version: int, most: int) -> int:
    """Make pending again at most so many deliveries that an older version of a kind's adapter could not translate, and
    count them."""
    return connection.execute(_MENDED, {"kind": kind, "version": version, "most": most}).rowcount


def read(connection: Connection, brand_id: UUID, biller_id: UUID, ids: Sequence[str]) -> list[Delivery]:
    """The deliveries that are still to be translated, of these; they are locked."""
    which = {"brand_id": brand_id, "biller_id": biller_id, "ids": list(ids), "patience": PATIENCE}
    found = connection.execute(_READ, which)
    return [
        Delivery(one.delivery_id, bytes(one.body), one.overdue, one.received_at, sane(one.request_id, one.traceparent))
        for one in found
    ]


def mark(connection: Connection, brand_id: UUID, biller_id: UUID, became: Sequence[Became], *, adapter: int) -> None:
    """Note what deliveries became."""
    if became:
        rows = as_json([{**one._asdict(), **cut(one.message, one.waits_for)} for one in became])
        which = {"brand_id": brand_id, "biller_id": biller_id, "patience": PATIENCE, "adapter": adapter}
        connection.execute(_MARK, {**which, "rows": rows})


def wake(connection: Connection, brand_id: UUID, biller_id: UUID, keys: Collection[str]) -> int:
    """Make the deliveries pending that wait for any of these objects or prices, and count them."""
    if not keys:
        return 0
    which = {"brand_id": brand_id, "biller_id": biller_id, "keys": sorted(keys)}
    return connection.execute(_WAKE, which).rowcount


def retry(
    connection: Connection,
    brand_id: UUID,
    biller_id: UUID,
    states: Sequence[State] = ("unmappable", "waiting"),
) -> int:
    """Make pending again what could not be translated, and count it. This waits for a translation under way, whose
    results are found here; a later translation reads the map as it is now."""
    lock(connection, biller_id, wait=True)
    which = {"brand_id": brand_id, "biller_id": biller_id, "states": list(states)}
    return connection.execute(_RETRY, which).rowcount


def retry_by_hand(connection: Connection, brand_id: UUID, biller_id: UUID) -> int:
    """`retry` because a person asked for it: the audit gets an entry if there was anything to retry."""
    tried = retry(connection, brand_id, biller_id)
    if tried:
        audit.write(connection, brand_id, "biller.retried", biller_id, after={"deliveries": tried})
    return tried


def look_again(connection: Connection, *, most: int) -> None:
    """Make deliveries pending that have waited for long: what they wait for may never come."""
    connection.execute(_LOOK_AGAIN, {"most": most})


def with_pending(connection: Connection, *, older_than: str, most: int) -> list[tuple[UUID, UUID]]:
    """The billers, with their brand, whose deliveries have been pending for longer than an interval."""
    rows = connection.execute(_WITH_PENDING, {"older_than": older_than, "most": most})
    return [(row.brand_id, row.biller_id) for row in rows]


def forget(connection: Connection, kept: timedelta, most: int) -> int:
    """Delete at most so many deliveries that came longer ago than they are kept and were translated or refused, and
    count them: they hold what billers say of people."""
    return connection.execute(_FORGET, {"kept": kept, "most": most}).rowcount


def counts(connection: Connection, brand_id: UUID, biller_ids: Sequence[UUID]) -> list[Mapping[str, Any]]:
    """What is not translated, by biller, state, reason and the price that nobody mapped: how many deliveries, since
    when, the commonest message, and how many different messages."""
    which = {"brand_id": brand_id, "biller_ids": list(biller_ids), "most": limits.current.billers.reasons}
    which |= {"longest_message": LONGEST_MESSAGE, "longest_name": LONGEST_NAME}
    return [dict(row) for row in connection.execute(_COUNTS, which).mappings()]


def page(
    connection: Connection,
    brand_id: UUID,
    biller_id: UUID,
    page: int,
    per_page: int,
    *,
    state: State | None = None,
    bodies: bool = True,
) -> paging.Rows:
    """A page of what a biller sent, the latest first. Of each body it has the text without control characters, and only
    the beginning of a long one; nothing of them without `bodies`."""
    columns = biller_deliveries.c
    body = [func.substring(columns.body, 1, LONGEST_SHOWN).label("body")] if bodies else []
    found = (
        select(
            columns.delivery_id.label("id"),
            columns.received_at,
            columns.state,
            func.left(columns.waits_for, LONGEST_NAME).label("waits_for"),
            columns.code,
            func.left(columns.message, LONGEST_MESSAGE).label("message"),
            *body,
        )
        .where(columns.brand_id == brand_id, columns.biller_id == biller_id)
        .order_by(columns.received_at.desc(), columns.delivery_id)
    )
    if state is not None:
        found = found.where(columns.state == state)
    rows, total = paging.rows_of(connection, found, page, per_page)
    for row in rows if bodies else ():
        row["body"] = bytes(row["body"]).decode(errors="replace").translate(_CONTROLS)
    return rows, total


def cut(message: str | None, waits_for: str | None) -> dict[str, str | None]:
    """A delivery's message and the name that it waits for, cut to the lengths that they may have."""
    return {
        "message": message and message[:LONGEST_MESSAGE],
        "waits_for": waits_for and waits_for[:LONGEST_NAME],
    }


def became_of(delivery_id: str, wait: Wait | None, unmappable: Unmappable | None) -> Became:
    """What a delivery became after it was looked at. If it waits and can not be mapped either, it waits: once what it
    waits for is there, it is looked at again, and shows then what can not be mapped."""
    if wait is not None:
        message = wait.message if unmappable is None else f"{wait.message}; {unmappable.message}"
        return Became(delivery_id, "asking" if wait.ask else "waiting", wait.key, "waits", message)
    if unmappable is not None:
        return Became(delivery_id, "unmappable", unmappable.key, unmappable.code, unmappable.message)
    return Became(delivery_id, "translated")
