"""Manual issue, as a run: for real, as a dry run, or as an approved plan says (SEMANTICS 9, 17)."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, text

from issuance.deciding.facts import Rule
from issuance.deciding.history import History
from issuance.deciding.manual_issue import ManualDecision, issue_by_hand
from issuance.deciding.reasons import Reason
from issuance.engine import limits, pipeline, plans
from issuance.engine.event_facts import members_among
from issuance.engine.facts import Membership, load, together
from issuance.engine.outcomes import Outcome, outcome_of
from issuance.engine.plans import Plan, Promise, Promises
from issuance.engine.rules import RuleBook
from issuance.tenancy import clock as clocks
from issuance.tenancy.clock import BrandClock

_NAMES = text("SELECT external_user_id FROM members WHERE brand_id = :brand_id AND member_id = ANY(:ids)")
_OWN = text("SELECT membership_id FROM memberships WHERE brand_id = :brand_id AND member_id = ANY(:ids)")


def issue(
    connection: Connection,
    run: Row[Any],
    membership_ids: Sequence[UUID],
    *,
    attempt_counted: bool,
    promises: Promises | None = None,
) -> Counter[Reason]:
    """Settle memberships, and issue the run's rule to their guests by hand. Counts by reason. `promises`: nothing but
    what an approved plan says."""
    by_hand = partial(_issue, run, promises, _narrowed(connection, run))
    return pipeline.settle_and(
        connection, run.brand_id, membership_ids, run.run_id, by_hand, attempt_counted=attempt_counted
    )


def dry_run(connection: Connection, run: Row[Any], membership_ids: Sequence[UUID]) -> tuple[Counter[Reason], Plan]:
    """What `issue` would do, on paper. Counts by reason, and the plan."""
    clock = clocks.read(connection, run.brand_id, hold=True)
    rules = RuleBook(connection, run.brand_id, clock.zone)
    narrowed = _narrowed(connection, run)
    counts: Counter[Reason] = Counter()
    plan: Plan = []
    left, bounds = [str(one) for one in membership_ids], limits.current
    while left:
        size = together(connection, run.brand_id, left, bounds.loaded, bounds.loaded_credits)
        some, left = left[:size], left[size:]
        for member in load(connection, run.brand_id, clock.zone, some):
            of_types = rules.of(member.facts.types)
            for rule, given in _by_hand(run, narrowed, member, outcome_of(member, of_types, clock), of_types, clock):
                counts[given.reason] += 1
                period, place = (given.period_start, given.period_end), given.place
                version = rule.latest.version
                plan.append(plans.row(member, rule.credit_rule_id, version, place, period, given.reason))
    return counts, plan


class _Members(NamedTuple):
    """The members that a run is narrowed to, by the brand's ids, and the memberships that are theirs."""

    names: frozenset[str]
    own: frozenset[UUID]

    def includes(self, member: Membership, place: int, *, lead_booker: bool) -> bool:
        """Whether a guest is one of them. A lead booker of whom no list says who they are is the member."""
        named = members_among(member.named).get(member.guest_ids[place])
        return (lead_booker and member.membership_id in self.own) if named is None else named in self.names


def _narrowed(connection: Connection, run: Row[Any]) -> _Members | None:
    """To which members a run is narrowed; None: to none."""
    if run.only_members is None:
        return None
    which = {"brand_id": run.brand_id, "ids": run.only_members}
    return _Members(frozenset(connection.scalars(_NAMES, which)), frozenset(connection.scalars(_OWN, which)))


def _by_hand(
    run: Row[Any],
    narrowed: _Members | None,
    member: Membership,
    outcome: Outcome,
    rules: Sequence[Rule],
    clock: BrandClock,
) -> Iterator[tuple[Rule, ManualDecision]]:
    history = History(member.facts, list(outcome.credits.values()), clock.now)
    lead_bookers = dict(history.parties.now)
    for rule in rules:
        # The run is only for memberships of the rule's present type, not for those of a type that it has left.
        if rule.credit_rule_id == run.credit_rule_id and rule.latest.membership_type_id == history.types.now:
            for given in issue_by_hand(history, rule, include_upcoming=run.include_upcoming):
                lead_booker = lead_bookers[given.place]
                if narrowed is None or narrowed.includes(member, given.place, lead_booker=lead_booker):
                    yield rule, given


def _issue(
    run: Row[Any],
    promises: Promises | None,
    narrowed: _Members | None,
    member: Membership,
    outcome: Outcome,
    rules: Sequence[Rule],
    clock: BrandClock,
) -> Counter[Reason]:
    counts: Counter[Reason] = Counter()
    decided = list(_by_hand(run, narrowed, member, outcome, rules, clock))
    if promises is not None:
        kept = [_kept(member, promise, decided) for promise in promises.get(member.membership_id, ())]
    else:
        kept = [(given.reason, given) for _, given in decided]
    for reason, given in kept:
        counts[reason] += 1
        if reason is Reason.ISSUED:
            assert given is not None, "what is issued was decided"
            assert given.new is not None, "what is issued has a credit"
            outcome.issue(given.new)
    return counts


def _kept(
    member: Membership, promise: Promise, decided: Sequence[tuple[Rule, ManualDecision]]
) -> tuple[Reason, ManualDecision | None]:
    """What becomes now of a guest who is promised a credit, and the reason it is counted under."""
    for rule, given in decided:
        if member.guest_ids[given.place] == promise.guest_id:
            if given.reason is Reason.ISSUED:
                return (plans.kept(promise, rule.latest.version, given.period_start) or Reason.ISSUED), given
            return given.reason, given
    places = {given.place for _, given in decided}
    return (plans.gone(member, promise, places) if decided else Reason.OF_ANOTHER_TYPE), None
