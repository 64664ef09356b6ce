"""Law 12: what a forecast said is what is then issued, when the charges that it counts on come on their days."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from issuance.deciding.calendar import day_of, midnight
from issuance.deciding.charges import charges_of
from issuance.deciding.facts import ChargeTold, Credit
from issuance.deciding.forecast import Given, forecast
from issuance.deciding.frequency import IssuingFrequency
from issuance.deciding.statuses import ENDED, Status
from tests.unit.club import ADA, BEN, DAY, SILVER, Life, at, party, rule, version
from tests.unit.lives import lives, nows

TICK = timedelta(microseconds=1)


def told(life: Life, now: datetime, last_day: date) -> list[Given]:
    """What a forecast says will be out."""
    return forecast(life.membership.facts, life.credits, life.rules_at(now), now, last_day)


def seen(credit: Credit) -> tuple[object, ...]:
    """What is compared of a credit: whose it is, by which version, and from when to when it can be used."""
    return (*credit.key, credit.rule_version, credit.valid_from, credit.expires_at)


def bill(life: Life, now: datetime, end: datetime) -> None:
    """Let time pass up to `end`, the biller charging each period on its first day of which it has told nothing yet."""
    charged: set[date] = set()
    instant = now
    while True:
        _charge(life, instant, now, charged)
        life.settle(instant)
        upcoming = [when for when in _instants(life, instant) if instant < when <= end]
        if not upcoming:
            break
        instant = min(upcoming)
    life.settle(end)


def _instants(life: Life, instant: datetime) -> Iterator[datetime]:
    """When something may happen next."""
    history = life.history(instant)
    yield history.calendar.next_boundary_after(None, instant)
    yield from (event.time for event in life.events)
    if life.due_at is not None:
        yield life.due_at


def _charge(life: Life, instant: datetime, now: datetime, charged: set[date]) -> None:
    history = life.history(instant)
    start = day_of(instant, life.zone)
    calendar = history.calendar
    begins = calendar.is_boundary(None, start) and calendar.begins_at(None, start) <= instant
    stub = start == calendar.starts_on and calendar.as_it_stood(instant).anchor_now > start
    if not begins or stub or start in charged or history.types.is_automatic_at(instant):
        return
    known = [fact for fact in life.membership.facts.told if isinstance(fact, ChargeTold)]
    over = midnight(calendar.next_boundary(None, start), life.zone) <= history.signed_up_at
    if over or any(charge.covers.pays_for(None, start) for charge in charges_of(known, calendar)):
        return
    status = history.standing.at(instant)
    if status is not Status.PAUSED and status not in ENDED:
        charged.add(start)
        life.charge(instant, "initiated", f"on {start}", start.isoformat())
        life.charge(instant, "succeeded", f"on {start}", start.isoformat())


@settings(deadline=None, max_examples=150)
@given(data=st.data(), life=lives(facts=5), days=st.integers(1, 200))
def test_what_is_forecast_is_what_is_then_issued(data: st.DataObject, life: Life, days: int) -> None:
    """Whatever is known and announced by then: ends, pauses, other types, guests, moved dates, automatic billing."""
    now = data.draw(nows(life))
    life.rules = life.rules_at(now)
    life.settle(now)
    last_day = day_of(now, life.zone) + timedelta(days=days)
    said = told(life, now, last_day)
    bill(life, now, midnight(last_day + DAY, life.zone) - TICK)
    out = [credit for credit in life.credits if credit.revoked_by != "facts" and credit.key.reissue == 0]
    assert sorted((seen(one.credit) for one in said), key=str) == sorted(map(seen, out), key=str)


def months(life: Life, now: str, last_day: str) -> list[str]:
    """The dates on which the periods begin of what a forecast says will be out; a guest's credit each."""
    return sorted(one.day.isoformat() for one in told(life, at(now), date.fromisoformat(last_day)))


def test_a_once_rule_is_counted_on_the_period_that_it_will_ride_on() -> None:
    """P0D without issue_on_signup: the next billing period, once; while it is out, too."""
    life = Life(rules=[rule(version(frequency=IssuingFrequency.ONCE, issue_on_signup=False))])
    assert months(life, "2030-01-31", "2030-06-30") == ["2030-02-28"]
    life.charge(at("2030-02-28"), "initiated", "c1", "2030-02-28")
    life.settle(at("2030-02-28"))
    assert months(life, "2030-03-10", "2030-06-30") == ["2030-02-28"]


def test_a_once_rule_saved_with_include_upcoming_is_counted_for_those_who_signed_up_before() -> None:
    """After their first period it rides on the next charge; those who sign up later get it on sign-up."""
    saved = version(2, at("2030-03-10"), frequency=IssuingFrequency.ONCE, include_upcoming=True)
    life = Life(rules=[rule(version(1, membership_type_id=SILVER), saved)])
    life.charge(at("2030-02-28"), "succeeded", "c1", "2030-02-28")
    life.settle(at("2030-03-10"))
    assert months(life, "2030-03-10", "2030-06-30") == ["2030-03-31"]


