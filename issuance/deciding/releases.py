"""What releases an occurrence: its start, its charge, the membership's status (SEMANTICS 3, 7)."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import NamedTuple

from issuance.deciding.charges import PAYING, Charge
from issuance.deciding.facts import ChargeState, ChargeTold
from issuance.deciding.frequency import Interval
from issuance.deciding.history import History
from issuance.deciding.reasons import Reason
from issuance.deciding.standing import STOPPED
from issuance.deciding.statuses import Status


class Release(NamedTuple):
    """Whether an occurrence is released at `now`.

    `first` is the first instant at which its start, charge and status all held; it decides which rule version applies
    and never changes again. `reason` says why it is not released, or was taken back; None if it is released.
    """

    first: datetime | None
    reason: Reason | None


class Releases:
    """The releases of a membership's occurrences, each worked out once, whichever rules ask for it."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._known: dict[tuple[date, Interval | None], Release] = {}

    def on(self, day: date, every: Interval | None) -> Release:
        """Whether the occurrence of a rule that starts on `day` is released at the history's `now`. `every`: the rule's
        period; None: the billing period."""
        known = self._known.get((day, every))
        if known is None:
            known = self._known[day, every] = release(self._history, day, every)
        return known


def release(history: History, day: date, every: Interval | None, now: datetime | None = None) -> Release:
    """Whether the occurrence that starts on `day` is released at an instant: the history's `now` unless said, and by
    all that is known then."""
    now = now or history.now
    start = history.start_of(day)
    is_signup = day == history.starts_on
    payments = _Payments(history, day, every)
    earliest = history.signed_up_at if is_signup else max(start, history.signed_up_at)
    status_at_start = history.standing.at(start)
    if status_at_start in STOPPED:
        paid_at = payments.first_allowed(start)
        if paid_at is None:
            return Release(None, STOPPED[status_at_start])
        earliest = max(earliest, paid_at)
    if earliest > now:
        return Release(None, Reason.NOT_DUE_YET)

    told = payments.told_at
    changes = (change for change in {*told, *history.standing.instants} if earliest < change <= now)
    first: datetime | None = None
    released = False
    for instant in sorted({earliest, *changes}):
        if released and instant not in told:
            continue  # once released it stays owed: only news of its own charges can take it back
        latest = payments.latest_at(instant)
        is_paid = payments.pay(latest, instant) or (is_signup and not latest)
        if released:
            released = is_paid
        elif not (is_paid and (is_signup or _is_billed(history, instant))):
            continue
        elif not history.standing.holds_at(instant) or (first is not None and _succeeded(latest)):
            # Success brings back what was taken back; a retry's initiation only while the status allows it.
            released = True
            first = first or instant
    if released:
        return Release(first, None)
    states = {fact.state for fact in payments.latest_at(now)}
    if not PAYING.isdisjoint(states) or (is_signup and not states):
        is_billed = is_signup or _is_billed(history, now)
        return Release(first, Reason.NEEDS_ATTENTION if is_billed else Reason.NOT_BILLED_YET)
    if states == {ChargeState.SKIPPED}:
        return Release(first, Reason.CHARGE_SKIPPED)
    return Release(first, Reason.CHARGE_UNPAID)


def _is_billed(history: History, instant: datetime) -> bool:
    """Whether a charge has covered a billing date by an instant. One beside the calendar bills nobody: until then only
    the sign-up is released."""
    return history.standing.at(instant) is not Status.UPCOMING


class _Payments:
    """The charges that can pay for an occurrence, and what was told of them."""

    def __init__(self, history: History, day: date, every: Interval | None) -> None:
        self._history, self._day, self._every = history, day, every
        self._charges = history.charges_for(every, day)
        numbers = {charge.number for charge in self._charges}
        self._outstanding = [one for one in history.standing.outstanding if one.number in numbers]

    @property
    def told_at(self) -> frozenset[datetime]:
        """When anything was told of them."""
        return frozenset(fact.moment.at for fact in _told(self._charges))

    def latest_at(self, instant: datetime) -> list[ChargeTold]:
        """The latest fact by an instant about each charge that was known then."""
        return [fact for charge in self._charges if (fact := charge.told_at(instant)) is not None]

    def pay(self, latest: Sequence[ChargeTold], instant: datetime) -> bool:
        """Whether any charge pays, by the latest facts about them at an instant."""
        return any(self._pays(fact, instant) for fact in latest)

    def first_allowed(self, start: datetime) -> datetime | None:
        """The first instant after `start`, within the period, at which a charge was initiated or succeeded while the
        membership was neither paused nor ended. Trouble takes nothing away: it only holds the credit back, also while
        another charge for the occurrence is outstanding."""
        history = self._history
        end = history.start_of(history.calendar.next_boundary(self._every, self._day))
        changes = (fact for charge in self._charges for fact in charge.changes)
        paid = (fact.moment.at for fact in changes if fact.state in PAYING)
        allowed = (at for at in paid if start < at < end and history.standing.at(at) not in STOPPED)
        return min(allowed, default=None)

    def _pays(self, fact: ChargeTold, instant: datetime) -> bool:
        """Whether a charge pays at an instant, by the latest fact about it. One that was initiated while another charge
        for the occurrence was outstanding pays only once that is settled."""
        if fact.state is not ChargeState.INITIATED:
            return fact.state is ChargeState.SUCCEEDED
        charge = next(charge for charge in self._charges if charge.number == fact.number)
        initiated = charge.told_alike_since(fact)
        return not any(
            one.since < initiated and (one.until is None or initiated < one.until) and not one.is_settled_by(instant)
            for one in self._outstanding
        )


def _told(charges: Sequence[Charge]) -> Iterator[ChargeTold]:
    return (fact for charge in charges for fact in charge.told)


def _succeeded(latest: Sequence[ChargeTold]) -> bool:
    return any(fact.state is ChargeState.SUCCEEDED for fact in latest)
