"""Credits: one issued coupon code each, held by one guest (SEMANTICS 6). Here they are read; archiving takes them back.

A credit's status is never stored: it follows from what was recorded and from the time on the brand's
clock, in one expression, `status_at`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, get_args
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    Select,
    String,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    false,
    func,
    literal,
    or_,
    select,
    update,
)

from issuance.credits import holders
from issuance.credits.codes import as_kept
from issuance.database.statements import Statement
from issuance.database.tables import credits, guests, members, transfers
from issuance.errors import (
    AlreadyRedeemed,
    CreditExpired,
    CreditNotLive,
    CreditNotYetValid,
    CreditRevoked,
    CreditTransferred,
    NotFound,
)
from issuance.tenancy import clock
from issuance.webhooks import outbox
from issuance.webhooks.outbox import EventType

Status = Literal["live", "upcoming", "redeemed", "expired", "revoked"]
STATUSES: tuple[str, ...] = get_args(Status)

#: Why what an archived member held is revoked.
ARCHIVED = "member_archived"

_REFUSALS: dict[str, type[CreditNotLive]] = {
    "redeemed": AlreadyRedeemed,
    "revoked": CreditRevoked,
    "expired": CreditExpired,
    "upcoming": CreditNotYetValid,
}


#: Who took a credit back if the facts did.
_FACTS = {"kind": "system", "id": None, "name": "facts"}


def status_at(now: datetime | ColumnElement[datetime]) -> ColumnElement[str]:
    """The status of a credit at `now`: time decides, whether or not a sweep has marked it."""
    columns = credits.c
    return case(
        (columns.redeemed_at.is_not(None), literal("redeemed", String)),
        (columns.revoked_at.is_not(None), literal("revoked", String)),
        (or_(columns.expired_at.is_not(None), columns.expires_at <= now), literal("expired", String)),
        (columns.valid_from > now, literal("upcoming", String)),
        else_=literal("live", String),
    )


#: Whether a credit is still out, in text: neither redeemed nor revoked. When it is expired depends on who asks.
STILL_OUT = "redeemed_at IS NULL AND revoked_at IS NULL"
#: Whether it is live or upcoming at `:now`, in text.
LIVE_OR_UPCOMING = f"{STILL_OUT} AND expired_at IS NULL AND (expires_at IS NULL OR expires_at > :now)"


def revision_at(now: datetime | ColumnElement[datetime]) -> ColumnElement[int]:
    """The revision of a credit at `now`: 1 when it is issued, and more with each change.

    Each change that was counted adds two, and being expired one more, swept or not: a credit that is expired and lives
    again has a higher one all the same, and the sweep, which marks many, counts none.
    """
    expired = case((status_at(now) == "expired", 1), else_=0)
    return 1 + 2 * func.coalesce(credits.c.revision, 0) + expired


_receiving = members.alias("receiving")


def shown_at(now: ColumnElement[datetime]) -> Select[Any]:
    """Credits of a brand (`brand_id`) as they are shown at `now`, a row each, which `shaped` gives its form."""
    return (
        select(
            credits.c.credit_id.label("id"),
            credits.c.code,
            status_at(now).label("status"),
            credits.c.credit_rule_id,
            credits.c.rule_version,
            credits.c.coupon_id,
            credits.c.coupon_name,
            credits.c.membership_id,
            credits.c.guest_id,
            guests.c.name.label("guest_name"),
            guests.c.lead_booker,
            members.c.external_user_id,
            credits.c.transfer_id,
            transfers.c.guest_id.label("holder_id"),
            func.coalesce(holders.receivers.c.name, _receiving.c.display_name, _receiving.c.external_user_id).label(
                "holder_name"
            ),
            func.coalesce(holders.receivers.c.lead_booker, false()).label("holder_lead_booker"),
            _receiving.c.external_user_id.label("holder_external_user_id"),
            credits.c.period_start,
            credits.c.period_end,
            credits.c.reissue,
            credits.c.valid_from,
            credits.c.expires_at,
            credits.c.roll_over,
            credits.c.multi_use,
            credits.c.max_uses,
            credits.c.uses,
            credits.c.issued_at,
            credits.c.redeemed_at,
            credits.c.revoked_at,
            credits.c.revoked_reason,
            credits.c.revoked_by,
            credits.c.revoked_actor,
            case((status_at(now) == "expired", credits.c.expires_at)).label("expired_at"),
            credits.c.flagged_at,
            credits.c.extended_at,
            credits.c.run_id,
            revision_at(now).label("revision"),
        )
        .join(guests, holders.ENTITLED)
        .outerjoin(transfers, holders.LAST_TRANSFER)
        .outerjoin(holders.receivers, holders.TO_GUEST)
        .outerjoin(
            _receiving, and_(_receiving.c.brand_id == transfers.c.brand_id, _receiving.c.member_id == holders.RECEIVER)
        )
        .outerjoin(members, and_(members.c.brand_id == guests.c.brand_id, members.c.member_id == guests.c.member_id))
        .where(credits.c.brand_id == bindparam("brand_id"))
    )


# Statements are put together once: to put one together and to recognize it takes longer than to execute it.
_NOW = bindparam("now", type_=credits.c.issued_at.type)
_SHOWN = shown_at(_NOW)
#: Now, on the brand's clock.
SHOWN_NOW = shown_at(clock.NOW)
_BY_CODE = Statement(SHOWN_NOW.where(credits.c.code == bindparam("code")))
_BY_CODE_AT = Statement(_SHOWN.where(credits.c.code == bindparam("code")))
_OLD_CODE = Statement(
    select(transfers.c.transfer_id).where(
        transfers.c.brand_id == bindparam("brand_id"), transfers.c.code == bindparam("code")
    )
)
_BY_ID = _SHOWN.where(credits.c.credit_id == any_(bindparam("credit_ids", type_=ARRAY(Uuid))))


def get(connection: Connection, brand_id: UUID, code: str, now: datetime | None = None) -> dict[str, Any]:
    """The credit with a code; at `now` on the brand's clock, if it was read already. Raises NotFound, and
    CreditTransferred for a code that it had before."""
    parameters = {"brand_id": brand_id, "code": as_kept(code)}
    found = (
        _BY_CODE.rows(connection, parameters)
        if now is None
        else _BY_CODE_AT.rows(connection, {**parameters, "now": now})
    )
    if found:
        return shaped(found[0])
    if _OLD_CODE.rows(connection, parameters):
        raise CreditTransferred
    raise NotFound("There is no such credit.")


#: Credits that one statement tells of: an archived member may have any number, and a statement some seconds.
_TOLD_AT_ONCE = 1000
_TAKEN_BACK = credits.c.revoked_by.in_(("facts", "operator"))


def _is_out(now: datetime) -> ColumnElement[bool]:
    return status_at(now).in_(("live", "upcoming"))


def taken_by_archiving(now: datetime) -> ColumnElement[bool]:
    """Whether `revoke_archived` revokes a credit at `now`, or makes that final: it is not spent or expired, or was
    taken back."""
    return or_(_TAKEN_BACK, _is_out(now))


def revoke_archived(connection: Connection, brand_id: UUID, *which: ColumnElement[bool]) -> bool:
    """Take back for good every credit that `which` finds and that is not spent or expired: a member is archived.

    Those that facts or a person took back, and those that have expired, do not live again. Whether any was taken
    back, or is now for good.
    """
    now = clock.read(connection, brand_id).now
    found = (credits.c.brand_id == brand_id, *which)
    for_good = {"revoked_by": "archiving", "revoked_reason": ARCHIVED, "revoked_actor": func.acting()}
    made_final = update(credits).where(*found, _TAKEN_BACK).values(for_good).returning(credits.c.credit_id)
    final = connection.scalars(made_final).all()
    tell(connection, brand_id, "credit.updated", final, now)
    revoked = connection.scalars(
        update(credits).where(*found, _is_out(now)).values(revoked_at=now, **for_good).returning(credits.c.credit_id)
    ).all()
    tell(connection, brand_id, "credit.revoked", revoked, now)
    end_for_good(connection, brand_id, now, *which)
    return bool(final or revoked)


def end_for_good(connection: Connection, brand_id: UUID, now: datetime, *which: ColumnElement[bool]) -> None:
    """Let no fact make a credit live again that `which` finds and that has expired by `now` (decision 56).

    What no sweep has marked yet is told of here."""
    columns = credits.c
    over = (columns.brand_id == brand_id, *which, status_at(now) == "expired")
    for_good = update(credits).values(expired_at=columns.valid_from)
    connection.execute(for_good.where(*over, columns.expired_at != columns.valid_from))
    unmarked = for_good.where(*over, columns.expired_at.is_(None)).returning(columns.credit_id)
    tell(connection, brand_id, "credit.expired", connection.scalars(unmarked).all(), now)


def tell(
    connection: Connection,
    brand_id: UUID,
    type: EventType,  # noqa: A002 - the word is the field's
    credit_ids: Sequence[UUID],
    now: datetime,
) -> None:
    """Tell the webhooks that listen to `type` what happened to credits at `now`, on the brand's clock."""
    if not credit_ids or type not in outbox.listened_to(connection, brand_id):
        return
    for start in range(0, len(credit_ids), _TOLD_AT_ONCE):
        shown = by_id(connection, brand_id, credit_ids[start : start + _TOLD_AT_ONCE], now)
        outbox.add_all(connection, brand_id, [outbox.OutboxEvent(type, now, credit) for credit in shown.values()])


