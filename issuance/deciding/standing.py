"""A membership's status at any instant, by its status facts and charge facts (SEMANTICS 7)."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from issuance.deciding.calendar import midnight
from issuance.deciding.charges import PAYING, TROUBLE, Charge
from issuance.deciding.facts import ChargeState, ChargeTold, Moment, StatusChanged
from issuance.deciding.reasons import Reason
from issuance.deciding.statuses import ENDED, Status

#: The statuses in which an occurrence that begins gives nothing, now or later, and why.
STOPPED = {Status.PAUSED: Reason.MEMBERSHIP_PAUSED, **dict.fromkeys(ENDED, Reason.MEMBERSHIP_ENDED)}


class Outstanding(NamedTuple):
    """How long a charge, by its number, was failed or disputed and not settled. `until` is None if it still is."""

    number: int
    since: Moment
    until: Moment | None

    def is_settled_by(self, instant: datetime) -> bool:
        """Whether it was settled up to an instant."""
        return self.until is not None and self.until.at <= instant


@dataclass(frozen=True, slots=True)
class Standing:
    """The status from each instant on; before the first it is `upcoming`. `billing` counts as active here."""

    instants: tuple[datetime, ...] = ()
    statuses: tuple[Status, ...] = ()
    #: Whether what is paid is held: since the membership needed attention, until it is active again.
    holding: tuple[bool, ...] = ()
    outstanding: tuple[Outstanding, ...] = ()
    #: The automatic charges, by number, that were not made because the membership was paused or ended at their start.
    not_charged: frozenset[int] = frozenset()
    #: The first day on which it is ended, where an end was told with a date and was not taken back.
    ends_on: date | None = None

    def at(self, instant: datetime) -> Status:
        """The status at an instant (UTC)."""
        changes = bisect_right(self.instants, instant)
        return self.statuses[changes - 1] if changes else Status.UPCOMING

    def holds_at(self, instant: datetime) -> bool:
        """Whether what is paid is held at an instant (UTC)."""
        changes = bisect_right(self.instants, instant)
        return changes > 0 and self.holding[changes - 1]

    def next_change(self, instant: datetime) -> datetime | None:
        """The first known change after an instant: an announced end."""
        changes = bisect_right(self.instants, instant)
        return self.instants[changes] if changes < len(self.instants) else None


#: Active from the beginning, and nothing outstanding.
ALWAYS_ACTIVE = Standing((datetime.min.replace(tzinfo=UTC),), (Status.ACTIVE,), (False,))


def standing_of(changes: Iterable[StatusChanged], charges: Sequence[Charge], zone: ZoneInfo) -> Standing:
    """The membership's standing over time, by its facts. Charges beside the calendar have no part in it."""
    counting = {charge.number: charge for charge in charges if charge.covers.has_boundary}
    facts: list[StatusChanged | ChargeTold] = [*changes]
    facts += [fact for charge in counting.values() for fact in charge.told]
    telling = _State(counting, zone)
    for fact in sorted(facts, key=lambda fact: fact.moment):
        telling.end_if_due(fact.moment.at)
        telling.tell(fact)
    telling.end_if_due(None)
    return telling.standing()


class _End(NamedTuple):
    """An end that was told with a date: the date, the instant from which it counts, and how the membership ends."""

    on: date
    at: datetime
    status: Status


