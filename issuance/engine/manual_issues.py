"""Manual issue, as a run: for real, as a dry run, or as an approved plan says (SEMANTICS 9, 17)."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, text

from issuance.deciding.facts import Guest, Rule
from issuance.deciding.history import History
from issuance.deciding.manual_issue import ManualDecision, issue_by_hand
from issuance.deciding.reasons import Reason
from issuance.deciding.reminders import Listener
from issuance.engine import limits, plans
from issuance.engine.event_facts import members_among
from issuance.engine.facts import Membership, load, together
from issuance.engine.outcomes import Outcome, outcome_of
from issuance.engine.plans import Plan, Promise, Promised
from issuance.engine.rules import RuleBook
from issuance.engine.tasks import Meant, Task
from issuance.tenancy import clock as clocks
from issuance.tenancy.clock import BrandClock

_NAMES = text("SELECT external_user_id FROM members WHERE brand_id = :brand_id AND member_id = ANY(:ids)")
_OWN = text("SELECT membership_id FROM memberships WHERE brand_id = :brand_id AND member_id = ANY(:ids)")


class Members(NamedTuple):
    """The members that a run is narrowed to, by the brand's ids, and the memberships that are theirs."""

    names: frozenset[str]
    own: frozenset[UUID]

    def among(self, membership: Membership) -> frozenset[Guest]:
        """Which guests are one of them. A lead booker of whom no list says who they are is the member."""
        named = members_among(membership.named)
        is_own = membership.membership_id in self.own
        return frozenset(
            Guest(place, lead_booker)
            for place, guest_id in enumerate(membership.guest_ids)
            for lead_booker in (False, True)
            if (named[guest_id] in self.names if guest_id in named else lead_booker and is_own)
        )


def narrowed(connection: Connection, run: Row[Any]) -> Members | None:
    """The members that a run is narrowed to; None: it is for all."""
    if run.only_members is None:
        return None
    which = {"brand_id": run.brand_id, "ids": run.only_members}
    return Members(frozenset(connection.scalars(_NAMES, which)), frozenset(connection.scalars(_OWN, which)))


@dataclass(frozen=True, slots=True)
class ManualIssue(Task):
    """A run that settles memberships, and issues its rule to their guests by hand. It counts only what it decides by
    hand."""

    by_hand: ClassVar = True
    credit_rule_id: UUID
    include_upcoming: bool
    #: The members that the run is narrowed to; None: it is for all.
    members: Members | None = None
    #: What an approved plan says, and nothing else; None: whatever is decided.
    promised: Promised | None = None

    def meant(self, membership: Membership) -> Meant:
        guests = None if self.members is None else self.members.among(membership)
        promises = None if self.promised is None else plans.promises(self.promised, membership)
        return Meant(guests, promises)

    def decide(
        self,
        membership: Membership,
        meant: Meant,
        rules: Sequence[Rule],
        clock: BrandClock,
        listeners: Collection[Listener] = (),
    ) -> Outcome:
        outcome = outcome_of(membership, rules, clock, listeners)
        outcome.counts = Counter()
        decided = list(self._decided(membership, meant, outcome, rules, clock))
        if meant.promises is not None:
            kept = [_kept(promise, decided) for promise in meant.promises]
        else:
            kept = [(given.reason, given) for _, given in decided]
        for reason, given in kept:
            outcome.counts[reason] += 1
            if reason is Reason.ISSUED:
                assert given is not None, "what is issued was decided"
                assert given.new is not None, "what is issued has a credit"
                outcome.issue(given.new)
        return outcome

    def dry_run(
        self, connection: Connection, brand_id: UUID, membership_ids: Sequence[UUID]
    ) -> tuple[Counter[Reason], Plan]:
        """What the run would do, on paper. Counts by reason, and the plan."""
        clock = clocks.read(connection, brand_id, hold=True)
        rules = RuleBook(connection, brand_id, clock.zone)
        counts: Counter[Reason] = Counter()
        plan: Plan = []
        left, bounds = [str(one) for one in membership_ids], limits.current
        while left:
            size = together(connection, brand_id, left, bounds.loaded, bounds.loaded_credits)
            some, left = left[:size], left[size:]
            for member in load(connection, brand_id, clock.zone, some):
                of_types = rules.of(member.facts.types)
                outcome = outcome_of(member, of_types, clock)
                for rule, given in self._decided(member, self.meant(member), outcome, of_types, clock):
                    counts[given.reason] += 1
                    period, place = (given.period_start, given.period_end), given.place
                    version = rule.latest.version
                    plan.append(plans.row(member, rule.credit_rule_id, version, place, period, given.reason))
        return counts, plan

    def _decided(
        self, membership: Membership, meant: Meant, outcome: Outcome, rules: Sequence[Rule], clock: BrandClock
    ) -> Iterator[tuple[Rule, ManualDecision]]:
        history = History(membership.facts, list(outcome.credits.values()), clock.now)
        guests = {guest.place: guest for guest in history.parties.now}
        for rule in rules:
            # The run is only for memberships of the rule's present type, not for those of a type that it has left.
            if rule.credit_rule_id == self.credit_rule_id and rule.latest.membership_type_id == history.types.now:
                for given in issue_by_hand(history, rule, include_upcoming=self.include_upcoming):
                    if meant.guests is None or guests[given.place] in meant.guests:
                        yield rule, given


def _kept(promise: Promise, decided: Sequence[tuple[Rule, ManualDecision]]) -> tuple[Reason, ManualDecision | None]:
    """What becomes now of a guest who is promised a credit, and the reason it is counted under."""
    for rule, given in decided:
        if given.place == promise.place:
            if given.reason is Reason.ISSUED:
                return (plans.kept(promise, rule.latest.version, given.period_start) or Reason.ISSUED), given
            return given.reason, given
    places = {given.place for _, given in decided}
    return (plans.gone(promise, places) if decided else Reason.OF_ANOTHER_TYPE), None
