"""The oracle: a whole brand in memory. Everything is worked out anew from all facts at every instant that matters."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

from tests.model.owed import Owed, owed, stamps
from tests.model.reading import Reading
from tests.model.times import local_date, midnight, plus_months, plus_validity
from tests.model.words import Credit, Fact, Op, Version

FLAGS = {
    "roll_over": False,
    "issue_on_signup": False,
    "multi_use": False,
    "for_lead_booker_only": False,
    "issuing_frequency": "billing_cycle",
}


class Oracle:
    """Plays the same operations as the server does and predicts every credit."""

    def __init__(self, timezone: str, now: datetime) -> None:
        self.timezone = timezone
        self.now = now
        self.coupons: dict[str, str | None] = {}
        self.types: dict[str, str] = {}
        self.rules: dict[str, list[Version]] = {}
        self.facts: list[Fact] = []
        self.credits: list[Credit] = []

    def play(self, op: Op) -> None:
        getattr(self, op.name)(**op.args)

    # -- operations

    def coupon(self, name: str, validity: str | None) -> None:
        self.coupons[name] = validity

    def membership_type(self, name: str, billing: str) -> None:
        self.types[name] = billing

    def create_rule(self, rule: str, include_upcoming: bool = False, **fields: Any) -> None:
        values = {**FLAGS, **fields}
        self.rules[rule] = [Version(1, self.now, include_upcoming, False, **values)]
        self.settle()

    def update_rule(self, rule: str, include_upcoming: bool = False, **fields: Any) -> None:
        self._save(rule, include_upcoming=include_upcoming, deleted=False, **fields)
        self.settle()

    def delete_rule(self, rule: str) -> None:
        self._save(rule, include_upcoming=False, deleted=True)

    def _save(self, rule: str, **changes: Any) -> None:
        latest = self.rules[rule][-1]
        values = {**vars(latest), "number": latest.number + 1, "created": self.now, **changes}
        self.rules[rule].append(Version(**values))

    def post(self, facts: list[Fact]) -> dict[str, int]:
        """Takes the facts in; how many were accepted, duplicates of earlier ones, or rejected as second sign-ups."""
        answer = {"accepted": 0, "duplicates": 0, "rejected": 0}
        for fact in facts:
            same = any((each.source, each.id) == (fact.source, fact.id) for each in self.facts)
            second = fact.kind == "membership.signed_up" and any(
                each.kind == fact.kind and each.membership == fact.membership for each in self.facts
            )
            if not same and not second:
                self.facts.append(fact)
            answer["duplicates" if same else "rejected" if second else "accepted"] += 1
        self.settle()
        return answer

    def clock(self, now: datetime, jump: bool = False) -> None:
        if not jump:
            for instant in sorted(self._instants(self.now, now)):
                self.now = instant
                self.settle()
        self.now = now
        self.settle()

    def redeem(self, pick: int) -> Credit | None:
        """Redeems the `pick`-th live credit there is, if there is any."""
        live = self._with_status("live")
        if not live:
            return None
        credit = live[pick % len(live)]
        credit.uses += 1
        credit.redeemed = not credit.version.multi_use
        return credit

    def revoke(self, pick: int) -> Credit | None:
        """Revokes, as the operator, the `pick`-th live or upcoming credit."""
        held = self._with_status("live", "upcoming")
        if not held:
            return None
        credit = held[pick % len(held)]
        credit.revoked = "operator"
        return credit

    def _with_status(self, *statuses: str) -> list[Credit]:
        return sorted((c for c in self.credits if c.status(self.now) in statuses), key=lambda c: c.key)

    def issue(self, rule: str, include_upcoming: bool = False) -> None:
        """The manual run of SEMANTICS 9, under the latest version."""
        self.settle()
        version = self.rules[rule][-1]
        if version.deleted:
            return
        for reading in self.readings():
            status = reading.status_at(self.now)
            admitted = status == "active" or (status == "upcoming" and include_upcoming)
            if reading.membership_type == version.membership_type and admitted:
                self._issue_to(rule, version, reading)

    def _issue_to(self, rule: str, version: Version, reading: Reading) -> None:
        today = local_date(self.timezone, self.now)
        passed = [day for day in reading.calendar(version.issuing_frequency) if day <= today]
        once = version.issuing_frequency == "P0D"
        period_start = reading.starts_on if once or not passed else passed[-1]
        period_end = None if once else reading.next_boundary(version.issuing_frequency, period_start)
        for guest in reading.party(self.now):
            if version.for_lead_booker_only and not guest.lead_booker:
                continue
            own = [c for c in self.credits if (c.rule, c.membership, c.guest) == (rule, reading.membership, guest.name)]
            if any(credit.status(self.now) in ("live", "upcoming") for credit in own):
                continue
            reissue = sum(credit.period_start == period_start for credit in own)
            start = reading.midnight(period_start)
            one = Owed(guest.name, period_start, period_end, start, version, period_start)
            self._give(rule, reading, one, reissue, manual=True)

    # -- settling

    def readings(self) -> Iterator[Reading]:
        for sign_up in [fact for fact in self.facts if fact.kind == "membership.signed_up" and fact.time <= self.now]:
            automatic = self.types[sign_up.data["membership_type"]] == "automatic"
            own = [fact for fact in self.facts if fact.membership == sign_up.membership]
            yield Reading(self.timezone, automatic, own, self.now)

    def settle(self) -> None:
        for reading in self.readings():
            for rule in self.rules:
                self._settle_scheduled(rule, reading)
            for credit in self.credits:
                if credit.membership == reading.membership:
                    self._look_after(credit, reading)

    def _settle_scheduled(self, rule: str, reading: Reading) -> None:
        own = [credit for credit in self.credits if (credit.rule, credit.membership) == (rule, reading.membership)]
        due = owed(self.rules[rule], reading, stamps(own))
        deleted = self.rules[rule][-1].deleted
        first = {(credit.guest, credit.period_start): credit for credit in own if credit.reissue == 0}
        for key, one in due.items():
            credit = first.get(key)
            if credit is None and not deleted:
                self._give(rule, reading, one, 0)
            elif credit is not None and not credit.manual and credit.revoked == "facts" and not deleted:
                credit.revoked = None
        for key, credit in first.items():
            if key not in due and not credit.manual and not credit.redeemed and credit.revoked is None:
                credit.revoked = "facts"

    def _give(self, rule: str, reading: Reading, one: Owed, reissue: int, manual: bool = False) -> None:
        valid_from = max(one.start, self.now)
        validity = self.coupons[one.version.coupon]
        credit = Credit(
            rule=rule,
            membership=reading.membership,
            guest=one.guest,
            period_start=one.period_start,
            period_end=one.period_end,
            reissue=reissue,
            valid_from=valid_from,
            expires_at=None,
            coupon_end=plus_validity(self.timezone, valid_from, validity) if validity else None,
            version=one.version,
            manual=manual,
            issued_at=self.now,
            turn=one.turn,
        )
        credit.expires_at = self._end(credit, reading)
        if credit.expires_at is None or credit.expires_at > self.now:
            self.credits.append(credit)

    def _end(self, credit: Credit, reading: Reading) -> datetime | None:
        """`expires_at`: the earliest of what SEMANTICS 6 names."""
        ends = [credit.coupon_end] if credit.coupon_end else []
        if not credit.version.roll_over:
            ends.append(reading.next_billing_start(credit.valid_from))
            if credit.period_end:
                ends.append(reading.midnight(credit.period_end))
        return min(ends, default=None)

    def _look_after(self, credit: Credit, reading: Reading) -> None:
        """A removed guest keeps nothing; an unredeemed roll_over=false credit moves with the billing date."""
        if credit.redeemed or credit.revoked:
            return
        if credit.manual and credit.guest not in {guest.name for guest in reading.party(credit.issued_at)}:
            credit.revoked = "facts"
        if credit.revoked or credit.version.roll_over:
            return
        if credit.period_end:
            credit.period_end = reading.next_boundary(credit.version.issuing_frequency, credit.period_start)
        credit.expires_at = self._end(credit, reading)

    # -- time

    def _instants(self, after: datetime, until: datetime) -> set[datetime]:
        """Every instant in (after, until] at which something may fall due: facts' times and dates' midnights."""
        found = {fact.time for fact in self.facts}
        for fact in self.facts:
            for key in ("starts_on", "billing_anchor", "ends_on", "period_start", "period_end"):
                if (day := fact.data.get(key)) is not None:
                    found |= {midnight(self.timezone, plus_months(day, months)) for months in self._months(day, until)}
        return {instant for instant in found if after < instant <= until}

    def _months(self, day: date, until: datetime) -> range:
        last = until.astimezone(UTC)
        return range(max(0, (last.year - day.year) * 12 + last.month - day.month + 2))
