"""Using a credit, in one statement: it decides, writes what came of it, and says how the credit stands
(SEMANTICS 11)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.errors import UniqueViolation
from sqlalchemy import (
    Connection,
    Text,
    TextClause,
    bindparam,
    case,
    func,
    insert,
    literal,
    not_,
    null,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.exc import IntegrityError
from uuid_utils.compat import uuid7

from issuance import audit
from issuance.credits import credits, holders
from issuance.credits.codes import as_kept
from issuance.database.statements import Statement
from issuance.database.tables import credits as table
from issuance.database.tables import redemptions
from issuance.errors import RedemptionAlreadyExists
from issuance.fields import camel
from issuance.members import erased
from issuance.tenancy import clock
from issuance.webhooks import outbox
from issuance.webhooks.outbox import OutboxEvent


@dataclass(frozen=True, slots=True)
class Booking:
    """What a redemption is for, in the brand's own words."""

    offer: str | None = None
    reference: str | None = None
    start_at: datetime | None = None
    end_at: datetime | None = None
    #: The offer that was named, which can be booked once at a time; None: no offer was named, and `offer` is only a
    #: word.
    offer_id: str | None = None


#: A redemption as it is shown, without its credit and its member.
COLUMNS = (
    redemptions.c.redemption_id.label("id"),
    redemptions.c.status,
    redemptions.c.offer,
    redemptions.c.created_at,
    redemptions.c.updated_at,
    redemptions.c.start_at,
    redemptions.c.end_at,
    redemptions.c.points,
    redemptions.c.reference,
    redemptions.c.revision,
)
_MADE = "made_"


def _using(*where: TextClause) -> Statement:
    """A statement that gives one row: `now`, what is `listened_to`, and if the credit was live, how it is shown now,
    and the redemption."""
    uses = table.c.uses + 1
    is_last = or_(not_(table.c.multi_use), table.c.max_uses == uses)
    # With this name, the parts that follow read the credit as it is now, and no other.
    used = (
        update(table)
        .where(
            table.c.brand_id == bindparam("brand_id"),
            table.c.code == bindparam("code"),
            credits.status_at(clock.NOW) == "live",
            *where,
        )
        .values(
            uses=uses,
            redeemed_at=case((is_last, clock.NOW), else_=null()),
            revision=func.coalesce(table.c.revision, 0) + 1,  # here, so that what is returned has it
        )
        .returning(*table.c)
        .cte("credits")
    )
    shown = credits.shown_at(clock.NOW).add_cte(used).cte("shown")
    redemption = {
        "brand_id": table.c.brand_id,
        "redemption_id": bindparam("redemption_id", type_=redemptions.c.redemption_id.type),
        "credit_id": table.c.credit_id,
        "member_id": holders.HOLDING_MEMBER,
        "offer": func.coalesce(bindparam("offer", type_=Text), table.c.coupon_name),
        "reference": bindparam("reference", type_=Text),
        "start_at": bindparam("start_at", type_=redemptions.c.start_at.type),
        "end_at": bindparam("end_at", type_=redemptions.c.end_at.type),
        "status": literal("SUBMITTED", Text),
        "created_at": clock.NOW,
        "updated_at": clock.NOW,
        "offer_id": bindparam("offer_id", type_=Text),
    }
    making = select(*(value.label(name) for name, value in redemption.items())).add_cte(used)
    made = insert(redemptions).from_select(list(redemption), making).returning(*COLUMNS).cte("made")
    after = func.jsonb_build_object("redemption_id", made.c.id)
    told = select(table.c.credit_id.cast(Text)).select_from(table.join(made, true())).add_cte(used)
    noted = audit.writing("credit.redeemed", clock.NOW, told, after).cte("noted")
    return Statement(
        select(
            clock.NOW.label("now"),
            outbox.LISTENED_TO.label("listened_to"),
            shown,
            *(column.label(f"{_MADE}{column.name}") for column in made.c),
        )
        .select_from(select(literal(1)).subquery("one").outerjoin(shown.join(made, true()), true()))
        .add_cte(noted)
    )


#: Uses a credit, unless somebody is being erased.
_USE = _using(erased.NOBODY_IS_BEING)
#: Uses a credit that is locked already.
_USE_HELD = _using()


def redeem_credit(connection: Connection, brand_id: UUID, code: str, booking: Booking) -> dict[str, Any]:
    """Use a credit, now on the brand's clock, and return it with its `redemption`.

    A conditional update decides every race with expiry, revocation and itself. A multi-use credit
    counts its uses and stays, up to its `max_uses`-th. Raises NotFound, or why it is not live; and
    RedemptionAlreadyExists where its holder has booked the named offer already.

    """
    asked = {
        "brand_id": brand_id,
        "code": as_kept(code),
        "redemption_id": uuid7(),
        "entry_id": uuid7(),
        "offer": booking.offer or None,
        "reference": booking.reference,
        "start_at": booking.start_at,
        "end_at": booking.end_at,
        "offer_id": booking.offer_id,
    }
    row = _use(connection, _USE, asked)
    if row["id"] is None:
        # Once more while the credit is locked: somebody's change may have made it live since, or made another reason
        # true. A member who is erased meanwhile has their random id by then.
        credits.lock(connection, brand_id, code)
        row = _use(connection, _USE_HELD, asked)
    now: datetime = row.pop("now")
    listened_to = row.pop("listened_to")
    if row["id"] is None:
        raise credits.refusal(connection, brand_id, code, now)
    made = {name.removeprefix(_MADE): row.pop(name) for name in list(row) if name.startswith(_MADE)}
    credit = credits.shaped(row)
    assert credit["multi_use"] or credit["uses"] == 1, "a single-use credit is redeemed at most once"
    if listened_to:
        redemption = {
            **made,
            "external_user_id": credit["holder"]["external_user_id"],
            "credit_code": credit["code"],
        }
        created = OutboxEvent("redemption.created", now, told(redemption))
        outbox.add_all(connection, brand_id, [created, OutboxEvent("credit.redeemed", now, credit)])
    return {**credit, "redemption": {"id": made["id"], "status": made["status"]}}


def told(redemption: Mapping[str, Any]) -> dict[str, Any]:
    """A redemption in the form that webhooks get."""
    return {camel(name): value for name, value in redemption.items()}


def _use(connection: Connection, statement: Statement, asked: Mapping[str, object]) -> dict[str, Any]:
    try:
        (row,) = statement.rows(connection, asked)
    except IntegrityError as error:
        raise of_double(error) from None
    return row


def of_double(error: IntegrityError) -> Exception:
    """Why a redemption could not be stored: its offer is booked already, or the error itself."""
    broken = error.orig.diag.constraint_name if isinstance(error.orig, UniqueViolation) else None
    return RedemptionAlreadyExists() if broken == "redemptions_one_open_of_offer" else error
