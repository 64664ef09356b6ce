"""A membership's facts at an instant, with what follows from them for any of its dates."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import NamedTuple

from issuance.deciding.archivings import GuestArchiving
from issuance.deciding.automatic import Counting, automatic_charges
from issuance.deciding.calendar import Calendar, Move, day_of, midnight
from issuance.deciding.charges import Charge, charges_of
from issuance.deciding.facts import (
    BillingDateMoved,
    ChargeTold,
    Credit,
    CreditKey,
    GuestsChanged,
    Held,
    HeldState,
    MembershipFacts,
    Rule,
    StartMoved,
    StatusChanged,
    TypeChanged,
)
from issuance.deciding.frequency import BillingFrequency, Interval, IssuingFrequency
from issuance.deciding.parties import Parties
from issuance.deciding.standing import ALWAYS_ACTIVE, Standing, standing_of
from issuance.deciding.types import Types


class Ahead(NamedTuple):
    """How far a history is ahead of what is known. It counts on charges from `made_at` on, when the forecast is made;
    all credits that were owed by `decided_at` are issued."""

    made_at: datetime
    decided_at: datetime


class Horizon(NamedTuple):
    """The day from which on a membership is decided again, if it was in order when it was last settled: active, and
    with no end announced.

    What began before `day` stays as it was settled. Its facts leave out charges that cover nothing from then on, and
    its credits leave out those of earlier periods that are over (docs/decisions/0054).
    """

    day: date
    #: Whether one of the charges that are left out is initiated, and nothing was told of it since.
    in_progress: bool
    #: How many credits are left out.
    credits_before: int
    #: Whether nothing was ever told but the sign-up, parties and charges that pay.
    is_plain: bool


class History:
    """What had happened to a membership by `now` (an instant), and the credits that it has then. `ahead`: of a
    forecast, which counts on charges that are not known yet. `horizon`: what facts and credits leave out, None if
    nothing."""

    def __init__(
        self,
        facts: MembershipFacts,
        credits: Sequence[Credit],
        now: datetime,
        ahead: Ahead | None = None,
        horizon: Horizon | None = None,
    ) -> None:
        self.facts = facts
        self.horizon = horizon
        self._ahead = ahead
        self.credits = credits
        self.now = now
        happened = [fact for fact in facts.told if fact.moment.at <= now]
        self.moves = [fact for fact in happened if isinstance(fact, BillingDateMoved)]
        self.status_changes = [fact for fact in happened if isinstance(fact, StatusChanged)]
        self.parties = Parties(facts.sign_up, (fact for fact in happened if isinstance(fact, GuestsChanged)))
        self.types = Types(facts, (fact for fact in happened if isinstance(fact, TypeChanged)))
        self.signed_up_at = facts.signed_up_at
        self.starts_on, self.first_anchor = facts.starts_on, facts.billing_anchor
        #: Whether dates were ever moved, even if they were moved back since: credits that went out before then may
        #: end on other dates.
        self.dates_moved = bool(self.moves)
        for fact in happened:
            if isinstance(fact, StartMoved) and fact.moment.at < self.start_of(self.starts_on):
                self.starts_on, self.first_anchor = fact.starts_on, fact.billing_anchor
                self.dates_moved = True
        told = {facts.starts_on, *(fact.starts_on for fact in happened if isinstance(fact, StartMoved))}
        #: The other starts that were told: keys may say one of them.
        self.former_starts = told - {self.starts_on}
        self.calendar = Calendar(
            facts.zone, self.starts_on, self.first_anchor, facts.billing_frequency.interval, self._moves()
        )
        charged = [fact for fact in happened if isinstance(fact, ChargeTold)]
        counted_on = None if ahead is None else Counting(ahead.made_at, facts.told)
        if self.types.ever_automatic or counted_on is not None:
            since = None if horizon is None else horizon.day
            charged += automatic_charges(happened, self.types, self.calendar, self.signed_up_at, now, counted_on, since)
        self._told_charges = charges_of(charged, self.calendar)

    def _moves(self) -> tuple[Move, ...]:
        moves: list[Move] = []
        billing = self.facts.billing_frequency
        for move in self.moves:
            billing = move.billing_frequency or billing
            moves.append(Move(move.moment.at, move.billing_anchor, billing.interval))
        return tuple(moves)

    @cached_property
    def held(self) -> dict[CreditKey, Held]:
        """What a guard held back, by its key. What was refused by hand says nothing of what the key gives later."""
        return {held.key: held for held in self.facts.held if not (held.manual and held.state is HeldState.REFUSED)}

    @cached_property
    def standing(self) -> Standing:
        if self.horizon is not None:
            return ALWAYS_ACTIVE  # and nothing but charges that pay was told since
        return standing_of(self.status_changes, self._told_charges, self.facts.zone)

    @cached_property
    def charges(self) -> list[Charge]:
        """The charges that were made, told by a biller or automatic."""
        return [charge for charge in self._told_charges if charge.number not in self.standing.not_charged]

    @cached_property
    def _by_start(self) -> tuple[list[date], list[Charge], timedelta]:
        """The first date that each charge covers, ascending, the charges, and the longest time that one covers."""
        charges = sorted(self.charges, key=lambda charge: charge.covers.start)
        longest = max((charge.covers.end - charge.covers.start for charge in charges), default=timedelta())
        return [charge.covers.start for charge in charges], charges, longest

    @property
    def number_of_credits(self) -> int:
        """How many credits the membership has, whatever became of them."""
        return len(self.credits) + (0 if self.horizon is None else self.horizon.credits_before)

    def was_start(self, day: date, frequency: IssuingFrequency) -> bool:
        """Whether the membership was to start on a date before its start was moved, and no period of a rule begins on
        it now: keys of the rule that say it mean the sign-up, or P0D (SEMANTICS 7). `frequency`: the rule's."""
        is_once = frequency is IssuingFrequency.ONCE
        return day in self.former_starts and (is_once or not self.calendar.is_boundary(frequency.interval, day))

    def is_or_was_start(self, day: date, frequency: IssuingFrequency) -> bool:
        """Whether keys of a rule that say a date mean the membership's start, as it is or as it was."""
        return day == self.starts_on or self.was_start(day, frequency)

    def given_at(self, credit: Credit) -> datetime:
        """When a credit was issued, or would have been if no guard had held it (SEMANTICS 17)."""
        held = self.held.get(credit.key)
        if held is None or (credit.manual and not (held.manual and held.state is HeldState.APPROVED)):
            return credit.issued_at
        return held.at

    def is_settled(self, day: date) -> bool:
        """Whether what began on a date stays as it was settled."""
        return self.horizon is not None and day < self.horizon.day

    def start_of(self, day: date) -> datetime:
        """The instant at which a date begins in the brand's zone."""
        return midnight(day, self.facts.zone)

    def issued_at(self, released_at: datetime | None) -> datetime:
        """When a missing credit is issued: now, or in a forecast as soon as it is released."""
        if self._ahead is None or released_at is None:
            return self.now
        return max(self._ahead.decided_at, released_at)

    @property
    def today(self) -> date:
        """The brand's date at `now`."""
        return day_of(self.now, self.facts.zone)

    @property
    def next_fact_at(self) -> datetime | None:
        """When the next known fact happens."""
        return next((fact.moment.at for fact in self.facts.told if fact.moment.at > self.now), None)

    @property
    def billing_frequency(self) -> BillingFrequency:
        """How often the membership is billed now."""
        told = (move.billing_frequency for move in reversed(self.moves) if move.billing_frequency is not None)
        return next(told, self.facts.billing_frequency)

    @property
    def has_another_calendar(self) -> bool:
        """Whether the calendar differs from the sign-up's."""
        moved_start = (self.starts_on, self.first_anchor) != (self.facts.starts_on, self.facts.billing_anchor)
        return bool(self.moves) or moved_start

    @property
    def member_is_archived(self) -> bool:
        """Whether the member who signed up is archived."""
        return self.facts.archived_at is not None and self.facts.archived_at <= self.now

    def is_archived(self, place: int) -> bool:
        """Whether a guest gets nothing now, because they or the member who signed up are archived."""
        return self.member_is_archived or self.guest_is_archived(place)

    def guest_is_archived(self, place: int) -> bool:
        """Whether a guest is an archived member now."""
        return any(one.place == place and one.holds_at(self.now) for one in self.facts.archived_guests)

    def was_archived(self, place: int, day: date) -> bool:
        """Whether a guest, or the member who signed up, was still archived when what begins on a date began."""
        return self.guest_was_archived(place, day) is not None or (
            self.facts.returned_at is not None and self._begun_at(day) < self.facts.returned_at
        )

    def guest_was_archived(self, place: int, day: date) -> GuestArchiving | None:
        """The archiving of a guest that was over only after what begins on a date began, if there is one."""
        for one in self.facts.archived_guests:
            over_since = one.over_since(self.now) if one.place == place else None
            if over_since is not None and self._begun_at(day) < over_since:
                return one
        return None

    def _begun_at(self, day: date) -> datetime:
        """When what starts on a date began: at its midnight; on the day of joining, at the sign-up."""
        joined = day_of(self.signed_up_at, self.facts.zone)
        return max(self.start_of(day), self.signed_up_at) if day == joined else self.start_of(day)

    def pays_for_nothing(self, charge: Charge, rules: Iterable[Rule]) -> bool:
        """Whether a charge covers no billing date and no period of any rule: somebody pays, and gets nothing."""
        covers = charge.covers
        intervals = {version.frequency.interval for rule in rules for version in rule.versions}
        return not any(self.calendar.number_within(every, covers.start, covers.end) for every in {None, *intervals})

    def charges_for(self, every: Interval | None, day: date) -> list[Charge]:
        """The charges that pay, if they are paid, for the period of a rule that begins on a date."""
        starts, charges, longest = self._by_start
        near = charges[bisect_left(starts, day - longest) : bisect_right(starts, day)]
        return [charge for charge in near if charge.covers.pays_for(every, day)]

    def period_start_instant(self, day: date) -> datetime | None:
        """From when on an occurrence's guests must have been on the order: its start; None for the sign-up, which names
        the first guests."""
        return None if day == self.starts_on else self.start_of(day)
