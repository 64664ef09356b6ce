"""What began before the horizon stays as it was settled: a life that is settled from there on comes to the same as one
that is looked at in full (docs/decisions 54)."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st

from issuance.deciding.calendar import midnight
from issuance.deciding.frequency import IssuingFrequency
from issuance.deciding.history import History, Horizon
from issuance.deciding.horizon import ONGOING, first_day, holds
from issuance.deciding.reasons import Reason
from issuance.deciding.settlement import status_of
from issuance.deciding.statuses import Status
from issuance.engine.event_facts import GUESTS_CHANGED, SIGNED_UP, named_by, numbers_of, read_facts
from issuance.engine.fingerprint import as_it_was, is_apart
from issuance.engine.membership import Membership
from issuance.engine.news import ADDS
from issuance.engine.outcomes import outcome_of
from issuance.engine.settled import settled_itself
from issuance.engine.states import State
from tests.unit.club import GOLD, SILVER, UTC_ZONE, Life, at, clock_at, rule, version
from tests.unit.lives import SPAN, lives, tellings
from tests.unit.test_fingerprint import fingerprints, said

laws = settings(max_examples=100, deadline=None, phases=[Phase.generate])


@st.composite
def paying(draw: st.DrawFn) -> Life:
    """A membership that pays for its periods, mostly on time, and of which little else is told."""
    life = draw(lives(facts=0))
    calendar = History(life.membership.facts, [], at("2040-01-01")).calendar
    assert life.signed_up_at is not None
    last = life.starts_on + timedelta(hours=SPAN)
    for number, day in enumerate(calendar.boundaries_past(None, last)):
        lag = draw(st.sampled_from([0, 0, 1, 9, 30, 24 * 20]))
        told_at = max(midnight(day, life.zone), life.signed_up_at) + timedelta(hours=lag)
        ends = (
            {}
            if draw(st.booleans())
            else {"period_end": (day + timedelta(days=draw(st.sampled_from([7, 30, 95])))).isoformat()}
        )
        for state in draw(st.sampled_from([(), ("initiated",), ("succeeded",), *[("initiated", "succeeded")] * 3])):
            life.charge(told_at, state, f"p{number}", day.isoformat(), **ends)
            told_at += timedelta(hours=draw(st.sampled_from([0, 1, 72])))
    for time, kind, says in draw(st.one_of(st.just([]), st.lists(tellings(life), max_size=2))):
        life.tell(time, kind, **says)
    return life


def from_horizon(life: Life, now: datetime) -> Membership | None:
    """What would be loaded of a life that was settled; None: all of it."""
    whole, settled_at = life.membership, life.settled_at
    assert settled_at is not None
    known = [event for event in whole.events if not event.is_news]
    news = [event for event in whole.events if event.is_news]
    told = tuple(fact for fact, event in zip(whole.facts.told, whole.events, strict=True) if not event.is_news)
    facts = replace(whole.facts, told=told)
    then = History(facts, whole.credits, settled_at)
    were = [as_it_was(credit, settled_at) for credit in whole.credits]
    print_ = fingerprints(life, settled_at).settled(facts, were, settled_at)
    whole.state = State(life.due_at, settled_at, print_)
    ahead = then.standing.next_change(settled_at)
    if print_ is None or status_of(then) not in ONGOING or ahead is not None or then.standing.ends_on is not None:
        return None
    of_news = {event.charge_id for event in news}
    days = [date.fromisoformat(e.data["period_start"]) for e in whole.events if e.charge_id in of_news - {None}]
    day = first_day(settled_at, life.zone, days)
    since = midnight(day, life.zone)
    is_late = all(event.type in ADDS and event.time >= since for event in news)
    if not is_late or life.due_at == settled_at or whole.events[len(known) :] != news:
        return None
    # In full, so that nothing of what is to be shown is asked for it.
    covers = {charge.number: charge.covers.end for charge in History(whole.facts, [], now).charges}
    numbers = numbers_of(whole.events)
    late = {e.charge_id for e in whole.events if e.is_news or e.time >= since}
    late |= {charge_id for charge_id, number in numbers.items() if covers.get(number, date.max) > day}
    kept = [(place, e) for place, e in enumerate(whole.events) if e.charge_id is None or e.charge_id in late]
    events, order = [e for _, e in kept], [place for place, _ in kept]
    named = named_by(life.membership_id, events)
    out = [
        credit
        for credit in whole.credits
        if credit.key.period_start >= day
        or credit.period_end is None
        or credit.is_open
        or (credit.expires_at is not None and credit.expires_at > settled_at)
        or any(one is not None and one >= settled_at for one in (credit.redeemed_at, credit.revoked_at))
    ]
    automatic = [one for one, is_so in ((GOLD, life.automatic), (SILVER, life.silver_automatic)) if is_so]
    read = read_facts(events, named, whole.places or places(life), life.zone, automatic, order)
    left_out = [
        charge
        for charge in then.charges
        if charge.number in set(numbers.values()) - set(numbers_of(events, order).values())
    ]
    membership = Membership(
        whole.membership_id,
        replace(read, archived_guests=whole.facts.archived_guests),
        whole.state,
        whole.listed,
        credits=out,
        events=events,
        named=named,
        guest_ids=whole.guest_ids,
        charge_ids={number: charge_id for charge_id, number in numbers_of(events, order).items()},
        horizon=Horizon(
            day,
            any(charge.state.value == "initiated" for charge in left_out),
            len(whole.credits) - len(out),
            all(e.type in {*ADDS, SIGNED_UP, GUESTS_CHANGED} for e in whole.events),
        ),
    )
    is_known = all(settled_at not in (credit.redeemed_at, credit.revoked_at) for credit in out)
    stays = is_known and holds(membership.history(now), life.rules_at(now)) and not any(map(is_apart, out))
    return membership if stays else None


def places(life: Life) -> dict[UUID, int]:
    return {guest_id: place for place, guest_id in enumerate(life.everybody)}


@laws
@given(paying(), st.data())
def test_from_its_horizon_a_life_is_settled_as_in_full(life: Life, data: st.DataObject) -> None:
    """Settled once, by the clock or with charges that came since, now and then with credits used meanwhile."""
    told = sorted(life.events, key=lambda one: one.time)
    hours = st.integers(0, SPAN)
    begin = told[0].time
    instants = sorted(begin + timedelta(hours=hour) for hour in data.draw(st.lists(hours, min_size=2, max_size=5)))
    life.events = []
    for now in instants:
        heard = [one for one in told if one.time <= now and one not in life.events]
        life.events += [
            one for one in heard if one.type == SIGNED_UP or data.draw(st.booleans()) or data.draw(st.booleans())
        ]
        told = [one for one in told if all(one is not other for other in life.events)]
        if not life.events or life.events[0].type != SIGNED_UP:
            life.events.sort(key=lambda one: one.type != SIGNED_UP)
        if not life.events or life.events[0].type != SIGNED_UP:
            return
        if life.settled_at is not None:
            used = [
                c
                for c in life.credits
                if c.is_held_at(now) and c.valid_from <= now and data.draw(st.sampled_from([False, False, True]))
            ]
            when = data.draw(st.sampled_from([now, life.settled_at + (now - life.settled_at) / 2]))
            if when > life.settled_at:
                life.credits = [
                    replace(c, redeemed_at=when if c.max_uses in (None, 1) and not c.multi_use else None, uses=1)
                    if c in used
                    else c
                    for c in life.credits
                ]
            late = from_horizon(life, now)
            if late is not None:
                rules, clock, prints = life.rules_at(now), clock_at(now, life.zone), fingerprints(life, now)
                whole = life.membership
                whole.state = late.state
                expected, outcome = outcome_of(whole, rules, clock), outcome_of(late, rules, clock)
                event(f"{'news' if late.news else 'time'}, leaves out {min(len(whole.credits) - len(late.credits), 3)}")
                one, other = list(said(outcome)), list(said(expected))
                assert outcome.credits.items() <= expected.credits.items()
                one[6] = other[6] = None
                assert one == other
                assert settled_itself(late, outcome).events == settled_itself(whole, expected).events
                after = prints.settled(whole.facts, list(expected.credits.values()), expected.now)
                assert prints.carried_on(late, list(outcome.credits.values()), outcome.now) == after
        life.settle(now)


def test_a_status_that_lists_show_as_in_order_is_one() -> None:
    assert set(ONGOING) == {Status.ACTIVE, Status.BILLING}


@pytest.fixture
def life_of_years() -> Callable[..., Life]:
    """Makes lives that are charged each year on 31 January by nobody's word, are given monthly, and were paused from
    mid-December until a day."""

    def made(paused_until: str) -> Life:
        monthly = version(frequency=IssuingFrequency.MONTH)
        life = Life([rule(monthly)], billing_frequency="P1Y", automatic=True)
        life.status(at("2030-12-15"), "paused")
        life.status(at(paused_until), "active")
        return life

    return made


def kept(life: Life, settled: str, now: str) -> bool:
    """Whether a life, which is settled at an instant, is looked at from its horizon at another."""
    life.settle(at(settled))
    return from_horizon(life, at(now)) is not None


def test_a_rule_that_was_saved_since_has_all_looked_at() -> None:
    """Its version can be in force for what has begun."""
    assert kept(Life(automatic=True), "2030-05-01", "2030-06-01")
    saved = rule(version(), version(2, at("2030-05-20"), include_upcoming=True))
    assert not kept(Life([saved], automatic=True), "2030-05-01", "2030-06-01")


def test_a_coupon_that_was_edited_has_an_import_looked_at_in_full() -> None:
    """What was over by its earlier validity may not be over by the one that it has now."""
    plain = version(validity="P10D")
    assert plain.coupon is not None
    edited = replace(plain, coupon=replace(plain.coupon, edited=True))
    for one, stays in ((plain, True), (edited, False)):
        life = Life([rule(one)], automatic=True)
        life.sign_up_at(at("2030-03-05"))
        assert kept(life, "2030-05-01", "2030-06-01") is stays


def test_a_year_that_began_in_a_pause_is_paid_by_nobody_after_it(life_of_years: Callable[..., Life]) -> None:
    """Its automatic charge was not made, and nothing after the pause says so."""
    assert kept(life_of_years(paused_until="2031-01-20"), "2031-05-10", "2031-06-01")
    unpaid = life_of_years(paused_until="2031-02-15")
    assert not kept(unpaid, "2031-05-10", "2031-06-01")
    unpaid.settle(at("2031-06-01"))
    assert unpaid.reasons(at("2031-06-01"))["2031-05-31"] is Reason.CHARGE_UNPAID


def test_a_charge_is_decided_anew_from_before_its_first_day_on() -> None:
    """A biller's date may be days before the period that is meant."""
    settled_at = at("2031-07-15")
    assert first_day(settled_at, UTC_ZONE, ()) == date(2031, 7, 14)
    assert first_day(settled_at, UTC_ZONE, [date(2031, 6, 30), date(2031, 7, 31)]) == date(2031, 6, 26)
