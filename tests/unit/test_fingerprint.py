"""Memberships of one fingerprint have one outcome and one future (docs/decisions 27)."""

from collections.abc import Hashable
from copy import deepcopy
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any, NamedTuple, cast, get_args
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from issuance.deciding.facts import (
    BillingDateMoved,
    ChargeState,
    ChargeTold,
    Credit,
    CreditKey,
    Fact,
    Guest,
    GuestsChanged,
    MembershipFacts,
    Moment,
    Rule,
    SignedUp,
    StartMoved,
    StatusChanged,
    TypeChanged,
)
from issuance.deciding.frequency import BillingFrequency
from issuance.deciding.statuses import Status
from issuance.engine.fingerprint import Fingerprints
from issuance.engine.fingerprint_fields import FIELDS, Tell
from issuance.engine.manual_issues import ManualIssue, Members
from issuance.engine.membership import Listed, Membership
from issuance.engine.outcome import Outcome
from issuance.engine.outcomes import outcome_of
from issuance.engine.replays import Replay, Span
from issuance.engine.rules import RuleBook
from issuance.engine.states import State
from issuance.engine.tasks import SETTLE, Task
from tests.unit.club import Life, clock_at
from tests.unit.lives import lives, nows, others

laws = settings(max_examples=60, deadline=None, phases=[Phase.generate])


def fingerprints(life: Life, now: object, *, stands_still: bool = True) -> Fingerprints:
    """Taken at an instant, with the rules that are saved by then."""
    clock = replace(clock_at(now, life.zone), stands_still=stands_still)  # type: ignore[arg-type]
    return Fingerprints(cast(RuleBook, Book(life.rules_at(now))), clock)  # type: ignore[arg-type]


class Book(NamedTuple):
    """A rule book of one brand's rules, which are for all types."""

    rules: list[Rule]

    def of(self, types: object) -> list[Rule]:  # noqa: ARG002 - as a rule book's
        return self.rules


def said(outcome: Outcome) -> tuple[object, ...]:
    """All that an outcome says."""
    return (
        outcome.now,
        outcome.complete,
        outcome.listed,
        outcome.due_at,
        outcome.counts,
        outcome.issued,
        outcome.credits,
        outcome.changed,
        outcome.revoked_because,
        [(decision.key, decision.version, decision.reason) for decision in outcome.skipped],
    )


def happens(outcome: Outcome) -> tuple[object, ...]:
    """What an outcome that is for all of a fingerprint says: what is issued, what expires of those who have it."""
    new = {key: outcome.credits[key] for key in outcome.issued}
    expired = sorted(outcome.expired) if outcome.only_issues_and_expires else None
    return outcome.now, outcome.listed, outcome.due_at, outcome.counts, new, expired


def test_every_field_of_the_facts_has_its_place_in_the_fingerprint() -> None:
    """Whoever adds a fact, or a field of one, has to say how memberships are compared by it."""
    kinds: set[type] = {MembershipFacts, Credit, *get_args(Fact)}
    assert {kind: set(told) for kind, told in FIELDS.items()} == {
        kind: {field.name for field in fields(kind)} for kind in kinds
    }


SIGN_UP = SignedUp(Moment(datetime(2031, 1, 1, tzinfo=UTC), 0), (Guest(0, True),))
LATER = Moment(datetime(2031, 2, 1, tzinfo=UTC), 1)
FACTS: dict[type, Fact] = {
    SignedUp: SIGN_UP,
    StatusChanged: StatusChanged(LATER, Status.PAUSED, None),
    BillingDateMoved: BillingDateMoved(LATER, date(2031, 2, 3), None),
    StartMoved: StartMoved(LATER, date(2031, 2, 3), date(2031, 2, 3)),
    TypeChanged: TypeChanged(LATER, UUID(int=3), automatic=False, switches=False),
    GuestsChanged: GuestsChanged(LATER, (Guest(0, True),)),
    ChargeTold: ChargeTold(LATER, 0, ChargeState.SUCCEEDED, date(2031, 2, 1), None, None, None),
}
CREDIT = Credit(
    CreditKey(UUID(int=2), 0, date(2031, 1, 1), 0), 1, None, True, False, LATER.at, None, None, LATER.at, manual=False
)


