"""An instant enters a fingerprint as exactly as decisions compare it (docs/decisions 27): whoever is told the same at
another instant is decided alike, or has another fingerprint."""

from copy import deepcopy
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from issuance.deciding.facts import Coupon
from issuance.deciding.frequency import IssuingFrequency, parse_validity
from issuance.engine.fingerprint import Fingerprints
from issuance.engine.manual_issues import ManualIssue
from issuance.engine.outcomes import outcome_of
from issuance.engine.tasks import Meant
from tests.unit.club import ADA, BEN, DAY, Life, at, clock_at, party, rule, version
from tests.unit.lives import SPAN, lives, nows
from tests.unit.test_fingerprint import fingerprints, happens, said

laws = settings(max_examples=60, deadline=None, phases=[Phase.generate])
SECOND = timedelta(seconds=1)


def by_hand(life: Life, now: datetime, number: int = 0) -> None:
    """Issue one of the life's rules by hand."""
    task = ManualIssue(life.rules[number].credit_rule_id, include_upcoming=True)
    life.take(task.decide(life.membership, Meant(), life.rules_at(now), clock_at(now, life.zone)))


def told_at(life: Life, place: int, instant: datetime) -> Life:
    """The same life, one of whose facts happened at another instant."""
    other = deepcopy(life)
    other.events[place].time = instant
    return other


def compared(life: Life, now: datetime) -> list[datetime]:
    """Every instant that something of a life happened at, or will, and midnights near its facts."""
    found = {now, *(event.time for event in life.events)}
    for credit in life.credits:
        found |= {credit.issued_at, credit.valid_from, credit.expires_at or now, credit.revoked_at or now}
    for one in life.rules:
        found |= {one.deleted_at or now, one.made_at or now, *(version.created_at for version in one.versions)}
    for event in life.events:
        day = event.time.astimezone(life.zone).replace(hour=0, minute=0, second=0, microsecond=0)
        found |= {day, day + DAY}
    return sorted(instant for instant in found if instant <= now)


def around(instants: list[datetime], near: datetime) -> list[datetime]:
    """Those of some instants that are near one, the seconds before and after each, and the middles between them."""
    some = sorted(instants, key=lambda instant: abs(instant - near))[:8]
    middles = [before + (after - before) / 2 for before, after in pairwise(sorted(some))]
    beside = [instant + second for instant in some for second in (-SECOND, SECOND)]
    return sorted({*some, *beside, *middles})


@st.composite
def lives_by_hand(draw: st.DrawFn) -> tuple[Life, datetime]:
    """A life that was settled, and issued to by hand, before the last of its facts arrived; and when they are there."""
    life = draw(lives(facts=5))
    assert life.signed_up_at is not None
    told, known = life.events, draw(st.integers(1, len(life.events)))
    life.events = told[:known]
    first = max([*(event.time for event in life.events), draw(nows(life))])
    life.settle(first)
    if draw(st.booleans()):
        for number in range(len(life.rules)):
            by_hand(life, first, number)
    life.events += told[known:]
    if draw(st.booleans()):  # late, or today: near what was issued
        near = first + timedelta(minutes=draw(st.integers(-300, 600)))
        if draw(st.booleans()):
            life.move(near, near.astimezone(life.zone).date().isoformat(), draw(st.sampled_from([None, "P1M"])))
        else:
            guests = life.everybody
            life.tell(near, "membership.guests_changed", **party(guests[0], lead=guests[0]))
            life.tell(near + timedelta(minutes=10), "membership.guests_changed", **party(*guests, lead=guests[0]))
    later = first + timedelta(hours=draw(st.sampled_from([1, 12, 24 * 20, SPAN])))
    return life, max([later, *(event.time + SECOND for event in life.events)])


@laws
@given(lives_by_hand(), st.data())
def test_who_is_told_at_another_instant_is_decided_alike_or_told_apart(
    drawn: tuple[Life, datetime], data: st.DataObject
) -> None:
    """Alone and together: what equal memberships are decided to is what each would be by itself."""
    life, now = drawn
    place = len(life.events) - data.draw(st.integers(1, min(3, len(life.events))))
    stands_still = data.draw(st.booleans())
    prints = fingerprints(life, now, stands_still=stands_still)
    rules = life.rules_at(now)
    known: dict[object, tuple[object, ...]] = {}
    for instant in around(compared(life, now), life.events[place].time):
        other = told_at(life, place, instant)
        if instant > now or other.membership.facts.signed_up_at > now:
            continue
        whole = prints.whole(other.membership)
        if whole is not None:
            alone = said(outcome_of(other.membership, rules, prints.clock))
            assert known.setdefault(whole, alone) == alone


