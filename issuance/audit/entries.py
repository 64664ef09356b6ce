"""Entries: what an actor changed, when and why. They are written once and never changed."""

from collections.abc import Generator, Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple, get_args
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import ColumnElement, Connection, Insert, Select, bindparam, insert, literal, select, text
from uuid_utils.compat import uuid7

from issuance.database import paging
from issuance.database.fragments import BRANDS_NOW
from issuance.database.tables import audit_entries
from issuance.errors import Invalid
from issuance.fields import UNSAID, alike, says_something

#: The closed set: what can be done, `noun.verb`. The noun is the kind of what it is done to.
Action = Literal[
    "audit.detached",
    "biller.created",
    "biller.retried",
    "biller.updated",
    "biller_price.deleted",
    "biller_price.mapped",
    "brand.created",
    "brand.repaired",
    "clock.moved",
    "coupon.created",
    "coupon.updated",
    "correction.made",
    "credit.extended",
    "credit.granted",
    "credit.redeemed",
    "credit.reinstated",
    "credit.revoked",
    "credit.transferred",
    "credit_rule.created",
    "credit_rule.deleted",
    "credit_rule.updated",
    "delivery.replayed",
    "guard.updated",
    "held_rule.approved",
    "held_rule.refused",
    "key.created",
    "key.revoked",
    "key.rotated",
    "member.archived",
    "member.created",
    "member.erased",
    "member.lifted",
    "member.returned",
    "member.updated",
    "membership.retried",
    "membership_type.created",
    "offer.created",
    "offer.deleted",
    "offer.updated",
    "person.added",
    "person.changed",
    "person.invited",
    "person.removed",
    "person.signed_out",
    "redemption.created",
    "redemption.updated",
    "rejected_event.dismissed",
    "rejected_event.retried",
    "run.cancelled",
    "run.created",
    "run.paused",
    "run.resumed",
    "wallet.credited",
    "webhook.created",
    "webhook.deleted",
    "webhook.disabled",
    "webhook.enabled",
    "webhook.rotated",
]
ACTIONS: tuple[Action, ...] = get_args(Action)


class Changed(NamedTuple):
    """The fields that differ, as they were and as they are."""

    before: dict[str, Any]
    after: dict[str, Any]


# The actor and the request are the transaction's own: the columns' defaults ask for them.
_WRITE = text(f"""
    INSERT INTO audit_entries (brand_id, entry_id, brand_time, action, subject_id, reason, before, after)
    SELECT brand_id, :entry_id, {BRANDS_NOW}, :action, :subject_id, :reason,
           CAST(:before AS jsonb), CAST(:after AS jsonb)
      FROM brands WHERE brand_id = :brand_id
""")


def write(
    connection: Connection,
    brand_id: UUID,
    action: Action,
    subject_id: UUID | str,
    *,
    reason: str | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write one entry: what was done to what, by the actor of this transaction, and why.

    Call it once for a call of whatever size, and only where something changed. `before` and `after` are what differs:
    no secrets, no codes, and of members no more than Issuance's own ids (SEMANTICS 16). Raises Invalid for a reason
    that can not be read, whichever way it came.
    """
    if reason is not None and not says_something(reason):
        raise Invalid(fields={"reason": UNSAID})
    written = connection.execute(
        _WRITE,
        {
            "brand_id": brand_id,
            "entry_id": uuid7(),
            "action": action,
            "subject_id": str(subject_id),
            "reason": reason,
            "before": None if before is None else to_json(before).decode(),
            "after": None if after is None else to_json(after).decode(),
        },
    )
    assert written.rowcount == 1, "an entry is one of a brand's"


def writing(
    action: Action, brand_time: ColumnElement[datetime], subject_id: Select[Any], after: ColumnElement[Any]
) -> Insert:
    """`write` as a part of another statement, for what it did: one entry for each `subject_id` that is selected, with
    `after` of the same row. That statement has the parameters `brand_id` and `entry_id`."""
    columns = audit_entries.c
    found = subject_id.add_columns(after)
    entry = found.with_only_columns(
        bindparam("brand_id", type_=columns.brand_id.type),
        bindparam("entry_id", type_=columns.entry_id.type),
        brand_time,
        literal(action, columns.action.type),
        *found.selected_columns,
    )
    return insert(audit_entries).from_select(
        ["brand_id", "entry_id", "brand_time", "action", "subject_id", "after"], entry
    )


def changed(before: Mapping[str, Any], after: Mapping[str, Any], *, but: tuple[str, ...] = ()) -> Changed:
    """What differs; fields named in `but` are left out."""
    names = [name for name in after if name not in but and not alike(before.get(name), after[name])]
    return Changed({name: before.get(name) for name in names}, {name: after[name] for name in names})


def page(
    connection: Connection, brand_id: UUID, page: int, per_page: int, *, most: int | None = None, **filters: Any
) -> paging.Rows:
    """A page of the brand's entries, the latest first. `filters` are those of `_found`; None filters nothing. `most` is
    how far they are counted, as `paging.rows_of` does."""
    rows, total = paging.rows_of(connection, _found(brand_id, **filters), page, per_page, most=most)
    return [_shaped(row) for row in rows], total


def each(connection: Connection, brand_id: UUID, **filters: Any) -> Generator[dict[str, Any], None, None]:
    """All of the brand's entries, the latest first, as `paging.each_of` reads them."""
    for row in paging.each_of(connection, _found(brand_id, **filters)):
        yield _shaped(row)


def part(
    connection: Connection, brand_id: UUID, page: int, per_page: int, after: UUID | None, **filters: Any
) -> paging.Part:
    """`page`, of a list that is counted no further than it takes; or the page after an entry."""
    place = (audit_entries.c.entry_id, True)
    found = paging.part_of(connection, _found(brand_id, **filters), place, page, per_page, after)
    return found._replace(rows=[_shaped(row) for row in found.rows])


def _found(
    brand_id: UUID,
    subject_id: str | None = None,
    actor_id: UUID | None = None,
    action: Action | None = None,
    first: datetime | None = None,
    last: datetime | None = None,
) -> Select[Any]:
    """`first` and `last` are instants of real time, both inclusive."""
    columns = audit_entries.c
    found = (
        select(
            columns.entry_id.label("id"),
            *(column for column in columns if column.name not in ("brand_id", "entry_id", "subject_id")),
            columns.subject_id,
        )
        .where(columns.brand_id == brand_id)
        .order_by(columns.entry_id.desc())
    )
    if subject_id is not None:
        found = found.where(columns.subject_id.in_(sorted({subject_id, _as_kept(subject_id)})))
    if actor_id is not None:
        found = found.where(columns.actor["id"].astext == str(actor_id))
    if action is not None:
        found = found.where(columns.action == action)
    if first is not None:
        found = found.where(columns.at >= first)
    if last is not None:
        found = found.where(columns.at <= last)
    return found


def _shaped(row: dict[str, Any]) -> dict[str, Any]:
    row["subject"] = {"kind": row["action"].partition(".")[0], "id": row.pop("subject_id")}
    return row


def _as_kept(subject_id: str) -> str:
    """A UUID as it is written in an entry, however it is typed; anything else as it is."""
    try:
        return str(UUID(subject_id))
    except ValueError:
        return subject_id
