"""Memberships of one fingerprint have one outcome and one future (docs/decisions 27)."""

from copy import deepcopy
from dataclasses import fields, replace
from datetime import timedelta
from typing import cast, get_args

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from issuance.deciding.facts import Credit, Fact, MembershipFacts
from issuance.engine.fingerprint import FIELDS, Fingerprints
from issuance.engine.outcomes import Outcome, outcome_of
from issuance.engine.rules import RuleBook
from tests.unit.club import GOLD, Life, clock_at
from tests.unit.lives import lives, nows, others

laws = settings(max_examples=60, deadline=None, phases=[Phase.generate])


def fingerprints(life: Life, now: object, *, stands_still: bool = True) -> Fingerprints:
    """Taken at an instant, with the rules that are saved by then."""
    clock = replace(clock_at(now, life.zone), stands_still=stands_still)  # type: ignore[arg-type]
    return Fingerprints(cast(RuleBook, {GOLD: life.rules_at(now)}), clock)  # type: ignore[arg-type]


def said(outcome: Outcome) -> tuple[object, ...]:
    """All that an outcome says."""
    return (
        outcome.now,
        outcome.complete,
        outcome.status,
        outcome.ends_on,
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
    return outcome.now, outcome.status, outcome.ends_on, outcome.due_at, outcome.counts, new, expired


def test_every_field_of_the_facts_has_its_place_in_the_fingerprint() -> None:
    """Whoever adds a fact, or a field of one, has to say how memberships are compared by it."""
    kinds: set[type] = {MembershipFacts, Credit, *get_args(Fact)}
    assert {kind: set(told) for kind, told in FIELDS.items()} == {
        kind: {field.name for field in fields(kind)} for kind in kinds
    }


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
