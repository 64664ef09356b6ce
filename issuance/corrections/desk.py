"""The desk: does corrections, one or many in a transaction (SEMANTICS 15).

All that they touch is locked first, in the usual order: the members who receive something, the schedules of the
memberships, the credits. So none of them races with settling, redeeming or archiving: whoever comes second waits, and
finds what the first one left. What a corrected credit becomes is what the facts make of it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text
from uuid_utils.compat import uuid7

from issuance import audit, limits
from issuance.audit import Action
from issuance.corrections.granting import granted
from issuance.corrections.receivers import Receivers, holder_of
from issuance.corrections.refusals import refuse
from issuance.corrections.wanted import AlreadyHeld, Correction, Extend, Grant, Reinstate, Revoke, Transfer
from issuance.corrections.writer import insert_grant, insert_transfer, update_credit
from issuance.credits import credits, journal
from issuance.credits.codes import as_kept
from issuance.deciding.facts import Credit
from issuance.deciding.movements import end_of, movements
from issuance.deciding.settlement import change_of
from issuance.engine import schedules
from issuance.engine.facts import loaded, together
from issuance.engine.membership import Membership
from issuance.engine.rules import RuleBook
from issuance.errors import Conflict, Invalid, IssuanceError
from issuance.tenancy import clock as clocks
from issuance.webhooks import outbox
from issuance.webhooks.outbox import OutboxEvent


class TooMuchToCorrect(Invalid):
    """These corrections take too long at once: send fewer, or use the command line, which has no limit."""

    code = "too_much_to_correct"


_MEMBERSHIPS_OF = text("""
    SELECT membership_id FROM credits WHERE brand_id = :brand_id AND code = ANY(:codes)
     UNION
    SELECT membership_id FROM memberships WHERE brand_id = :brand_id AND membership_id = ANY(:membership_ids)
""")
_LOCK = text("""
    SELECT credit_id, code FROM credits WHERE brand_id = :brand_id AND code = ANY(:codes) ORDER BY credit_id FOR UPDATE
