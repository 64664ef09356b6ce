"""What releases an occurrence: its start, its charge, the membership's status (SEMANTICS 3, 7)."""

from datetime import date, datetime
from functools import cached_property
from typing import NamedTuple

from issuance.deciding.calendar import Calendar, day_of, midnight
from issuance.deciding.facts import PAYING, Charge, ChargeState, MembershipFacts, Order, Status
from issuance.deciding.parties import Parties
from issuance.deciding.reasons import Reason
from issuance.deciding.standing import ENDED, Standing, standing_of


class Release(NamedTuple):
    """Whether an occurrence is released at `now`.

    `first` is the first instant at which its start, charge and status all held; it decides which rule
    version applies and never changes again. `reason` says why it is not released, or taken back; None: it is.
    """

    first: datetime | None
    reason: Reason | None


class History:
    """A membership's facts at an instant, with what follows from them for any of its dates."""

    def __init__(self, facts: MembershipFacts, now: datetime) -> None:
        self.facts = facts
        self.now = now
        self.calendar = Calendar(facts.zone, facts.starts_on, facts.billing_anchor, facts.moves)
        self.billing_months = facts.billing_frequency.months
        self._releases: dict[date, Release] = {}

    @cached_property
    def standing(self) -> Standing:
        return standing_of(self.facts)

    @cached_property
    def parties(self) -> Parties:
        return Parties(self.facts)

    def start_of(self, day: date) -> datetime:
        return midnight(day, self.facts.zone)

    @property
    def today(self) -> date:
        return day_of(self.now, self.facts.zone)

    def status_at(self, instant: datetime) -> Status:
        """The status at an instant, automatic charges included."""
        status = self.standing.at(instant)
        if status is Status.UPCOMING and self.facts.automatic:
            day = day_of(instant, self.facts.zone)
            if day >= self.first_billed and self.first_automatic_charge <= instant:
                return Status.ACTIVE
        return status

    @cached_property
    def first_billed(self) -> date:
        """The first date of the billing calendar: the start where that is the anchor, as last moved before it."""
        start = self.start_of(self.facts.starts_on)
        anchor = [self.facts.billing_anchor, *(anchor for at, anchor in self.facts.moves if at < start)][-1]
        if anchor == self.facts.starts_on:
            return anchor
        return self.calendar.next_boundary(self.billing_months, self.facts.starts_on)

    @cached_property
    def first_automatic_charge(self) -> datetime:
        """When `billing: automatic` first charges: the first period from the anchor on that ends after the sign-up."""
        day = self.first_billed
        while self.start_of(self.calendar.next_boundary(self.billing_months, day)) <= self.facts.signed_up_at:
            day = self.calendar.next_boundary(self.billing_months, day)
        return self.start_of(day)

    def is_charged_automatically(self, day: date) -> bool:
        """Whether `billing: automatic` charges the billing period that `day` lies in."""
        if not self.facts.automatic or day < self.first_billed:
            return False
        start, end = self.calendar.period_of(self.billing_months, day)
        if self.start_of(end) <= self.facts.signed_up_at:
            return False
        status = self.standing.at(self.start_of(start))
        return status is not Status.PAUSED and status not in ENDED

    def end_of(self, charge: Charge) -> date:
        """The first date that a charge no longer covers."""
        return charge.period_end or self.calendar.next_boundary(self.billing_months, charge.period_start)

    @cached_property
    def _ends(self) -> list[tuple[Charge, date]]:
        return [(charge, self.end_of(charge)) for charge in self.facts.charges]

    def charges_on(self, day: date) -> list[Charge]:
        """The charges that cover a date."""
        return [charge for charge, end in self._ends if charge.period_start <= day < end]

    def release(self, day: date) -> Release:
        """Whether the occurrence that starts on `day` is released at `now`."""
        known = self._releases.get(day)
        if known is None:
            known = self._releases[day] = self._release(day)
        return known

    def _release(self, day: date) -> Release:
        start = self.start_of(day)
        is_signup = day == self.facts.starts_on
        earliest = self.facts.signed_up_at if is_signup else max(start, self.facts.signed_up_at)
        status_at_start = self.status_at(start)
        if status_at_start is Status.PAUSED:
            return Release(None, Reason.MEMBERSHIP_PAUSED)
        if status_at_start in ENDED:
            return Release(None, Reason.MEMBERSHIP_ENDED)
        if earliest > self.now:
            return Release(None, Reason.NOT_DUE_YET)

        charges = self.charges_on(day)
        paid_anyway = self.is_charged_automatically(day)
        told = {fact.order.time for charge in charges for fact in charge.facts}
        changes = (change for change in told.union(self.standing.instants) if earliest < change <= self.now)
        first: datetime | None = None
        released = False
        for instant in sorted({earliest, *changes}):
            if released and instant not in told:
                continue  # once released it stays owed, whatever becomes of other charges or the status
            states = _states_at(charges, instant)
            pays = paid_anyway or not PAYING.isdisjoint(states) or (is_signup and not states)
            allowed = self.status_at(instant) is not Status.NEEDS_ATTENTION
            if released:
                released = pays
            elif pays and (allowed or (first is not None and ChargeState.SUCCEEDED in states)):
                # Success brings back what was taken back; a retry's initiation only while the status allows it.
                released = True
                first = first or instant
        if released:
            return Release(first, None)
        states = _states_at(charges, self.now)
        if paid_anyway or not PAYING.isdisjoint(states) or (is_signup and not states):
            return Release(first, Reason.NEEDS_ATTENTION)
        if states and set(states) == {ChargeState.SKIPPED}:
            return Release(first, Reason.CHARGE_SKIPPED)
        return Release(first, Reason.CHARGE_UNPAID)


_END_OF_ORDER = "\U0010ffff"


def _states_at(charges: list[Charge], instant: datetime) -> list[ChargeState]:
    """The state of each charge that had one at an instant."""
    bound = Order(instant, _END_OF_ORDER, _END_OF_ORDER)
    states = []
    for charge in charges:
        known = [fact.state for fact in charge.facts if fact.order <= bound]
        if known:
            states.append(known[-1])
    return states