@laws
@given(lives(facts=5), st.data())
def test_who_is_left_alike_by_a_manual_issue_has_one_future(life: Life, data: st.DataObject) -> None:
    """Whoever was told the same at another instant, and given by hand, has the same future where the fingerprint is the
    same."""
    first, then, last = sorted(data.draw(st.lists(nows(life), min_size=3, max_size=3)))
    place = data.draw(st.integers(0, len(life.events) - 1))
    left_with: dict[object, list[Life]] = {}
    for instant in around(compared(life, first), life.events[place].time):
        other = told_at(life, place, instant)
        other.settle(first)
        if other.membership.facts.signed_up_at <= first:
            by_hand(other, first)
        other.settle(then)
        left = fingerprints(life, then).settled(other.membership.facts, other.credits, then)
        if left is not None:
            left_with.setdefault((left, other.due_at, other.settled_at), []).append(other)
    prints, rules = fingerprints(life, last), life.rules_at(last)
    for alike in left_with.values():
        assert len({repr(happens(outcome_of(each.membership, rules, prints.clock))) for each in alike}) == 1


def decided(life: Life, now: datetime, prints: Fingerprints) -> tuple[object, object]:
    """What a life is decided by, and what to."""
    return prints.whole(life.membership), said(outcome_of(deepcopy(life.membership), life.rules_at(now), prints.clock))


def issued_at_noon(**rule_says: Any) -> Life:
    """A membership of two guests, with a credit each that was issued by hand at noon of 19 December."""
    life = Life([rule(version(issue_on_signup=False, **rule_says))], date(2030, 1, 20), guests=(ADA, BEN))
    life.status(at("2030-01-20"), "active")
    life.settle(at("2030-12-19T12:00"))
    by_hand(life, at("2030-12-19T12:00"))
    assert len(life.credits) == 2
    return life


@pytest.mark.parametrize("told", ["moved", "listed"])
def test_what_happened_before_a_manual_issue_is_told_apart_from_what_came_after(told: str) -> None:
    """A date that is moved to today ends what was issued before the move; a guest who was away since the issue has lost
    it. One who was away before it has not."""
    life = issued_at_noon(roll_over=False, frequency=IssuingFrequency.YEAR)
    lives, now = [], at("2030-12-19T15:00")
    for hour in (10, 13):
        other, instant = deepcopy(life), at(f"2030-12-19T{hour}:00")
        if told == "moved":
            other.move(instant, "2030-12-19")
        else:
            other.tell(instant, "membership.guests_changed", **party(ADA))
            other.tell(instant + SECOND, "membership.guests_changed", **party(ADA, BEN))
        lives.append(other)
    first, second = (decided(each, now, fingerprints(each, now, stands_still=False)) for each in lives)
    assert first[1] != second[1], "they are not decided alike"
    assert first[0] != second[0]


def test_each_who_moves_to_today_has_their_own_instant() -> None:
    """What a date that is moved to today ends, it ends at the move."""
    lives, now = [], at("2030-12-19T15:00")
    for minute in (10, 11):
        life = issued_at_noon(roll_over=False)
        life.move(at(f"2030-12-19T13:{minute}"), "2030-12-19")
        lives.append(life)
    first, second = (decided(each, now, fingerprints(each, now, stands_still=False)) for each in lives)
    assert first[1] != second[1], "they are not decided alike"
    assert first[0] != second[0]


def test_who_signed_up_before_a_coupon_was_saved_is_told_apart_from_who_came_after() -> None:
    """An import goes by the validity that the coupon had at the sign-up's time (SEMANTICS 6)."""
    was = (at("2031-06-10T10:00"), parse_validity("P30D"))
    coupon = Coupon("tea", parse_validity("P1Y"), edited=True, former=(was,))
    lives, now = [], at("2031-06-10T12:00")
    for hour in ("09", "11"):
        signed_up_at = at(f"2031-06-10T{hour}:00")
        life = Life([rule(version(coupon=coupon))], date(2030, 1, 1), signed_up_at=signed_up_at)
        life.charge(signed_up_at, "succeeded", "c1", "2031-01-01")
        lives.append(life)
    first, second = (decided(each, now, fingerprints(each, now, stands_still=False)) for each in lives)
    assert first[1] != second[1], "they are not decided alike"
    assert first[0] != second[0]
