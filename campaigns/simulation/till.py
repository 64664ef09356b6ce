"""What members and the till ask for: credits are used and given back, members removed and brought back."""

from __future__ import annotations

from typing import Any

from campaigns.model.words import GRANT, NO_PERIOD, Credit, Fact
from campaigns.simulation.processes import Fault
from campaigns.simulation.requests import Requests
from issuance import hints
from issuance.errors import IssuanceError
from issuance.members import members, moves, redemptions
from issuance.members.profiles import MemberProfile
from issuance.members.redemptions import Booking
from issuance.memberships import archiving

_CODE = """
    SELECT code FROM credits
     WHERE brand_id = %s AND credit_rule_id = %s AND membership_id = %s AND guest_id = ANY(%s) AND period_start = %s
       AND reissue = %s
"""
_CODE_OF_GRANT = """
    SELECT code FROM credits WHERE brand_id = %s AND membership_id = %s AND credit_rule_id IS NULL
     ORDER BY credit_id LIMIT 1 OFFSET %s
"""
_GUESTS = "SELECT guest_id FROM guests WHERE brand_id = %s AND membership_id = %s"
_REDEMPTIONS = """
    SELECT r.redemption_id, c.credit_rule_id::text, c.membership_id::text, c.guest_id::text, c.period_start,
           CASE WHEN c.credit_rule_id IS NOT NULL THEN c.reissue
                ELSE (SELECT count(*) FROM credits o
                       WHERE o.brand_id = c.brand_id AND o.membership_id = c.membership_id
                         AND o.credit_rule_id IS NULL AND o.credit_id < c.credit_id) END
      FROM redemptions r JOIN credits c USING (brand_id, credit_id)
     WHERE brand_id = %s AND r.status <> 'CANCELED' ORDER BY r.redemption_id
"""
_ENDS = """
    SELECT event_id, time, membership_id::text FROM billing_events WHERE brand_id = %s AND source = %s ORDER BY event_id
"""


class Till(Requests):
    """Members, and the till that their credits are shown at."""

    def redeem(self, pick: int, fault: Fault | None = None, rest: int = 0) -> None:
        """Redeems the `pick`-th live credit."""
        found = self.oracle.with_status("live")
        if not found:
            return
        credit = found[pick % len(found)]
        code = self._code(credit)

        def happened(_: Any) -> None:
            assert credit.status(self.oracle.now) == "live", f"redeem of what is {credit.status(self.oracle.now)}"
            self.oracle.use(credit)

        process = self.request(
            "redeem",
            lambda connection: redemptions.redeem_credit(connection, self.brand_id, code, Booking()),
            happened,
            fault=fault,
            rest=rest,
        )
        if isinstance(process.error, IssuanceError) and not rest:
            raise AssertionError(f"redeem refused of {credit.key}: {process.error}")

    def _code(self, credit: Credit) -> str:
        look, membership_id = self.site.looking, self.id(credit.membership)
        if credit.rule == GRANT:
            found = look.execute(_CODE_OF_GRANT, (self.brand_id, membership_id, credit.reissue)).fetchone()
            assert found, f"no such grant: {credit.key}"
            return str(found[0])
        guests = [row[0] for row in look.execute(_GUESTS, (self.brand_id, membership_id)).fetchall()]
        lone = credit.guest not in self.ids  # the member alone, whose guest's id the server made up
        holders = [guest for guest in guests if str(guest) not in self.names] if lone else [self.id(credit.guest)]
        which = (self.brand_id, self.id(credit.rule), membership_id, holders, credit.period_start, credit.reissue)
        found = look.execute(_CODE, which).fetchone()
        assert found, f"no such credit: {credit.key}"
        return str(found[0])

    def cancel(self, pick: int, fault: Fault | None = None, rest: int = 0) -> None:
        """Cancels a redemption: the credit is given back."""
        found = self.site.looking.execute(_REDEMPTIONS, (self.brand_id,)).fetchall()
        if not found:
            return
        redemption_id, rule, membership, guest, day, reissue = found[pick % len(found)]
        names = self.names
        holder = names.get(guest, f"{names[membership]} member")
        key = (names[rule] if rule else GRANT, names[membership], holder, day if rule else NO_PERIOD, reissue)
        (credit,) = (credit for credit in self.oracle.credits if credit.key == key)
        before = credit.uses

        def happened(_: Any) -> None:
            if credit.uses == before:
                self.oracle.give_back(credit)

        self.request(
            "cancel",
            lambda connection: moves.move(connection, self.brand_id, redemption_id, "CANCELED"),
            happened,
            lambda answer: hints.settle(self.queue, self.brand_id, answer[1]),
            fault,
            rest,
        )

    def archive(self, member: str, fault: Fault | None = None, rest: int = 0) -> None:
        """Removes a member; the facts that end the membership are the server's own."""

        def happened(_: Any) -> None:
            rows = self.site.looking.execute(_ENDS, (self.brand_id, archiving.SOURCE)).fetchall()
            told = [
                Fact(
                    event_id,
                    time,
                    "membership.status_changed",
                    self.names[membership],
                    {"status": "cancelled"},
                    archiving.SOURCE,
                )
                for event_id, time, membership in rows
            ]
            self.oracle.archive(member, told)

        if member in self.oracle.sign_ups:
            self.request(
                "archive",
                lambda connection: archiving.archive(connection, self.brand_id, member, retain_balance=False),
                happened,
                lambda removed: hints.settle(self.queue, self.brand_id, removed.membership_ids),
                fault,
                rest,
            )

    def revive(self, member: str, fault: Fault | None = None, rest: int = 0) -> None:
        if member in self.oracle.archived:
            self.request(
                "revive",
                lambda connection: members.upsert(connection, self.brand_id, member, MemberProfile()),
                lambda _: self.oracle.revive(member),
                lambda answer: hints.settle(self.queue, self.brand_id, answer[1]),
                fault,
                rest,
            )
