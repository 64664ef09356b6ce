"""What settling gives and takes: from all facts of a membership to its credits, as the text says it."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from campaigns.model.memory import Memory
from campaigns.model.owed import (
    Owed,
    end_of,
    gives_nothing,
    owed,
    period_start_of,
    stamps,
    stands_for,
    turns,
    used_before,
)
from campaigns.model.reading import Reading
from campaigns.model.times import local_date, plus_validity
from campaigns.model.words import GRANT, Credit, Version


def _taken_back(credit: Credit, one: Owed, reading: Reading) -> bool:
    """Whether the turn that a P0D credit rode on is one of those that give nothing, and all of these gave nothing when
    it expired, by what is known now."""
    if credit.expires_at is None:
        return False
    last = credit.expires_at - timedelta.resolution
    rode_on = [day for day in reading.calendar.days("billing_cycle") if reading.midnight(day) <= credit.valid_from][-1:]
    is_passed = any([turn.day] == rode_on for turn in one.passed)
    return is_passed and not any(turn.was_out(last) for turn in one.passed)


class Settling(Memory):
    """Settles memberships of a brand in memory; issues to them by hand, and replays what they missed."""

    def settle(self) -> None:
        for membership in self.sign_ups:
            self.settle_one(membership)

    def settle_one(self, membership: str) -> None:
        reading = self.reading(membership)
        if reading is None:
            return
        for rule in self.rules:
            self._settle_scheduled(rule, reading)
        for credit in self.credits_of.get(membership, []):
            self._look_after(credit, reading)

    def _settle_scheduled(self, rule: str, reading: Reading) -> None:
        own = self.own(rule, reading.membership)
        due = owed(self.rules[rule], reading, stamps(own))
        everything = [credit for credit in self.credits_of.get(reading.membership, []) if credit.rule != GRANT]
        spared = {key: [one for one in ones if not used_before(reading, one, everything)] for key, ones in due.items()}
        due = {key: ones for key, ones in spared.items() if ones}
        deleted = self.rules[rule][-1].deleted
        first = {(credit.guest, credit.period_start): credit for credit in own if credit.reissue == 0}
        standing: set[tuple[str, date]] = set()
        for key, ones in due.items():
            credit = first.get(key)
            if credit is None or credit.revoked == "facts":
                other = stands_for(reading, ones[0].version, *key, own)
                if other is not None:
                    standing.add((other.guest, other.period_start))
                    if credit is not None:
                        continue
                    credit = other
            if credit is None and not deleted:
                self._give_one(rule, reading, ones)
            elif credit is not None and not credit.manual and (credit.revoked != "facts" or not deleted):
                self._ride(credit, ones[0], reading)
        for key, credit in first.items():
            is_owed = key in due or key in standing
            is_out = credit.status(self.now) in ("live", "upcoming")
            if not is_owed and not credit.manual and is_out:
                credit.revoke("facts", self.now)
        used = {key: credit for key, credit in first.items() if credit.uses and not credit.manual}
        chain = turns(self.rules[rule], reading, self.now, stamps(own)) if used else []
        for key, credit in used.items():
            is_owed = key in due or key in standing
            credit.flagged = not is_owed and gives_nothing(chain, reading, credit)

    def _give_one(self, rule: str, reading: Reading, ones: list[Owed]) -> None:
        """One credit for those that have the same key."""
        for one in ones:
            if self._give(rule, reading, one, 0):
                return

    def _ride(self, credit: Credit, one: Owed, reading: Reading) -> None:
        """What facts took back lives again. A P0D credit goes over to the period that it rides on by the facts as they
        are now, and is of a later one unless that is over or it had its time."""
        is_over = credit.status(self.now) == "expired"
        had_its_time = credit.uses > 0 or credit.revoked == "operator" or credit.over
        had_its_time = had_its_time or (is_over and not _taken_back(credit, one, reading))
        if credit.revoked == "facts":
            credit.revoked = None
        if one.period_end is not None or credit.period_end is not None:
            return
        if one.start > credit.valid_from and not had_its_time:
            before = credit.valid_from, credit.coupon_end
            credit.valid_from = max(one.start, self.now)
            credit.coupon_end = self._coupon_end(credit, one.start, before[0])
            end = self._end(credit, reading)
            if end is not None and end <= credit.valid_from:
                credit.valid_from, credit.coupon_end = before
                if not is_over:
                    credit.revoke("facts", self.now)
        elif credit.turn != one.turn and credit.from_start:
            credit.coupon_end = self._coupon_end(credit, one.start, credit.valid_from)
        credit.turn = one.turn

    def _coupon_end(self, credit: Credit, start: datetime, was_from: datetime) -> datetime | None:
        """Until when the coupon lets a credit live that goes over to another start, and was valid from `was_from`. By a
        coupon that was saved again it is as long as it was, unless the new validity comes to the same end."""
        end, validity = credit.coupon_end, self.coupons[credit.version.coupon]
        edited = credit.version.coupon in self.edited
        if end is None:
            return None
        if validity is None or (edited and end != plus_validity(self.timezone, was_from, validity)):
            return end + (credit.valid_from - was_from)
        counted = start if credit.from_start and not edited else credit.valid_from
        return plus_validity(self.timezone, counted, validity)

    def _give(self, rule: str, reading: Reading, one: Owed, reissue: int, manual: bool = False) -> bool:
        back = self.revived.get(reading.membership)
        if reading.membership in self.archived or (back is not None and not manual and one.start < back):
            return False
        valid_from = max(one.start, self.now)
        from_start = not manual and self._is_late(rule, reading, one.start)
        counted = one.start if from_start else valid_from
        validity = self._validity_then(rule, reading, one) if from_start else self.coupons[one.version.coupon]
        credit = Credit(
            rule=rule,
            membership=reading.membership,
            guest=one.guest,
            period_start=one.period_start,
            period_end=one.period_end,
            reissue=reissue,
            valid_from=valid_from,
            expires_at=None,
            coupon_end=plus_validity(self.timezone, counted, validity) if validity else None,
            version=one.version,
            manual=manual,
            issued_at=self.now,
            turn=one.turn,
            from_start=from_start,
        )
        credit.expires_at = self._end(credit, reading)
        lives = credit.expires_at is None or credit.expires_at > self.now
        if lives:
            self.credits_of.setdefault(reading.membership, []).append(credit)
        return lives

    def _is_late(self, rule: str, reading: Reading, start: datetime) -> bool:
        """Whether a validity counts from the period's start: of an import, or before its rule was made."""
        signed_up, first = reading.sign_up.time, self.rules[rule][0]
        imported = start < signed_up and reading.starts_on < reading.local_date(signed_up)
        return imported or (first.created != first.made and start < first.made)

    def _validity_then(self, rule: str, reading: Reading, one: Owed) -> str | None:
        """The validity that the coupon had when both the sign-up and the rule were there."""
        then, name = reading.sign_up.time, one.version.coupon
        first = self.rules[rule][0]
        if first.created != first.made:
            then = max(then, first.made)
        later = [validity for until, validity in self.former.get(name, []) if until > then]
        return [*later, self.coupons[name]][0]

    def _end(self, credit: Credit, reading: Reading) -> datetime | None:
        """`expires_at`: the earliest of what SEMANTICS 6 names."""
        ends = [credit.coupon_end] if credit.coupon_end else []
        frequency, start = credit.version.issuing_frequency, period_start_of(credit, reading)
        period_end = end_of(credit.version, reading, start) if credit.period_end else None
        if not credit.version.roll_over:
            ends.append(reading.calendar.next_start(max(credit.valid_from, reading.midnight(start))))
            if period_end:
                ends.append(reading.calendar.instant(frequency, period_end))
        elif credit.version.roll_over_limit is not None and period_end:
            days = reading.calendar.days(frequency)
            last = days[days.index(period_end) + credit.version.roll_over_limit]
            ends.append(reading.calendar.instant(frequency, last))
        end = min(ends, default=None)
        return end if end is None or credit.extended_to is None else max(end, credit.extended_to)

    def _look_after(self, credit: Credit, reading: Reading) -> None:
        """A removed guest keeps nothing; an unredeemed credit's period moves with the billing date."""
        if credit.redeemed:
            return
        if (credit.manual or credit.extended_to) and not credit.uses and not credit.over:
            self._move_with_start(credit, reading)
        if credit.revoked:
            return
        if credit.manual and credit.guest not in {guest.label for guest in reading.party(credit.issued_at)}:
            credit.revoke("facts", self.now)
        if credit.revoked or credit.over:
            return
        was = credit.period_end
        if credit.period_end:
            starts = (period_start_of(credit, reading), credit.period_start)
            ends = (end_of(credit.version, reading, start) for start in starts)
            credit.period_end = next(day for day in ends if day is not None and day > credit.period_start)
        end = self._end(credit, reading)
        if end is None or end > credit.valid_from:
            credit.expires_at = end
        elif credit.manual or credit.status(self.now) not in ("live", "upcoming"):
            credit.period_end = was
        else:
            credit.revoke("facts", self.now)  # a move that was told late ended its period before it was given

    def _move_with_start(self, credit: Credit, reading: Reading) -> None:
        """What was given by hand, or extended, for a start that was moved is valid from the start as it is now."""
        start = period_start_of(credit, reading)
        was_for_start = start != credit.period_start or start == reading.starts_on
        if credit.version.issuing_frequency == "P0D" and not credit.manual:
            was_for_start = credit.turn in {reading.starts_on, *reading.former_starts}
        if not reading.former_starts or credit.rule == GRANT or not was_for_start:
            return
        before = credit.valid_from, credit.coupon_end
        credit.from_start = not credit.manual and self._is_late(credit.rule, reading, reading.midnight(start))
        credit.valid_from = max(reading.midnight(start), credit.issued_at)
        credit.coupon_end = self._coupon_end(credit, reading.midnight(start), before[0])
        end = self._end(credit, reading)
        if end is not None and end <= credit.valid_from:
            credit.valid_from, credit.coupon_end = before

    def issue_to(self, rule: str, membership: str, include_upcoming: bool = False) -> None:
        """What a manual run gives one membership, which is settled."""
        version, reading = self.rules[rule][-1], self.reading(membership)
        if reading is None or version.deleted or membership in self.archived:
            return
        status = reading.status_at(self.now)
        admitted = status == "active" or (status == "upcoming" and include_upcoming)
        if reading.membership_type == version.membership_type and admitted:
            self._issue_to(rule, version, reading)

    def replay_to(self, membership: str, rule: str | None, first: date, last: date) -> None:
        """What a replay gives one membership: what is owed by all that is known and not there. It takes nothing."""
        reading = self.reading(membership, waiting_too=True)
        for each in self.rules if rule is None else [rule]:
            if reading is not None and not self.rules[each][-1].deleted:
                own = self.own(each, membership)
                there = {(credit.guest, credit.period_start) for credit in own if credit.reissue == 0}
                for key, ones in owed(self.rules[each], reading, stamps(own)).items():
                    other = stands_for(reading, ones[0].version, *key, own)
                    if key not in there and other is None and first <= key[1] <= last:
                        self._give_one(each, reading, ones)

    def _issue_to(self, rule: str, version: Version, reading: Reading) -> None:
        today = local_date(self.timezone, self.now)
        passed = [day for day in reading.calendar.days(version.issuing_frequency) if day <= today]
        once = version.issuing_frequency == "P0D"
        period_start = reading.starts_on if once or not passed else passed[-1]
        period_end = end_of(version, reading, period_start)
        for guest in reading.party(self.now):
            if version.for_lead_booker_only and not guest.lead_booker:
                continue
            own = [credit for credit in self.own(rule, reading.membership) if credit.guest == guest.label]
            if any(credit.status(self.now) in ("live", "upcoming") for credit in own):
                continue
            reissue = sum(credit.period_start == period_start for credit in own)
            start = reading.midnight(period_start)
            one = Owed(guest.label, period_start, period_end, start, version, period_start)
            self._give(rule, reading, one, reissue, manual=True)
