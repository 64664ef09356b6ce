"""Receivers: to whom credits are transferred, kept from being archived meanwhile; and who holds one."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.corrections.wanted import Transfer
from issuance.database.fragments import either
from issuance.errors import Invalid, MemberArchived

# In one order, so that nobody waits for each other in a circle. Not beside archiving; beside all else.
_LOCK = text("""
    SELECT member_id, external_user_id, joined_at IS NOT NULL AS joined, archived_at IS NOT NULL AS archived
      FROM members
     WHERE brand_id = :brand_id
       AND (external_user_id = ANY(:names)
            OR member_id IN (SELECT member_id FROM guests WHERE brand_id = :brand_id AND guest_id = ANY(:guest_ids)))
     ORDER BY external_user_id
       FOR KEY SHARE
""")
_GUESTS = text("""
    SELECT g.membership_id, g.guest_id, g.member_id, coalesce(m.archived_at IS NOT NULL, false) AS archived
      FROM guests g LEFT JOIN members m USING (brand_id, member_id)
     WHERE g.brand_id = :brand_id AND g.guest_id = ANY(:guest_ids) AND g.removed_at IS NULL
     ORDER BY g.membership_id
""")
_HOLDER = text(f"""
    SELECT coalesce(t.membership_id, CASE WHEN t.member_id IS NULL THEN c.membership_id END) AS membership_id,
           coalesce(t.guest_id, CASE WHEN t.member_id IS NULL THEN c.guest_id END) AS guest_id,
           coalesce(t.member_id, g.member_id) AS member_id, coalesce(m.archived_at IS NOT NULL, false) AS archived
      FROM credits c
      LEFT JOIN transfers t USING (brand_id, transfer_id)
      LEFT JOIN guests g
        ON g.brand_id = c.brand_id AND t.member_id IS NULL
       AND g.membership_id = {either("t.membership_id", "c.membership_id")}
       AND g.guest_id = {either("t.guest_id", "c.guest_id")}
      LEFT JOIN members m ON m.brand_id = c.brand_id AND m.member_id = {either("t.member_id", "g.member_id")}
     WHERE c.brand_id = :brand_id AND c.credit_id = :credit_id
""")


class Holder(NamedTuple):
    """Whoever holds a credit: a guest of an order, or a member."""

    membership_id: UUID | None
    guest_id: UUID | None
    #: The member, or the one that the guest is.
    member_id: UUID | None
    archived: bool = False

    def said(self) -> dict[str, Any]:
        """The holder, as an entry of the audit names them."""
        return {"guest_id": self.guest_id, "member_id": self.member_id}


def holder_of(connection: Connection, brand_id: UUID, credit_id: UUID) -> Holder:
    """Who holds a credit now."""
    return Holder(*connection.execute(_HOLDER, {"brand_id": brand_id, "credit_id": credit_id}).one())


class Receivers:
    """Those to whom transfers go, locked."""

    def __init__(self, connection: Connection, brand_id: UUID, transfers: Sequence[Transfer]) -> None:
        names = [one.external_user_id for one in transfers if one.external_user_id is not None]
        guest_ids = [one.guest_id for one in transfers if one.guest_id is not None]
        parameters = {"brand_id": brand_id, "names": names, "guest_ids": guest_ids}
        self._members: dict[str, Holder] = {}
        self._guests: dict[UUID, list[Holder]] = {}
        if not transfers:
            return
        for row in connection.execute(_LOCK, parameters):
            if row.joined:
                self._members[row.external_user_id] = Holder(None, None, row.member_id, row.archived)
        for row in connection.execute(_GUESTS, parameters):
            self._guests.setdefault(row.guest_id, []).append(Holder(*row))

    def of(self, transfer: Transfer, membership_id: UUID) -> Holder:
        """Whoever is to hold a credit of a membership. A guest of that order comes before one of another order who has
        the same id. Raises Invalid, MemberArchived."""
        if transfer.guest_id is not None:
            found = sorted(self._guests.get(transfer.guest_id, ()), key=lambda one: one.membership_id != membership_id)
            if not found:
                raise Invalid(fields={"guest_id": "There is no such guest on any order."})
            receiver = found[0]
        else:
            assert transfer.external_user_id is not None, "a transfer goes to somebody"
            if transfer.external_user_id not in self._members:
                raise Invalid(fields={"external_user_id": "There is no such member."})
            receiver = self._members[transfer.external_user_id]
        if receiver.archived:
            raise MemberArchived
        return receiver