def taken(kind: type, name: str | None = None) -> Hashable | None:
    """The fingerprint of a membership that has a fact of a kind and a credit, with another value in one field."""
    how = FIELDS[kind].get(name or "")
    zone, now = ZoneInfo("UTC"), datetime(2031, 12, 1, tzinfo=UTC)
    instant = datetime(2031, 6, 5, tzinfo=UTC)
    values: dict[str | None, object] = {Tell.LIKE_NO_OTHER: (instant,), Tell.BY_FACTS: "facts", Tell.INSTANT: instant}
    nested = {"moment": Moment(instant, 1), "key": CREDIT.key._replace(reissue=1), "expires_at": instant}
    value = nested.get(name or "", values.get(how, "another"))
    other: Any = {} if name is None else {name: value}
    fact = FACTS.get(kind, SIGN_UP)
    if kind in FACTS:
        fact = replace(fact, **other)
    told = (fact,) if kind is SignedUp else (SIGN_UP, fact)
    monthly = BillingFrequency.parse("P1M")
    start = date(2031, 1, 1)
    facts = MembershipFacts(UUID(int=1), zone, False, start, start, monthly, told)
    if kind is MembershipFacts:
        facts = replace(facts, **(other if name != "told" else {"told": (SIGN_UP, FACTS[GuestsChanged])}))
    credit = replace(CREDIT, **other) if kind is Credit else CREDIT
    prints = Fingerprints(cast(RuleBook, Book([])), replace(clock_at(now, zone), stands_still=True))
    if kind is not TypeChanged:
        return prints.settled(facts, [credit], now)
    listed = Listed("active", None, facts.membership_type_id, start, start, "P1M")
    return prints.whole(Membership(UUID(int=1), facts, State(now, None, None), listed, credits=[credit]))


ENTERS = [
    (kind, name) for kind, told in FIELDS.items() for name, how in told.items() if how not in (Tell.SAME, Tell.FOLLOWS)
]


@pytest.mark.parametrize(("kind", "name"), ENTERS, ids=lambda one: one if isinstance(one, str) else one.__name__)
def test_each_field_enters_the_fingerprint_as_the_table_says(kind: type, name: str) -> None:
    """Another value makes another fingerprint; where a field makes a membership like no other, there is none."""
    as_it_is, with_another = taken(kind), taken(kind, name)
    assert as_it_is is not None
    if FIELDS[kind][name] in (Tell.LIKE_NO_OTHER, Tell.BY_FACTS):
        assert with_another is None
    else:
        assert with_another not in (None, as_it_is)


def test_gifts_that_ended_on_different_days_are_told_apart() -> None:
    """Which charges came before that is asked of a P0D credit: by another validity that is another day."""

    def of(expires_at: datetime, period_end: date | None = None) -> UUID | None:
        start, zone = date(2031, 1, 1), ZoneInfo("UTC")
        facts = MembershipFacts(UUID(int=1), zone, False, start, start, BillingFrequency.parse("P1M"), (SIGN_UP,))
        over = replace(CREDIT, expires_at=expires_at, expired_at=expires_at, period_end=period_end)
        return fingerprints(Life(), expires_at + timedelta(days=90)).settled(facts, [over], expires_at)

    first, another = datetime(2031, 2, 11, 10, tzinfo=UTC), datetime(2031, 2, 21, 10, tzinfo=UTC)
    assert len({of(first), of(first + timedelta(minutes=1)), of(another)}) == 2
    assert of(first, date(2031, 2, 21)) == of(another, date(2031, 2, 21))


@st.composite
def clubs(draw: st.DrawFn) -> list[Life]:
    """A few memberships that were told the same at nearly the same time, and now and then one that knows more."""
    life = draw(lives(facts=draw(st.sampled_from([0, 3, 6]))))
    minutes = st.lists(st.sampled_from([0, 0, 0, 1, 30, 90]), min_size=3, max_size=3)
    club = [life, *(others(life, number, draw(minutes)) for number in range(2, 5))]
    if draw(st.booleans()):
        odd = draw(st.sampled_from(club))
        assert odd.signed_up_at is not None
        odd.status(odd.signed_up_at + timedelta(days=40), draw(st.sampled_from(["active", "paused", "cancelled"])))
    return club


