"""What can be corrected of a credit as it stands, and why the rest can not (SEMANTICS 15)."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.corrections.receivers import holder_of
from issuance.corrections.wanted import Extend, NotRevoked, Reinstate, Revoke, Transfer
from issuance.credits.credits import refusal_of
from issuance.engine.facts import load
from issuance.engine.membership import Membership
from issuance.errors import Invalid, IssuanceError, MemberArchived
from issuance.tenancy import clock as clocks

OfCredit = type[Extend] | type[Transfer] | type[Revoke] | type[Reinstate]
_EACH: tuple[OfCredit, ...] = (Extend, Transfer, Revoke, Reinstate)
_REVOKED_BY = text("SELECT revoked_by FROM credits WHERE brand_id = :brand_id AND credit_id = :credit_id")


def possible(connection: Connection, brand_id: UUID, shown: dict[str, Any]) -> frozenset[OfCredit]:
    """The corrections that can be made now of a credit as it is shown, if what they say fits."""
    clock = clocks.read(connection, brand_id)
    revoked_by = connection.scalar(_REVOKED_BY, {"brand_id": brand_id, "credit_id": shown["id"]})
    (membership,) = load(connection, brand_id, clock.zone, [shown["membership_id"]], with_credits=False)

    def can_be(wanted: OfCredit) -> bool:
        try:
            refuse(connection, brand_id, wanted, shown, revoked_by, membership, clock.now)
        except IssuanceError:
            return False
        return True

    return frozenset(filter(can_be, _EACH))


def refuse(
    connection: Connection,
    brand_id: UUID,
    wanted: OfCredit,
    shown: dict[str, Any],
    revoked_by: str | None,
    membership: Membership,
    now: datetime,
) -> None:
    """Raise why a credit can not be corrected so, whatever else the correction says; nothing if it can."""
    status = shown["status"]
    if wanted is Transfer and status != "live":
        raise refusal_of(status)
    if wanted is Revoke and status not in ("live", "upcoming") and revoked_by != "facts":
        raise refusal_of(status)
    if wanted is Extend and status in ("redeemed", "revoked"):
        raise refusal_of(status)
    if wanted is Reinstate:
        if revoked_by is None:
            raise NotRevoked
        if revoked_by == "facts":
            raise NotRevoked("It was not a person who took the credit back: what happened did.")
        if revoked_by == "archiving":
            raise MemberArchived("The credit went with its member, who was archived.")
    if wanted in (Extend, Reinstate):
        _refuse_archived(connection, brand_id, shown, membership, now)
    if wanted is Extend and shown["expires_at"] is None:
        raise Invalid(fields={"expires_at": "the credit never expires"})


def _refuse_archived(
    connection: Connection, brand_id: UUID, shown: dict[str, Any], membership: Membership, now: datetime
) -> None:
    """Raises MemberArchived if the member or the holder of a credit was removed: what they lost is given back to
    nobody."""
    history = membership.history(now)
    transferred = shown["holder"] is not shown["guest"]
    if history.member_is_archived or (not transferred and history.is_archived(membership.places[shown["guest"]["id"]])):
        raise MemberArchived
    if transferred and holder_of(connection, brand_id, shown["id"]).archived:
        raise MemberArchived
