"""Refused events: kept with their reason until the operator retries or dismisses them."""

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, delete, func, select, tuple_

from issuance import audit
from issuance.billing import cloud_events, events, refused_texts
from issuance.billing.cloud_events import Refused
from issuance.billing.events import Intake
from issuance.billing.refused_texts import LONGEST_BODY
from issuance.database import paging
from issuance.database.tables import rejected_events
from issuance.errors import Conflict, NotFound
from issuance.members import erased

#: How many characters of a refused event a list shows.
LONGEST_SHOWN = 16 * 1024


class NotKeptWhole(Conflict):
    """The event was too long to be kept whole: send it again."""

    code = "not_kept_whole"


def page(connection: Connection, brand_id: UUID, page: int, per_page: int, *, code: str | None = None) -> paging.Rows:
    """A page of what was refused, the latest first. `event` is the text as it came, its beginning
    if it is long."""
    columns = rejected_events.c
    found = (
        select(
            columns.rejected_id.label("id"),
            columns.received_at,
            columns.code,
            columns.message,
            func.left(columns.body, LONGEST_SHOWN).label("event"),
        )
        .where(columns.brand_id == brand_id)
        .order_by(columns.received_at.desc(), columns.rejected_id.desc())
    )
    if code is not None:
        found = found.where(columns.code == code)
    return paging.rows_of(connection, found, page, per_page)


def keep(connection: Connection, brand_id: UUID, refused: Iterable[tuple[str, Refused]]) -> None:
    """Keep texts that are no events, with the reasons, where the operator sees them."""
    refused_texts.keep(connection, brand_id, list(refused))


def retry(connection: Connection, brand_id: UUID, rejected_id: UUID) -> Intake:
    """Take in the event once more, now that its cause is mended; refused again, it stays where it is, for the reason
    that holds now.

    Call `hints.settle` with the intake's `membership_ids` after the commit. Raises NotFound, NotKeptWhole, and
    Conflict for what is no JSON.
    """
    erased.of(connection, brand_id)  # before the row is locked
    columns = rejected_events.c
    found = select(columns.body, columns.body_hash).where(_is(brand_id, rejected_id)).with_for_update()
    row = connection.execute(found).one_or_none()
    if row is None:
        raise NotFound("There is no such rejected event.")
    if len(row.body) >= LONGEST_BODY:
        raise NotKeptWhole
    try:
        batch = events.read([cloud_events.read_json(row.body)])
        intake = events.take(connection, brand_id, batch, kept_as=bytes(row.body_hash))
    except Refused as refusal:
        raise Conflict(refusal.message) from None
    if not intake.rejected:
        connection.execute(delete(rejected_events).where(_is(brand_id, rejected_id)))
        audit.write(connection, brand_id, "rejected_event.retried", rejected_id)
    return intake


def dismiss(connection: Connection, brand_id: UUID, rejected_id: UUID) -> None:
    """Forget a refused event. Raises NotFound."""
    if connection.execute(delete(rejected_events).where(_is(brand_id, rejected_id))).rowcount == 0:
        raise NotFound("There is no such rejected event.")
    audit.write(connection, brand_id, "rejected_event.dismissed", rejected_id)


def forget(connection: Connection, kept: timedelta, most: int) -> int:
    """Delete at most so many refused events of all brands that last came longer ago than they are kept, and count
    them."""
    columns = rejected_events.c
    key, is_over = (columns.brand_id, columns.rejected_id), columns.received_at < func.clock_timestamp() - kept
    over = select(*key).where(is_over).limit(most)
    # Asked again of each: one may come again meanwhile.
    return connection.execute(delete(rejected_events).where(tuple_(*key).in_(over), is_over)).rowcount


def _is(brand_id: UUID, rejected_id: UUID) -> ColumnElement[bool]:
    return (rejected_events.c.brand_id == brand_id) & (rejected_events.c.rejected_id == rejected_id)