@laws
@given(clubs(), st.data())
def test_who_is_alike_in_full_has_the_same_outcome(club: list[Life], data: st.DataObject) -> None:
    """Whatever deciding a membership by itself comes to, deciding one that is like it in full comes to, over one
    settling after the other."""
    life = club[0]
    for now in sorted(data.draw(st.lists(nows(life), min_size=1, max_size=4))):
        rules, clock, prints = life.rules_at(now), clock_at(now, life.zone), fingerprints(life, now)
        known: dict[object, tuple[object, ...]] = {}
        for each in club:
            outcome = outcome_of(deepcopy(each.membership), rules, clock)
            whole = prints.whole(each.membership)
            if whole is not None:
                assert known.setdefault(whole, said(outcome)) == said(outcome)
            each.take(outcome)


@laws
@given(clubs(), st.data())
def test_those_of_one_fingerprint_have_one_future(club: list[Life], data: st.DataObject) -> None:
    """Left with one fingerprint at one time, memberships come to the same when they are next settled, and have one
    fingerprint again, whatever rules were saved meanwhile."""
    life = club[0]
    first, then = sorted(data.draw(st.lists(nows(life), min_size=2, max_size=2)))
    left_with: dict[object, list[Life]] = {}
    for each in club:
        each.settle(first)
        left = fingerprints(life, first).settled(each.membership.facts, each.credits, first)
        if left is not None:
            left_with.setdefault((left, each.due_at, each.settled_at), []).append(each)
    prints = fingerprints(life, then, stands_still=data.draw(st.booleans()))
    rules = life.rules_at(then)
    for alike in left_with.values():
        futures = set()
        for each in alike:
            outcome = outcome_of(each.membership, rules, prints.clock)
            after = prints.settled(each.membership.facts, list(outcome.credits.values()), outcome.now)
            futures.add((repr(happens(outcome)), after))
        assert len(futures) == 1


class Hidden:
    """Ids that nobody may ask for."""

    def _asked(self, *_: object) -> Any:
        raise AssertionError("ids are not for decisions")

    __contains__ = __getattr__ = __getitem__ = __iter__ = __len__ = _asked


def nameless(membership: Membership) -> Membership:
    """A membership without its ids."""
    hidden: Any = Hidden()
    events: Any = [SimpleNamespace(is_news=event.is_news, time=event.time) for event in membership.events]
    ids = {"guest_ids": hidden, "charge_ids": hidden, "credit_ids": hidden, "places": hidden, "named": hidden}
    return replace(membership, membership_id=hidden, events=events, **ids)


def tasks(life: Life) -> list[Task]:
    """Each kind of task, as it is for a membership; narrowed, and as a plan says."""
    membership, rule_id = life.membership, life.rules[0].credit_rule_id
    row: Any = SimpleNamespace(rule_id=rule_id, guest_id=life.everybody[0], period_start=life.starts_on, version=1)
    promised = {membership.membership_id: [row]}
    own = Members(frozenset(), frozenset({membership.membership_id}))
    return [
        SETTLE,
        *(ManualIssue(rule_id, True, *which) for which in ((None, None), (own, None), (None, promised))),
        *(Replay(Span(None, None, date.min, date.max), which) for which in (None, promised)),
    ]


def kinds(task: type) -> set[str]:
    """The names of all kinds of a task that there are."""
    below: list[type] = task.__subclasses__()
    return {name for kind in below for name in kinds(kind)} or {task.__name__}


@laws
@given(lives(facts=5), st.data())
def test_a_task_decides_by_no_ids(life: Life, data: st.DataObject) -> None:
    """What it knows by ids it says before it decides: so those of equal facts share an outcome only if the same is
    meant for each."""
    assert {type(task).__name__ for task in tasks(life)} == kinds(Task) | {Task.__name__}, "each kind of task is tried"
    now = data.draw(nows(life))
    membership, rules, clock = life.membership, life.rules_at(now), clock_at(now, life.zone)
    for task in tasks(life):
        meant = task.meant(membership, now)
        hash(meant)
        by_ids = task.decide(deepcopy(membership), meant, rules, clock)
        assert said(task.decide(nameless(membership), meant, rules, clock)) == said(by_ids)
