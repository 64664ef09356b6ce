"""The charges that `billing: automatic` makes, told like those of a biller (SEMANTICS 7)."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from issuance.deciding.calendar import Calendar, midnight
from issuance.deciding.facts import ChargeState, ChargeTold, Fact, Moment
from issuance.deciding.types import Types

_STATES = tuple(ChargeState)


def automatic_charges(
    told: Sequence[Fact], types: Types, calendar: Calendar, signed_up_at: datetime, now: datetime
) -> Iterator[ChargeTold]:
    """The facts of each billing period from the anchor on that began by `now` and ended after the sign-up: initiated
    and succeeded at its start, if the type of that instant is billed automatically. `told`: what had happened by `now`,
    in order. Whether the status allows a charge is for the standing to say. They are numbered -1, -2, …"""
    periods = calendar.boundaries(None)
    start = next(periods)
    number = 0
    for end in periods:
        at = calendar.begins_at(None, start)
        if at > now:
            return
        is_billed = start > calendar.starts_on or calendar.as_it_stood(at).anchor_now <= start
        if is_billed and midnight(end, calendar.zone) > signed_up_at and types.is_automatic_at(at):
            number -= 1
            for state in (ChargeState.INITIATED, ChargeState.SUCCEEDED):
                moment = Moment(at, _place(told, at, state))
                yield ChargeTold(moment, number, state, start, None, None, None)
        start = end


def _place(told: Sequence[Fact], at: datetime, state: ChargeState) -> float:
    """Its place among the facts of an instant: after all that are no charge's, and those of charges in their order."""
    rank = _STATES.index(state)
    before = [
        fact.moment.place
        for fact in told
        if fact.moment.at == at and (not isinstance(fact, ChargeTold) or _STATES.index(fact.state) <= rank)
    ]
    return max(before, default=-1) + (rank + 1) / (len(_STATES) + 1)
