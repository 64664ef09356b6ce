"""A membership's facts at an instant, with what follows from them for any of its dates."""

from collections.abc import Sequence
from datetime import date, datetime
from functools import cached_property

from issuance.deciding.calendar import Calendar, day_of, midnight
from issuance.deciding.charges import Charge, charges_of
from issuance.deciding.facts import (
    BillingDateMoved,
    ChargeTold,
    Credit,
    GuestsChanged,
    MembershipFacts,
    Status,
    StatusChanged,
)
from issuance.deciding.parties import Parties
from issuance.deciding.standing import ENDED, Standing, standing_of


class History:
    """What had happened to a membership by `now` (an instant), with the credits that are out then."""

    def __init__(self, facts: MembershipFacts, credits: Sequence[Credit], now: datetime) -> None:  # noqa: A002 - the word is the domain's
        self.facts = facts
        self.credits = credits
        self.now = now
        happened = [fact for fact in facts.told if fact.moment.at <= now]
        self.moves = [fact for fact in happened if isinstance(fact, BillingDateMoved)]
        self.status_changes = [fact for fact in happened if isinstance(fact, StatusChanged)]
        self.charges = charges_of(fact for fact in happened if isinstance(fact, ChargeTold))
        self.parties = Parties(facts.sign_up, (fact for fact in happened if isinstance(fact, GuestsChanged)))
        self.signed_up_at = facts.signed_up_at
        self.billing_months = facts.billing_frequency.months
        moves = tuple((move.moment.at, move.billing_anchor) for move in self.moves)
        self.calendar = Calendar(facts.zone, facts.starts_on, facts.billing_anchor, moves)

    @cached_property
    def standing(self) -> Standing:
        return standing_of(self.status_changes, self.charges, self.facts.zone)

    def start_of(self, day: date) -> datetime:
        """The instant at which a date begins in the brand's zone."""
        return midnight(day, self.facts.zone)

    @property
    def today(self) -> date:
        """The brand's date at `now`."""
        return day_of(self.now, self.facts.zone)

    @property
    def next_fact_at(self) -> datetime | None:
        """When the next fact happens that is known already."""
        return next((fact.moment.at for fact in self.facts.told if fact.moment.at > self.now), None)

    @property
    def billing_anchor(self) -> date:
        """The anchor as last moved."""
        return self.moves[-1].billing_anchor if self.moves else self.facts.billing_anchor

    @property
    def ends_on(self) -> date | None:
        """The end that the latest status fact announces."""
        return self.status_changes[-1].ends_on if self.status_changes else None

    @property
    def member_is_archived(self) -> bool:
        """Whether the member who signed up is archived."""
        return self.facts.archived_at is not None and self.facts.archived_at <= self.now

    def is_archived(self, place: int) -> bool:
        """Whether a guest gets nothing more, because they or the member who signed up are archived."""
        return self.member_is_archived or any(
            archived == place and at <= self.now for archived, at in self.facts.archived_guests
        )

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
        """The first date of the billing calendar: the start, unless the anchor, as last moved before it, is later."""
        start = self.start_of(self.facts.starts_on)
        anchors = [self.facts.billing_anchor, *(move.billing_anchor for move in self.moves if move.moment.at < start)]
        if anchors[-1] <= self.facts.starts_on:
            return self.facts.starts_on
        return self.calendar.next_boundary(self.billing_months, self.facts.starts_on)

    @cached_property
    def first_automatic_charge(self) -> datetime:
        """When `billing: automatic` first charges: the first period from the anchor on that ends after the sign-up."""
        day = self.first_billed
        while self.start_of(self.calendar.next_boundary(self.billing_months, day)) <= self.signed_up_at:
            day = self.calendar.next_boundary(self.billing_months, day)
        return self.start_of(day)

    def is_charged_automatically(self, day: date) -> bool:
        """Whether `billing: automatic` charges the billing period that `day` lies in."""
        if not self.facts.automatic or day < self.first_billed:
            return False
        start, end = self.calendar.period_of(self.billing_months, day)
        if self.start_of(end) <= self.signed_up_at:
            return False
        status = self.standing.at(self.start_of(start))
        return status is not Status.PAUSED and status not in ENDED

    def end_of(self, charge: Charge) -> date:
        """The first date that a charge no longer covers."""
        return charge.period_end or self.calendar.next_boundary(self.billing_months, charge.period_start)

    @cached_property
    def _ends(self) -> list[tuple[Charge, date]]:
        return [(charge, self.end_of(charge)) for charge in self.charges]

    def charges_on(self, day: date) -> list[Charge]:
        """The charges that cover a date."""
        return [charge for charge, end in self._ends if charge.period_start <= day < end]

    def period_start_instant(self, day: date) -> datetime | None:
        """From when on an occurrence's guests must have been on the order: its start; None for the sign-up, which names
        the first guests."""
        return None if day == self.facts.starts_on else self.start_of(day)
