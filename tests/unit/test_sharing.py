"""Memberships of one shape share a walk, and nobody can tell (docs/decisions 19)."""

from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from issuance.deciding.manual import issue_by_hand
from issuance.deciding.reasons import Reason
from issuance.deciding.releases import History
from issuance.engine.sharing import SharedWalks
from issuance.engine.walking import Walked, add, walk
from tests.unit.club import GOLD, Life, clock_at
from tests.unit.lives import lives, nows, others

laws = settings(max_examples=60, deadline=None, phases=[Phase.generate])


def told(walked: Walked) -> tuple[object, ...]:
    """All that a walk says, without the ids that it made up."""
    state = {credit.credit_id: (credit.key, credit.revoked_by, credit.expired_at) for credit in walked.credits}
    return (
        walked.membership.membership_id,
        walked.status,
        walked.ends_on,
        walked.due_at,
        walked.counts,
        sorted(map(repr, state.values())),
        sorted(repr((credit.key, new.version, new.validities, credit.revoked_at)) for credit, new in walked.issued),
        sorted(
            repr((after.key, after.expires_at, after.revoked_at, after.expired_at, why))
            for _, after, why in walked.changed.values()
        ),
    )


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
def test_a_shared_walk_is_the_walk(club: list[Life], data: st.DataObject) -> None:
    """Whatever walking each membership alone comes to, sharing comes to, over one settling after the other."""
    life = club[0]
    for now in sorted(data.draw(st.lists(nows(life), min_size=1, max_size=4))):
        rules = life.rules_at(now)
        clock = clock_at(now, life.zone)
        shared = SharedWalks({GOLD: rules}, clock)
        for each in club:
            alone = walk(deepcopy(each.membership), rules, clock)
            walked = shared.walk(each.membership)
            assert told_without_guests(walked) == told_without_guests(alone)
            assert {credit.key.guest_id for credit, _ in walked.issued} <= named(each)
            each.take(walked)
    everyones = [credit.credit_id for each in club for credit in each.credits]
    assert len(everyones) == len(set(everyones)), "no two memberships share a credit"


def told_without_guests(walked: Walked) -> str:
    """What a walk says of a membership, whichever it is, with each guest named by their place on the order."""
    said = []
    for part in told(walked)[1:]:
        lines = part if isinstance(part, list) else [repr(part)]
        for place, guest in enumerate(walked.membership.party):
            lines = [line.replace(guest["guest_id"], f"guest {place}") for line in lines]
        said.append(sorted(lines))
    return repr(said)


def named(life: Life) -> set[UUID]:
    """Everyone who was ever on the order."""
    return {UUID(guest["guest_id"]) for fact in life.facts for guest in fact.data.get("guests", [])}


@laws
@given(clubs(), st.data())
def test_those_of_one_shape_have_one_future(club: list[Life], data: st.DataObject) -> None:
    """Left with one shape at one time, memberships come to the same when they are next settled, and are of one shape
    again, whatever rules were saved meanwhile and whether or not somebody redeemed what they had."""
    life = club[0]
    first, then = sorted(data.draw(st.lists(nows(life), min_size=2, max_size=2)))
    left_with: dict[object, list[Life]] = {}
    for each in club:
        each.settle(first)
        shared = SharedWalks({GOLD: life.rules_at(first)}, clock_at(first, life.zone))
        shape = shared.shape(each.membership, each.credits, first)
        if shape is not None:
            left_with.setdefault((shape, each.due_at, each.settled_at), []).append(each)
    clock = replace(clock_at(then, life.zone), stands_still=data.draw(st.booleans()))
    rules = life.rules_at(then)
    for alike in left_with.values():
        futures = set()
        for each in alike:
            walked = walk(each.membership, rules, clock)
            after = SharedWalks({GOLD: rules}, clock).shape(each.membership, walked.credits, walked.now)
            futures.add((told_without_guests(walked), after))
        assert len(futures) == 1


@laws
@given(clubs(), st.data())
def test_a_manual_issue_beside_a_shared_walk_is_each_ones_own(club: list[Life], data: st.DataObject) -> None:
    """What is added by hand to the first of a shape is not there already for the second."""
    life = club[0]
    now = data.draw(nows(life))
    rules = life.rules_at(now)
    if not rules:
        return
    shared = SharedWalks({GOLD: rules}, clock_at(now, life.zone))
    outcomes = []
    for each in club:
        walked = shared.walk(each.membership)
        history = History(each.membership.facts_at(now, walked.credits), now)
        outcomes.append((each, walked, list(issue_by_hand(history, rules[0], include_upcoming=True))))
        for _, new in outcomes[-1][2]:
            if new is not None:
                add(walked, new)
    for each, walked, given_by_hand in outcomes:
        manual = [credit for credit, _ in walked.issued if credit.manual]
        assert len(manual) == sum(reason is Reason.ISSUED for reason, _ in given_by_hand)
        assert {credit.key.guest_id for credit in manual} <= named(each)
