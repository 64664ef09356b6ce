"""Replay (backfill), as a task of a run: work out every decision of a span again and issue what is missing
(SEMANTICS 10)."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import ClassVar, NamedTuple
from uuid import UUID

from issuance.deciding.decisions import decide, is_first
from issuance.deciding.facts import CreditKey, Rule
from issuance.deciding.history import History
from issuance.deciding.reasons import Reason
from issuance.deciding.reminders import Listener
from issuance.deciding.settlement import new_credit
from issuance.engine import plans
from issuance.engine.membership import Membership
from issuance.engine.outcome import Outcome
from issuance.engine.plans import Planned, Promised
from issuance.engine.tasks import Meant, PlannedTask
from issuance.tenancy.clock import BrandClock


class Span(NamedTuple):
    """Which decisions a replay works out: those of one rule or all, for memberships that are or were of one type or of
    any, about periods that start within dates, both inclusive."""

    credit_rule_id: UUID | None
    membership_type_id: UUID | None
    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Replay(PlannedTask):
    """Issue what is missing within a span; touch nothing that is there."""

    settles: ClassVar[bool] = False
    span: Span
    #: What an approved plan says, and nothing else; None: whatever is decided.
    promised: Promised | None = None

    def meant(self, membership: Membership, now: datetime) -> Meant:  # noqa: ARG002 - a plan names guests
        return Meant(promises=plans.promises(self.promised, membership))

    def begin(
        self,
        membership: Membership,
        rules: Sequence[Rule],  # noqa: ARG002 - what is there is left as it is
        clock: BrandClock,
        listeners: Collection[Listener] = (),  # noqa: ARG002
    ) -> Outcome:
        return Outcome(clock.now, credits={credit.key: credit for credit in membership.credits})

    def decided(
        self,
        membership: Membership,
        meant: Meant,
        outcome: Outcome,  # noqa: ARG002 - it begins with the membership's credits
        rules: Sequence[Rule],
        clock: BrandClock,
    ) -> Iterator[tuple[Reason, Planned | None]]:
        if self.span.membership_type_id not in (None, *membership.facts.types):
            return
        history = membership.history(clock.now)
        within = self._within(history, rules)
        if meant.promises is None:
            yield from ((planned.reason, planned) for planned in within)
            return
        by_key: dict[tuple[UUID, int | None, date], Planned] = {}
        # The sign-up and a P0D occurrence can have one key: what is issued is what was promised.
        for planned in sorted(within, key=lambda planned: planned.reason is not Reason.ISSUED):
            by_key.setdefault((planned.credit_rule_id, planned.place, planned.period_start), planned)
        places = {guest.place for guest in history.parties.now}
        for promise in meant.promises:
            otherwise = Reason.NOT_DUE_YET if promise.place in places else Reason.GUEST_REMOVED
            yield plans.kept(promise, by_key.get(promise[:3]), otherwise)

    def _within(self, history: History, rules: Sequence[Rule]) -> Iterator[Planned]:
        given: set[CreditKey] = set()
        for one in decide(history, rules, only=self.span.credit_rule_id):
            if self.span.first <= one.occurrence.period_start <= self.span.last:
                for decision in one.decisions:
                    is_issued = decision.reason is Reason.ISSUED
                    if not is_issued or is_first(decision, given):
                        new = new_credit(decision, history.now) if is_issued else None
                        yield Planned.of(decision)._replace(new=new)
