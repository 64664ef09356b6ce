"""Used credits whose occurrence gives nothing any more: they are flagged for the operator (SEMANTICS 7)."""

from datetime import date

from issuance.deciding.calendar import day_of
from issuance.deciding.decisions import Decision
from issuance.deciding.facts import Credit
from issuance.deciding.history import History
from issuance.deciding.occurrences import Occurrence
from issuance.deciding.reasons import Reason
from issuance.deciding.releases import release

#: The reasons that take unused credits back and leave used ones alone.
_TAKES_THE_UNUSED = (Reason.OF_ANOTHER_TYPE, Reason.USED_BEFORE_CHANGE, Reason.GUEST_REMOVED)


def was_used_for_nothing(history: History, credit: Credit, decision: Decision | None, why: Reason) -> bool:
    """Whether the occurrence of a used credit, which would not be issued now, gives nothing any more: its charge was
    taken back, or it never took place. It does not matter whether the guest left the order, or the membership the
    type."""
    if why not in _TAKES_THE_UNUSED:
        return True
    if credit.manual:
        return False
    if decision is None:  # for its guest nothing took place
        return True
    occurrence = decision.occurrence
    if occurrence.is_once and occurrence.reason is not None:
        # It may be a later billing period, of another type than the one that the credit rode on.
        return release(history, _rode_on(history, credit, occurrence), None).reason is not None
    return occurrence.release.reason is not None


def _rode_on(history: History, credit: Credit, occurrence: Occurrence) -> date:
    """The billing period that a P0D credit rode on: the first that was released when it became valid. Given late, it is
    valid from a later one on."""
    valid_from = day_of(credit.valid_from, history.facts.zone)
    ran, _ = history.calendar.period_of(None, valid_from)
    was_released = (
        day for day in occurrence.passed_over if release(history, day, None, credit.valid_from).reason is None
    )
    return next(was_released, ran)