""")


@dataclass(slots=True)
class Corrected:
    """What became of corrections, each by its place: the credit as it is shown now, or why it was refused."""

    #: That of the entry in the audit.
    id: UUID
    credits: dict[int, dict[str, Any]] = field(default_factory=dict)
    refused: dict[int, IssuanceError] = field(default_factory=dict)
    #: To be settled, once it is committed.
    membership_ids: list[UUID] = field(default_factory=list)


def correct(connection: Connection, brand_id: UUID, correction: Correction) -> tuple[dict[str, Any], list[UUID]]:
    """Make one correction: the credit as it is shown now, and the memberships to settle after the commit.

    Raises NotFound, Invalid, MemberArchived, or why the credit can not be corrected so.
    """
    desk = _Desk(connection, brand_id, [correction])
    done = desk.make(correction)
    before, after = done.before, done.after
    audit.write(connection, brand_id, done.action, done.credit_id, reason=correction.reason, before=before, after=after)
    return desk.shown(done.credit_id), desk.membership_ids


def correct_all(
    connection: Connection,
    brand_id: UUID,
    corrections: Sequence[Correction],
    *,
    reason: str | None,
    dry_run: bool,
    bounded: bool = False,
) -> Corrected:
    """Make corrections one after the other. Those that are refused change nothing, the others are made.

    `reason`: that of all. `dry_run`: only see what would come of them. The audit has one entry of all of them, with the
    reasons of those that have another. `bounded`: raises TooMuchToCorrect, and nothing is made.
    """
    most = limits.current.corrections
    ends = monotonic() + most.seconds
    assert len(corrections) <= most.at_once, "the caller has counted them"
    corrected = Corrected(uuid7())
    trial = connection.begin_nested()
    desk = _Desk(connection, brand_id, corrections, bounded=bounded)
    counts: Counter[str] = Counter()
    made: dict[int, UUID] = {}
    for place, correction in enumerate(corrections):
        if bounded and monotonic() > ends:
            raise TooMuchToCorrect
        try:
            done = desk.make(correction)
        except IssuanceError as refusal:
            corrected.refused[place] = refusal
        else:
            made[place] = done.credit_id
            counts[done.action.partition(".")[2]] += 1
            shown = desk.shown(done.credit_id)
            # Nobody is to hand out a code that is not kept.
            is_of_nothing = dry_run and done.action in ("credit.granted", "credit.transferred")
            corrected.credits[place] = {**shown, "code": None} if is_of_nothing else shown
    if dry_run:
        trial.rollback()
        made.clear()
    else:
        trial.commit()
        corrected.membership_ids = desk.membership_ids
    if dry_run or made:
        said = {
            **counts,
            "refused": len(corrected.refused),
            "dry_run": dry_run,
            "credit_ids": list(dict.fromkeys(made.values())),
            "reasons": [
                {"credit_id": credit_id, "reason": corrections[place].reason}
                for place, credit_id in made.items()
                if corrections[place].reason != reason
            ],
        }
        audit.write(connection, brand_id, "correction.made", corrected.id, reason=reason, after=said)
    return corrected


@dataclass(frozen=True, slots=True)
class _Done:
    """One correction that was made, in the words of the audit."""

    action: Action
    credit_id: UUID
    before: dict[str, Any]
    after: dict[str, Any]


class _Desk:
    """Makes corrections of what it has locked."""

    def __init__(
        self, connection: Connection, brand_id: UUID, corrections: Sequence[Correction], *, bounded: bool = False
    ) -> None:
        self._connection, self._brand_id = connection, brand_id
        clock = clocks.read(connection, brand_id, lock=True)
        self._receivers = Receivers(connection, brand_id, [one for one in corrections if isinstance(one, Transfer)])
        codes = [as_kept(one.code) for one in corrections if not isinstance(one, Grant)]
        granting = [one.membership_id for one in corrections if isinstance(one, Grant)]
        parameters = {"brand_id": brand_id, "codes": codes, "membership_ids": granting}
        self.membership_ids: list[UUID] = sorted(connection.scalars(_MEMBERSHIPS_OF, parameters))
        ids = [str(one) for one in self.membership_ids]
        most = limits.current.corrections.at_once, limits.current.settling.loaded_credits
        if bounded and ids and together(connection, brand_id, ids, *most) < len(ids):
            raise TooMuchToCorrect
        schedules.wake(connection, brand_id, self.membership_ids, clock.now)
        self._credit_ids: dict[str, UUID] = {
            row.code: row.credit_id for row in connection.execute(_LOCK, {"brand_id": brand_id, "codes": codes})
        }
        self._clock = clocks.once_locked(connection, brand_id, clock)
        found = loaded(connection, brand_id, self._clock.zone, self.membership_ids)
        self._memberships = {membership.membership_id: membership for some in found for membership in some}
        self._rules = RuleBook(connection, brand_id, self._clock.zone)
        self._told = outbox.listened_to(connection, brand_id)

    def make(self, correction: Correction) -> _Done:
        """Make one of the corrections. Raises why it can not be made, before anything is changed."""
        match correction:
            case Grant():
                return self._grant(correction)
            case Extend():
                return self._extend(correction)
            case Transfer():
                return self._transfer(correction)
            case Revoke():
                return self._revoke(correction)
            case Reinstate():
                return self._reinstate(correction)

    def shown(self, credit_id: UUID) -> dict[str, Any]:
        """A credit as the API shows it now."""
        return credits.by_id(self._connection, self._brand_id, [credit_id], self._clock.now)[credit_id]

    def _grant(self, grant: Grant) -> _Done:
        membership = self._memberships.get(grant.membership_id)
        if membership is None:
            raise Invalid(fields={"membership_id": "There is no such membership."})
        new = granted(self._connection, self._brand_id, membership, grant, self._clock)
        credit_id = insert_grant(self._connection, self._brand_id, membership, new)
        membership.credits.append(new.credit)
        membership.credit_ids[new.credit.key] = credit_id
        self._tell(credit_id, "credit.issued")
        said = {
            "membership_id": grant.membership_id,
            "guest_id": membership.guest_ids[new.credit.key.place],
            "coupon_id": grant.coupon_id,
            "valid_from": new.credit.valid_from,
            "expires_at": new.credit.expires_at,
        }
        return _Done("credit.granted", credit_id, {}, said)

    def _extend(self, extend: Extend) -> _Done:
        shown, membership, credit = self._found(extend)
        assert credit.expires_at is not None, "one that never expires was refused"
        wrong = None
        if extend.expires_at <= credit.expires_at:
            wrong = f"must be later than {credit.expires_at.isoformat()}"
        elif extend.expires_at <= self._clock.now:
            wrong = "must lie ahead"
        if wrong is not None:
            raise Invalid(f"expires_at: {wrong}", fields={"expires_at": wrong})
        until, now = extend.expires_at, self._clock.now
        later = replace(credit, expires_at=until, extended_to=until, extended_at=now, expired_at=None)
        self._become(shown["id"], membership, later, "credit.extended")
        before, after = {"expires_at": credit.expires_at}, {"expires_at": extend.expires_at}
        return _Done("credit.extended", shown["id"], before, after)

    def _revoke(self, revoke: Revoke) -> _Done:
        shown, membership, credit = self._found(revoke)
        by_facts = credit.revoked_by == "facts"
        revoked = replace(credit, revoked_at=credit.revoked_at or self._clock.now, revoked_by="operator")
        self._write(shown["id"], membership, revoked, revoke.reason)
        self._tell(shown["id"], "credit.updated" if by_facts else "credit.revoked")
        return _Done("credit.revoked", shown["id"], {"status": shown["status"]}, {"status": "revoked"})

    def _reinstate(self, reinstate: Reinstate) -> _Done:
        shown, membership, credit = self._found(reinstate)
        self._become(shown["id"], membership, replace(credit, revoked_at=None, revoked_by=None), "credit.restored")
        return _Done("credit.reinstated", shown["id"], {}, {"status": self.shown(shown["id"])["status"]})

    def _transfer(self, transfer: Transfer) -> _Done:
        shown, _, _ = self._found(transfer)
        holder = holder_of(self._connection, self._brand_id, shown["id"])
        receiver = self._receivers.of(transfer, shown["membership_id"])
        if receiver == holder or (receiver.member_id is not None and receiver.member_id == holder.member_id):
            raise AlreadyHeld
        code = insert_transfer(self._connection, self._brand_id, shown, receiver, self._clock.now)
        del self._credit_ids[shown["code"]]
        self._credit_ids[code] = shown["id"]
        self._tell(shown["id"], "credit.transferred")
        return _Done("credit.transferred", shown["id"], holder.said(), receiver.said())

    def _found(self, wanted: Extend | Transfer | Revoke | Reinstate) -> tuple[dict[str, Any], Membership, Credit]:
        """The credit that is to be corrected: as it is shown, its membership, and as it is decided about. Raises why it
        can not be corrected so."""
        credit_id = self._credit_ids.get(as_kept(wanted.code))
        if credit_id is None:
            credits.get(self._connection, self._brand_id, wanted.code)  # raises why there is none
            raise Conflict("The credit got this code only now. Ask again.")
        shown = self.shown(credit_id)
        membership = self._memberships[shown["membership_id"]]
        key = next(key for key, known in membership.credit_ids.items() if known == credit_id)
        credit = next(credit for credit in membership.credits if credit.key == key)
        now = self._clock.now
        refuse(self._connection, self._brand_id, type(wanted), shown, credit.revoked_by, membership, now)
        return shown, membership, credit

    def _become(self, credit_id: UUID, membership: Membership, corrected: Credit, event: outbox.EventType) -> None:
        """Write what the facts make of a corrected credit, and tell it."""
        rules = self._rules.of(membership.facts.types)
        change = change_of(membership.facts, membership.credits, corrected, rules, self._clock.now)
        after, why = change.after, change.why
        reason = why.value if after.revoked_by == "facts" and why is not None else None
        self._write(credit_id, membership, after, reason)
        lives = event != "credit.restored" or after.revoked_at is None
        self._tell(credit_id, event if lives else "credit.updated")
        if event != "credit.restored" and after.revoked_at is not None:
            self._tell(credit_id, "credit.revoked")

    def _write(self, credit_id: UUID, membership: Membership, after: Credit, reason: str | None) -> None:
        """Write what a credit became, with what has to be journaled, and go on with it so."""
        update_credit(self._connection, self._brand_id, credit_id, after, reason)
        before = next(credit for credit in membership.credits if credit.key == after.key)
        now = self._clock.now
        moved = movements(end_of(before, now), end_of(after, now), now)
        journal.note(self._connection, self._brand_id, ((credit_id, movement) for movement in moved))
        membership.credits = [after if credit is before else credit for credit in membership.credits]

    def _tell(self, credit_id: UUID, event: outbox.EventType) -> None:
        if event in self._told:
            news = OutboxEvent(event, self._clock.now, self.shown(credit_id))
            outbox.add_all(self._connection, self._brand_id, [news])
