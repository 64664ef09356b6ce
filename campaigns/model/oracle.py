"""The oracle: a whole brand in memory. Everything is worked out anew from all facts at every instant that matters."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from campaigns.model.settling import Settling
from campaigns.model.times import midnight, plus_validity
from campaigns.model.words import GRANT, NO_PERIOD, Credit, Fact, Op, Version

FLAGS = {
    "roll_over": False,
    "issue_on_signup": False,
    "multi_use": False,
    "for_lead_booker_only": False,
    "issuing_frequency": "billing_cycle",
    "roll_over_limit": None,
    "max_uses": None,
}


def said_then(before: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """What a rule says once `fields` are saved: what is not named stays, and a flag that goes takes its limit along."""
    said = {**before, **fields}
    if not said["roll_over"]:
        said["roll_over_limit"] = None
    if not said["multi_use"]:
        said["max_uses"] = None
    return said


def _granted(coupon: str, now: datetime) -> Version:
    """What a grant's credit is like: no version of any rule, but one that rolls over."""
    flags: dict[str, Any] = {**FLAGS, "roll_over": True}
    return Version(0, now, now, include_upcoming=False, deleted=False, membership_type="", coupon=coupon, **flags)


class Oracle(Settling):
    """Plays the same operations as the server does and predicts every credit.

    Whoever watches the engine at work may tell the oracle of each settling (`hear`, `settle_one`, `issue_to` …);
    the operations of a history settle everything at once.
    """

    def play(self, op: Op) -> None:
        getattr(self, op.name)(**op.args)

    def coupon(self, name: str, validity: str | None) -> None:
        if self.coupons.get(name, validity) != validity:
            self.edited.add(name)
            self.former.setdefault(name, []).append((self.now, self.coupons[name]))
        self.coupons[name] = validity

    def membership_type(self, name: str, billing: str) -> None:
        self.types[name] = billing

    def create_rule(self, rule: str, include_upcoming: bool = False, **fields: Any) -> None:
        self.save(rule, include_upcoming=include_upcoming, **fields)
        self.settle()

    def update_rule(self, rule: str, include_upcoming: bool = False, **fields: Any) -> None:
        self.save(rule, include_upcoming=include_upcoming, **fields)
        self.settle()

    def delete_rule(self, rule: str) -> None:
        self.save(rule, deleted=True)

    def save(
        self,
        rule: str,
        include_upcoming: bool = False,
        deleted: bool = False,
        effective_from: date | None = None,
        **fields: Any,
    ) -> None:
        """The rule's next version, or its first; what is not named stays."""
        versions = self.rules.setdefault(rule, [])
        said = said_then(vars(versions[-1]) if versions else FLAGS, fields)
        created = midnight(self.timezone, effective_from) if effective_from else self.now
        head = {
            "number": len(versions) + 1,
            "created": created,
            "made": self.now,
            "include_upcoming": include_upcoming,
        }
        versions.append(Version(**{**said, **head, "deleted": deleted}))

    def post(self, facts: list[Fact]) -> dict[str, int]:
        """Takes the facts in and settles; how many were accepted, duplicates, or rejected as second sign-ups."""
        answer = self.hear(facts)
        self.waiting.clear()
        self.settle()
        return answer

    def clock(self, now: datetime, jump: bool = False) -> None:
        if not jump:
            before = self.now
            for membership in self.sign_ups:
                while (instant := self.next_instant(membership, now)) is not None:
                    self.now = instant
                    self.settle_one(membership)
                self.now = before
        self.now = now
        self.settle()

    def redeem(self, pick: int) -> Credit | None:
        """Redeems the `pick`-th live credit there is, if there is any."""
        live = self.with_status("live")
        if not live:
            return None
        credit = live[pick % len(live)]
        self.use(credit)
        return credit

    def use(self, credit: Credit) -> None:
        credit.uses += 1
        version = credit.version
        credit.redeemed = not version.multi_use or credit.uses == version.max_uses
        credit.used_up_at = self.now if credit.redeemed else None

    def give_back(self, credit: Credit) -> None:
        """A redemption was cancelled: the credit is as it was, with its expiry (but not a member's who was removed
        since it was used, back or not)."""
        back = self.revived.get(credit.membership)
        lost = back is not None and credit.used_up_at is not None and back >= credit.used_up_at
        lost = lost or credit.membership in self.archived
        credit.uses -= 1
        credit.redeemed, credit.used_up_at = False, None
        credit.flagged = credit.flagged and credit.uses > 0
        if lost and credit.status(self.now) in (
            "live",
            "upcoming",
            "revoked",
        ):
            credit.revoke("archiving", self.now)
        elif lost and credit.status(self.now) == "expired":
            credit.over = True
        elif credit.undone and (credit.revoked == "facts" or credit.status(self.now) in ("live", "upcoming")):
            credit.revoke("operator", self.now)
        elif credit.undone and credit.status(self.now) == "expired":
            credit.over = True

    def archive(self, member: str, told: list[Fact]) -> None:
        """Removes a member, whose membership ends by the facts `told`: it and its credits are over for good."""
        self.archived.add(member)
        self.hear(told)
        for credit in self.credits_of.get(member, []):
            if credit.status(self.now) in ("live", "upcoming", "revoked"):
                credit.revoke("archiving", self.now)
            credit.over = credit.over or credit.status(self.now) == "expired"

    def revive(self, member: str) -> None:
        """A removed member is back; what ended stays ended."""
        self.archived.discard(member)
        self.revived[member] = self.now

    def revoke(self, pick: int) -> Credit | None:
        """Revokes, as the operator, the `pick`-th live or upcoming credit."""
        held = self.with_status("live", "upcoming")
        if not held:
            return None
        credit = held[pick % len(held)]
        credit.revoke("operator", self.now)
        return credit

    def undo(self, rule: str, pick: int, days: int) -> tuple[int, datetime]:
        """Takes back for good what a version issued in the last `days`; the version's number, and from when on."""
        number, since = self.undone(rule, pick, days)
        for membership in self.credits_of:
            self.undo_of(membership, rule, number, since)
        return number, since

    def undone(self, rule: str, pick: int, days: int) -> tuple[int, datetime]:
        """What such an undo means: the number of the version, and from when on."""
        versions = [version.number for version in self.rules[rule] if not version.deleted]
        return versions[pick % len(versions)], self.now - timedelta(days=days)

    def undo_of(self, membership: str, rule: str, number: int, since: datetime) -> None:
        """Takes back for good what a version issued to a membership since an instant."""
        for credit in self.credits_of.get(membership, []):
            is_meant = (credit.rule, credit.version.number) == (rule, number) and credit.issued_at >= since
            if is_meant and (credit.revoked == "facts" or credit.status(self.now) in ("live", "upcoming")):
                credit.revoke("operator", self.now)
            credit.over = credit.over or (is_meant and credit.status(self.now) == "expired")
            credit.undone = credit.undone or (is_meant and credit.redeemed)

    def extend(self, pick: int, days: int) -> tuple[Credit, datetime] | None:
        """Extends the `pick`-th credit that can be, by some days from its end or from now; and until when."""
        found = [one for one in self.with_status("live", "upcoming", "expired") if one.expires_at is not None]
        if not found:
            return None
        credit = found[pick % len(found)]
        assert credit.expires_at is not None, "it was asked for"
        until = max(credit.expires_at, self.now) + timedelta(days=days)
        credit.expires_at, credit.extended_to, credit.over, credit.undone = until, until, False, False
        self.settle_one(credit.membership)
        return credit, until

    def reinstate(self, pick: int) -> Credit | None:
        """Lifts the operator's no of the `pick`-th credit that it holds back. Of one that is over the text does not say
        whether it is revoked or expired."""
        gone = (one for one in self.credits if one.revoked == "operator")
        found = sorted(
            (one for one in gone if one.expires_at is None or one.expires_at > self.now), key=lambda one: one.key
        )
        if not found:
            return None
        credit = found[pick % len(found)]
        credit.revoked, credit.undone = None, False
        self.settle_one(credit.membership)
        return credit

    def transfer(self, pick: int, to: int) -> Credit | None:
        """Transfers the `pick`-th live credit to the next of the guests on its order who does not hold it."""
        found = self.with_status("live")
        if not found:
            return None
        credit = found[pick % len(found)]
        reading = self.reading(credit.membership)
        assert reading is not None, "who has a credit has signed up"
        others = [one.label for one in reading.party(self.now) if one.label != (credit.holder or credit.guest)]
        if not others:
            return None
        credit.holder = others[to % len(others)]
        return credit

    def grant(self, pick: int, coupon: str) -> Credit | None:
        """Gives the lead booker of the `pick`-th membership a credit of a coupon."""
        readings = list(self.readings())
        if not readings:
            return None
        return self.grant_to(readings[pick % len(readings)].membership, coupon)

    def grant_to(self, membership: str, coupon: str) -> Credit:
        """Gives the lead booker of a membership a credit of a coupon."""
        reading = self.reading(membership)
        assert reading is not None, "they have signed up"
        validity = self.coupons[coupon]
        until = plus_validity(self.timezone, self.now, validity) if validity else None
        own = self.credits_of.setdefault(reading.membership, [])
        own.append(
            Credit(
                rule=GRANT,
                membership=reading.membership,
                guest=next(one.label for one in reading.party(self.now) if one.lead_booker),
                period_start=NO_PERIOD,
                period_end=None,
                reissue=sum(credit.rule == GRANT for credit in own),
                valid_from=self.now,
                expires_at=until,
                coupon_end=until,
                version=_granted(coupon, self.now),
                manual=True,
                issued_at=self.now,
                turn=NO_PERIOD,
            )
        )
        return own[-1]

    def with_status(self, *statuses: str) -> list[Credit]:
        return sorted((c for c in self.credits if c.status(self.now) in statuses), key=lambda c: c.key)

    def issue(self, rule: str, include_upcoming: bool = False) -> None:
        """The manual run of SEMANTICS 9, under the latest version."""
        self.settle()
        for membership in self.sign_ups:
            self.issue_to(rule, membership, include_upcoming)
