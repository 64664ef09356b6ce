"""Used credits whose occurrence gives nothing any more: they are flagged for the operator (SEMANTICS 7)."""

from issuance.deciding.calendar import day_of
from issuance.deciding.decisions import Decision
from issuance.deciding.facts import Credit
from issuance.deciding.history import History
from issuance.deciding.reasons import Reason

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
    if occurrence.reason is not None and occurrence.passed_over:
        # It is a later billing period that is of another type than the one that the P0D credit rode on.
        valid_from = day_of(credit.valid_from, history.facts.zone)
        rode_on, _ = history.calendar.period_of(occurrence.frequency.interval, valid_from)
        return rode_on in occurrence.passed_over
    return occurrence.release.reason is not None