@dataclass(slots=True)
class _State:
    """The status by the facts up to one of them."""

    charges: dict[int, Charge]
    zone: ZoneInfo
    #: A charge was taken, or a status was told.
    begun: bool = False
    #: Paused or ended.
    stands: Status | None = None
    #: Whether it was paused when it ended.
    ended_paused: bool = False
    needs_attention_told: bool = False
    outstanding: dict[int, Moment] = field(default_factory=dict)
    succeeded: set[int] = field(default_factory=set)
    announced: _End | None = None
    ended_on: date | None = None
    holding: bool = False
    seen: list[tuple[datetime, Status, bool]] = field(default_factory=list)
    settled: list[Outstanding] = field(default_factory=list)
    not_charged: set[int] = field(default_factory=set)

    def tell(self, fact: StatusChanged | ChargeTold) -> None:
        """Take one more fact into account."""
        if isinstance(fact, StatusChanged):
            self._status(fact)
        else:
            self._charge(fact)
        self.end_if_due(fact.moment.at)  # an end that is told after its date takes effect at once
        self._note(fact.moment.at)

    def end_if_due(self, instant: datetime | None) -> None:
        """Let an announced end come if it is due by an instant; with None, whenever it is due."""
        if self.announced is not None and (instant is None or self.announced.at <= instant):
            self._end(self.announced.status, self.announced.on)
            at, self.announced = self.announced.at, None
            self._note(at)

    def standing(self) -> Standing:
        """The standing that all of it comes to."""
        still = [Outstanding(number, since, None) for number, since in self.outstanding.items()]
        instants, statuses, holding = zip(*self.seen, strict=True) if self.seen else ((), (), ())
        not_charged = frozenset(self.not_charged)
        return Standing(instants, statuses, holding, (*self.settled, *still), not_charged, self.ended_on)

    @property
    def _trouble(self) -> bool:
        return self.needs_attention_told or bool(self.outstanding)

    def _note(self, instant: datetime) -> None:
        status = self.stands or (Status.NEEDS_ATTENTION if self._trouble else None)
        status = status or (Status.ACTIVE if self.begun else Status.UPCOMING)
        # A pause or an end releases nothing that was held.
        if self.stands is None:
            self.holding = status is Status.NEEDS_ATTENTION
        if not self.seen or self.seen[-1][1:] != (status, self.holding):
            self.seen.append((instant, status, self.holding))

    def _status(self, fact: StatusChanged) -> None:
        self.begun = self.begun or fact.status not in ENDED
        if fact.status is Status.ACTIVE:
            if self.stands is None and not self._trouble:
                self.announced = None
            self._settle(list(self.outstanding), fact.moment)
            self.stands, self.ended_on, self.needs_attention_told = None, None, False
        elif fact.status is Status.NEEDS_ATTENTION:
            self.stands, self.ended_on, self.needs_attention_told = None, None, True
        elif fact.status is Status.PAUSED:
            self.stands, self.ended_on = fact.status, None
        elif fact.ends_on is None:
            self._end(fact.status, None)
            self.announced = None
        elif self.stands in ENDED and midnight(fact.ends_on, self.zone) > fact.moment.at:
            # Until that date it goes on as it was.
            self.stands, self.ended_on = (Status.PAUSED if self.ended_paused else None), None
        if fact.ends_on is not None:
            at = max(midnight(fact.ends_on, self.zone), fact.moment.at)
            ends = fact.status if fact.status in ENDED else Status.CANCELLED
            self.announced = _End(fact.ends_on, at, ends)
        elif fact.takes_end_back:
            self.announced = None

    def _end(self, status: Status, on: date | None) -> None:
        if self.stands not in ENDED:
            self.ended_paused = self.stands is Status.PAUSED
        self.stands, self.ended_on = status, on

    def _charge(self, fact: ChargeTold) -> None:
        charge = self.charges[fact.number]
        if charge.automatic and fact.state is ChargeState.INITIATED and self.stands is not None:
            self.not_charged.add(fact.number)
        if fact.number in self.not_charged:
            return
        self.begun = self.begun or fact.state in PAYING
        if fact.state in TROUBLE:
            self.succeeded.discard(fact.number)
            if not any(self.charges[other].is_for_period_of(charge) for other in self.succeeded):
                self.outstanding.setdefault(fact.number, fact.moment)
            return
        if fact.state is ChargeState.INITIATED:
            return
        settled = [fact.number]
        if fact.state is ChargeState.SUCCEEDED:
            self.succeeded.add(fact.number)
            settled += [other for other in self.outstanding if charge.is_for_period_of(self.charges[other])]
        else:
            self.succeeded.discard(fact.number)
        if self._settle(settled, fact.moment) and not self.outstanding:
            self.needs_attention_told = False

    def _settle(self, numbers: list[int], moment: Moment) -> bool:
        """Whether any of these charges was outstanding until this moment."""
        found = [number for number in numbers if number in self.outstanding]
        self.settled += [Outstanding(number, self.outstanding.pop(number), moment) for number in found]
        return bool(found)
