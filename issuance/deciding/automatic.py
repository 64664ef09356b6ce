"""Charges that no biller tells of: those that `billing: automatic` makes (SEMANTICS 7), and those that a forecast
counts on (SEMANTICS 14, law 12). They become facts as a biller's do."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from functools import cached_property

from issuance.deciding.calendar import Calendar, day_of, midnight
from issuance.deciding.charges import Charge, charges_of
from issuance.deciding.facts import ChargeState, ChargeTold, Fact, Moment
from issuance.deciding.types import Types

_STATES = tuple(ChargeState)


class Counting:
    """The charges that a forecast counts on: from the day of `made_at` on, one on the first day of each billing period
    for which no charge is known. `known`: every fact, future ones included."""

    def __init__(self, made_at: datetime, known: Sequence[Fact]) -> None:
        self._made_at = made_at
        self._told = [fact for fact in known if isinstance(fact, ChargeTold)]

    def at(self, start: date, begins_at: datetime, calendar: Calendar) -> datetime | None:
        """When the charge of a billing period comes, or None if the forecast does not count on it."""
        if start < day_of(self._made_at, calendar.zone):
            return None
        at = max(begins_at, self._made_at)
        charges = self._charges(calendar.as_it_stood(at))
        return None if any(charge.covers.pays_for(None, start) for charge in charges) else at

    def _charges(self, calendar: Calendar) -> list[Charge]:
        if calendar not in self._known:
            self._known[calendar] = charges_of(self._told, calendar)
        return self._known[calendar]

    @cached_property
    def _known(self) -> dict[Calendar, list[Charge]]:
        return {}


def automatic_charges(
    told: Sequence[Fact],
    types: Types,
    calendar: Calendar,
    signed_up_at: datetime,
    now: datetime,
    counted_on: Counting | None = None,
    since: date | None = None,
) -> Iterator[ChargeTold]:
    """Two facts, initiated and succeeded, for each billing period from the anchor on that began by `now` and ended
    after the sign-up. They happen at its start if the type of that instant is billed automatically, otherwise when the
    forecast counts on the charge. `told`: what had happened by `now`, in order. `since`: periods that ended by this
    date are skipped. The charges are numbered -1, -2, …; the standing drops those that the status forbids."""
    periods = calendar.boundaries(None)
    start = next(periods)
    number = 0
    for end in periods:
        if since is not None and end <= since:
            start = end
            continue
        at = calendar.begins_at(None, start)
        if at > now:
            return
        is_billed = start > calendar.starts_on or calendar.as_it_stood(at).anchor_now <= start
        if is_billed and midnight(end, calendar.zone) > signed_up_at:
            charged_at: datetime | None = None
            if types.is_automatic_at(at):
                charged_at = at
            elif counted_on is not None:
                charged_at = counted_on.at(start, at, calendar)
            if charged_at is not None:
                number -= 1
                for state in (ChargeState.INITIATED, ChargeState.SUCCEEDED):
                    moment = Moment(charged_at, _place(told, charged_at, state))
                    yield ChargeTold(moment, number, state, start, None, None, None)
        start = end


def _place(told: Sequence[Fact], at: datetime, state: ChargeState) -> float:
    """Where a fact sorts among those of one instant: after all that are no charge's, and among those of charges by
    state."""
    rank = _STATES.index(state)
    before = [
        fact.moment.place
        for fact in told
        if fact.moment.at == at and (not isinstance(fact, ChargeTold) or _STATES.index(fact.state) <= rank)
    ]
    return max(before, default=-1) + (rank + 1) / (len(_STATES) + 1)