def by_id(
    connection: Connection, brand_id: UUID, credit_ids: Sequence[UUID], now: datetime
) -> dict[UUID, dict[str, Any]]:
    """Credits as they are shown at `now`; unknown ids are passed over."""
    parameters = {"brand_id": brand_id, "credit_ids": list(credit_ids), "now": now}
    return {row["id"]: shaped(row) for row in connection.execute(_BY_ID, parameters).mappings()}


def lock(connection: Connection, brand_id: UUID, code: str) -> None:
    """Let nobody else change a credit until this transaction ends, where there is one."""
    one = (credits.c.brand_id == brand_id, credits.c.code == as_kept(code))
    connection.execute(select(credits.c.credit_id).where(*one).with_for_update(key_share=True))


def refusal(connection: Connection, brand_id: UUID, code: str, now: datetime) -> CreditNotLive:
    """Why a credit is not live at `now`. Raises NotFound."""
    return refusal_of(get(connection, brand_id, code, now)["status"])


def refusal_of(status: str) -> CreditNotLive:
    """Why a credit with a status can not be used."""
    return _REFUSALS.get(status, CreditNotLive)()


def shaped(row: Mapping[Any, Any]) -> dict[str, Any]:
    """A credit as it is shown, of a row of `shown_at`."""
    credit = dict(row)
    by, actor = credit.pop("revoked_by"), credit.pop("revoked_actor")
    credit["revoked_by"] = _FACTS if by == "facts" else actor
    credit["guest"] = {
        "id": credit.pop("guest_id"),
        "name": credit.pop("guest_name"),
        "lead_booker": credit.pop("lead_booker"),
        "external_user_id": credit.pop("external_user_id"),
    }
    receiver = {name: credit.pop(f"holder_{name}") for name in credit["guest"]}
    credit["holder"] = credit["guest"] if credit.pop("transfer_id") is None else receiver
    return credit
