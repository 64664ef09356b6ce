"""What releases an occurrence: its start, its charge, the membership's status (SEMANTICS 3, 7)."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

from issuance.deciding.charges import Charge, pays
from issuance.deciding.facts import ChargeState, Status
from issuance.deciding.history import History
from issuance.deciding.reasons import Reason
from issuance.deciding.standing import ENDED


class Release(NamedTuple):
    """Whether an occurrence is released at `now`.

    `first` is the first instant at which its start, charge and status all held; it decides which rule
    version applies and never changes again. `reason` says why it is not released, or taken back; None: it is.
    """

    first: datetime | None
    reason: Reason | None


class Releases:
    """The releases of a membership's occurrences, each worked out once, whichever rules ask for it."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._known: dict[date, Release] = {}

    def on(self, day: date) -> Release:
        """Whether the occurrence that starts on `day` is released at the history's `now`."""
        known = self._known.get(day)
        if known is None:
            known = self._known[day] = release(self._history, day)
        return known


def release(history: History, day: date) -> Release:
    """Whether the occurrence that starts on `day` is released at the history's `now`."""
    start = history.start_of(day)
    is_signup = day == history.facts.starts_on
    earliest = history.signed_up_at if is_signup else max(start, history.signed_up_at)
    status_at_start = history.status_at(start)
    if status_at_start is Status.PAUSED:
        return Release(None, Reason.MEMBERSHIP_PAUSED)
    if status_at_start in ENDED:
        return Release(None, Reason.MEMBERSHIP_ENDED)
    if earliest > history.now:
        return Release(None, Reason.NOT_DUE_YET)

    charges = history.charges_on(day)
    charged = history.is_charged_automatically(day)

    def is_paid(states: Sequence[ChargeState]) -> bool:
        return charged or pays(states) or (is_signup and not states)

    told = {fact.moment.at for charge in charges for fact in charge.told}
    changes = (change for change in told.union(history.standing.instants) if earliest < change <= history.now)
    first: datetime | None = None
    released = False
    for instant in sorted({earliest, *changes}):
        if released and instant not in told:
            continue  # once released it stays owed, whatever becomes of other charges or the status
        states = _states_at(charges, instant)
        allowed = history.status_at(instant) is not Status.NEEDS_ATTENTION
        if released:
            released = is_paid(states)
        elif is_paid(states) and (allowed or (first is not None and ChargeState.SUCCEEDED in states)):
            # Success brings back what was taken back; a retry's initiation only while the status allows it.
            released = True
            first = first or instant
    if released:
        return Release(first, None)
    states = _states_at(charges, history.now)
    if is_paid(states):
        return Release(first, Reason.NEEDS_ATTENTION)
    if states and set(states) == {ChargeState.SKIPPED}:
        return Release(first, Reason.CHARGE_SKIPPED)
    return Release(first, Reason.CHARGE_UNPAID)


def _states_at(charges: list[Charge], instant: datetime) -> list[ChargeState]:
    """The state of each charge that had one at an instant."""
    return [state for charge in charges if (state := charge.state_at(instant)) is not None]