@pytest.mark.parametrize("automatic", [False, True])
def test_nothing_is_counted_from_an_announced_end_on(automatic: bool) -> None:
    """Whoever bills."""
    life = Life(automatic=automatic)
    life.status(at("2030-02-05"), "cancelled", "2030-04-15")
    life.settle(at("2030-02-10"))
    assert months(life, "2030-02-10", "2030-12-31") == ["2030-01-31", "2030-02-28", "2030-03-31"]


def test_an_announced_end_that_is_taken_back_ahead_is_none() -> None:
    """What is announced happens, one after the other."""
    life = Life()
    life.status(at("2030-02-05"), "cancelled", "2030-04-15")
    life.status(at("2030-03-05"), "active", takes_back=True)
    life.settle(at("2030-02-10"))
    assert months(life, "2030-02-10", "2030-04-30") == ["2030-01-31", "2030-02-28", "2030-03-31", "2030-04-30"]


def test_periods_after_an_announced_change_of_type_are_its_new_types() -> None:
    """The old type's rules give up to the day of the change, the new type's from it on."""
    gold, silver = rule(), rule(version(membership_type_id=SILVER), number=2)
    life = Life(rules=[gold, silver])
    life.change_type(at("2030-03-31"), SILVER)
    life.settle(at("2030-02-10"))
    said = told(life, at("2030-02-10"), date(2030, 4, 30))
    assert sorted((one.credit.key.credit_rule_id == gold.credit_rule_id, one.day.isoformat()) for one in said) == [
        (False, "2030-03-31"), (False, "2030-04-30"), (True, "2030-01-31"), (True, "2030-02-28"),
    ]  # fmt: skip


def test_what_is_switched_ahead_is_issued_at_the_switch() -> None:
    """The running period goes over at the instant that is announced: one is taken back, one is valid from then on."""
    gold, silver = rule(), rule(version(membership_type_id=SILVER), number=2)
    life = Life(rules=[gold, silver])
    life.change_type(at("2030-03-10") + timedelta(hours=9), SILVER, "switch")
    life.settle(at("2030-02-10"))
    switch = at("2030-03-10") + timedelta(hours=9)
    said = [one.credit for one in told(life, at("2030-02-10"), date(2030, 3, 30)) if one.day == date(2030, 2, 28)]
    assert [(one.key.credit_rule_id, one.valid_from) for one in said] == [(silver.credit_rule_id, switch)]


def test_who_needs_attention_or_is_paused_stays_so() -> None:
    """Charges are counted on, not that a trouble ends; an announced return is."""
    for status in ("needs_attention", "paused"):
        life = Life(rules=[rule(version(issue_on_signup=False))])
        life.status(at("2030-02-05"), status)
        life.settle(at("2030-02-10"))
        assert months(life, "2030-02-10", "2030-05-15") == []
        life.status(at("2030-03-05"), "active")
        ahead = ["2030-03-31", "2030-04-30"]
        assert months(life, "2030-02-10", "2030-05-15") == (["2030-02-28", *ahead] if status != "paused" else ahead)


def test_a_charge_that_was_waived_ahead_is_not_counted_on() -> None:
    """Nor one that was told of in any other state."""
    life = Life()
    life.charge(at("2030-02-05"), "skipped", "c2", "2030-03-31")
    life.settle(at("2030-02-10"))
    assert months(life, "2030-02-10", "2030-05-15") == ["2030-01-31", "2030-02-28", "2030-04-30"]


def test_a_period_that_began_today_is_counted_one_of_yesterday_is_not() -> None:
    """The charge of today may come yet; that of a day that is over has not come."""
    life = Life(rules=[rule(version(issue_on_signup=False))])
    today = at("2030-02-28") + timedelta(hours=12)
    life.settle(today)
    said = told(life, today, date(2030, 4, 15))
    assert [one.day.isoformat() for one in said] == ["2030-02-28", "2030-03-31"]
    assert said[0].credit.issued_at == today
    assert months(life, "2030-03-01", "2030-04-15") == ["2030-03-31"]


def test_a_guest_whose_leaving_is_announced_gets_nothing_from_then_on() -> None:
    """And what was unredeemed by then is taken back, which no forecast of all periods counts."""
    life = Life(guests=(ADA, BEN))
    life.tell(at("2030-03-10"), "membership.guests_changed", **party(ADA))
    life.settle(at("2030-02-10"))
    said = told(life, at("2030-02-10"), date(2030, 4, 15))
    assert {life.everybody[one.credit.key.place] for one in said} == {ADA}
    assert len(said) == 3
