"""Walk a membership through the instants at which it falls due, deciding at each.

On a standing sandbox clock that is being moved, time passes: every instant on the way is decided as if
one had been there. On a live brand, and after a jump, everything is decided once, now (INTERFACE 8).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from issuance.deciding.decisions import Decision
from issuance.deciding.facts import Credit, Rule, Status, StatusFact
from issuance.deciding.reasons import Reason
from issuance.deciding.settlement import NewCredit, Settlement, settle
from issuance.engine.loading import Membership
from issuance.tenancy.clock import BrandClock

#: So few instants a settling that a batch stays small however far a clock was moved; a membership with more
#: ahead of it stays due, and the next sweep goes on from there.
MOST_INSTANTS = 6


@dataclass(slots=True)
class Walked:
    """What a walk came to: credits to insert and to change, and where the membership stands after it."""

    membership: Membership
    #: The last instant that was decided at.
    now: datetime
    #: Whether that is the clock's and nothing is left to do at it, so that all that is known has been settled.
    complete: bool = True
    status: Status = Status.UPCOMING
    ends_on: date | None = None
    due_at: datetime | None = None
    #: The credits that are out at the end, the new ones among them.
    credits: list[Credit] = field(default_factory=list)
    issued: list[tuple[Credit, NewCredit]] = field(default_factory=list)
    #: By credit: (as it was loaded, as it becomes, why it was revoked if it was).
    changed: dict[UUID, tuple[Credit, Credit, Reason | None]] = field(default_factory=dict)
    counts: Counter[Reason] = field(default_factory=Counter)
    #: The new decisions that give nothing. A walk that is like another shares its list: `guest_of` says who is meant.
    skipped: list[Decision] = field(default_factory=list)
    #: What it is known by until there is news (see `sharing`); None: it is like no other.
    shape: UUID | None = None
    guest_of: Mapping[UUID, UUID] = field(default_factory=dict)


def walk(membership: Membership, rules: Sequence[Rule], clock: BrandClock) -> Walked:
    """Settle a membership at each instant that is due, and at the clock's `now`."""
    instant = _first(membership, clock)
    walked = Walked(membership, instant, credits=list(membership.credits))
    settled_at = membership.settled_at
    for _ in range(MOST_INSTANTS):
        _apply(walked, settle(membership.facts_at(instant, walked.credits), rules, instant, settled_at))
        walked.now = settled_at = instant
        if instant == clock.now:
            break
        if walked.due_at is not None and walked.due_at <= clock.now:
            instant = walked.due_at
        elif any(fact.unsettled for fact in membership.facts):
            instant = clock.now  # for what became known meanwhile
        else:
            walked.now = clock.now  # nothing changes until then
            break
    walked.complete = walked.now == clock.now and walked.due_at != clock.now
    walked.ends_on = _ends_on(membership.facts_at(walked.now, ()).statuses)
    return walked


def _first(membership: Membership, clock: BrandClock) -> datetime:
    """The first instant to decide at: now, unless time passes and something was due on the way."""
    due_at = membership.due_at
    if not clock.stands_still or due_at is None or membership.settled_at is None or due_at > clock.now:
        return clock.now
    return due_at if clock.woke_at is None else max(due_at, clock.woke_at)


def _apply(walked: Walked, settlement: Settlement) -> None:
    """Carry a settlement into the walk."""
    walked.status, walked.due_at = settlement.status, settlement.due_at
    walked.counts += settlement.counts
    walked.skipped += settlement.skipped
    after_of: dict[UUID, Credit] = {}
    for before, after, why in settlement.change:
        after_of[before.credit_id] = after
        first, _, earlier = walked.changed.get(before.credit_id, (before, after, None))
        walked.changed[before.credit_id] = (first, after, why or earlier)
    if after_of:
        walked.credits = [after_of.get(credit.credit_id, credit) for credit in walked.credits]
        walked.issued = [(after_of.get(credit.credit_id, credit), new) for credit, new in walked.issued]
    for new in settlement.issue:
        add(walked, new)


def add(walked: Walked, new: NewCredit) -> None:
    """Issue one more credit in the course of a walk."""
    credit = credit_of(new)
    walked.issued.append((credit, new))
    walked.credits.append(credit)
    if credit.expires_at is not None:
        walked.due_at = credit.expires_at if walked.due_at is None else min(walked.due_at, credit.expires_at)


def credit_of(new: NewCredit) -> Credit:
    """A credit that is being issued, under an id of its own."""
    return Credit(
        credit_id=uuid7(),
        key=new.key,
        rule_version=new.version.version,
        period_end=new.period_end,
        roll_over=new.version.roll_over,
        multi_use=new.version.multi_use,
        valid_from=new.validities.valid_from,
        expires_at=new.validities.expires_at,
        validity_ends_at=new.validities.validity_ends_at,
        issued_at=new.issued_at,
        manual=new.manual,
    )


def _ends_on(statuses: Sequence[StatusFact]) -> date | None:
    return statuses[-1].ends_on if statuses else None
