"""Settle memberships again on paper: a settled membership has nothing to issue, to take back or to change.

Those of one kind are settled once (kinds.py). Nothing is written.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from issuance import limits
from issuance.deciding.facts import Credit, Rule
from issuance.deciding.history import History
from issuance.deciding.settlement import Settlement, settle
from issuance.engine.facts import loaded
from issuance.engine.membership import Membership
from issuance.engine.rules import RuleBook
from issuance.laws import kinds
from issuance.laws.kinds import Kind, Settled
from issuance.tenancy import clock as clocks
from issuance.tenancy.clock import BrandClock


@dataclass
class Paper:
    """A settled membership, and what settling it once more at `now` would do."""

    membership: Membership
    rules: Sequence[Rule]
    now: datetime
    settlement: Settlement

    @cached_property
    def history(self) -> History:
        return self.membership.history(self.now)


#: The offenders of a law in one membership that was settled on paper.
Judge = Callable[[Paper], Iterator[dict[str, Any]]]
#: Offenders by the number of the law that they break.
Verdicts = dict[int, list[dict[str, Any]]]


def judged(connection: Connection, brand_id: UUID, judges: Mapping[int, Judge]) -> Iterator[Verdicts]:
    """What each judge finds among a brand's settled memberships, batch by batch, in one pass for all of them."""
    clock = clocks.read(connection, brand_id)
    known: dict[Kind, _Plan | None] = {}  # None: of this kind each is judged on its own
    for batch in kinds.kinds(connection, brand_id, clock):
        new = {one.kind: one for one in batch if one.kind is not None and one.kind not in known}
        kind_of = {one.membership_id: kind for kind, one in new.items()}
        for paper in _papers(connection, brand_id, clock, list(new.values()), kept=True):
            lawful = not any(True for judge in judges.values() for _ in judge(paper))
            known[kind_of[paper.membership.membership_id]] = _Plan(paper.settlement.due_at) if lawful else None
        alone = [one for one in batch if one.kind is None or _is_suspect(one, known[one.kind])]
        found: Verdicts = {number: [] for number in judges}
        for paper in _papers(connection, brand_id, clock, alone, kept=False):
            for number, judge in judges.items():
                found[number] += judge(paper)
        yield found


@dataclass(frozen=True, slots=True)
class _Plan:
    """When memberships of a lawful kind next have to be looked at, not counting when their credits expire."""

    due_at: datetime | None


def _is_suspect(one: Settled, plan: _Plan | None) -> bool:
    """Whether a membership has to be judged on its own: its kind has offenders, or it is looked at too late."""
    if plan is None or one.outlived:
        return True
    return plan.due_at is not None and (one.due_at is None or one.due_at > plan.due_at)


def _papers(
    connection: Connection, brand_id: UUID, clock: BrandClock, these: Sequence[Settled], *, kept: bool
) -> Iterator[Paper]:
    """Memberships settled on paper. `kept`: as they stand for their kind, of whose credits it is not known which
    were used and which have expired."""
    bounds = limits.current.settling
    for memberships in loaded(connection, brand_id, clock.zone, [one.membership_id for one in these]):
        rules = RuleBook(connection, brand_id, clock.zone)
        for membership in memberships:
            out = [_kept(credit, clock.now) if kept else credit for credit in membership.credits]
            of_type = rules.of(membership.facts.types)
            settlement = settle(
                History(membership.facts, out, clock.now),
                of_type,
                membership.state.settled_at,
                most_credits=bounds.credits,
                most_ever=bounds.credits_ever,
            )
            yield Paper(membership, of_type, clock.now, settlement)


def _kept(credit: Credit, now: datetime) -> Credit:
    """A credit that was used or has expired as if it were held: if nothing would be done about one that is held,
    nothing would be about it."""
    if credit.revoked_at is not None or credit.flagged_at is not None:
        return credit
    if credit.redeemed_at is not None:
        regular = credit.expired_at is None
    else:
        regular = (credit.expired_at is not None) == (credit.expires_at is not None and credit.expires_at <= now)
    return replace(credit, uses=0, redeemed_at=None, expires_at=None, expired_at=None) if regular else credit
