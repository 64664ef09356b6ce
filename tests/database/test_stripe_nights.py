"""Nights in which Stripe is asked how everything stands: what webhooks told, and the price map was told of, stays."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import text

from issuance.database.connections import transaction
from issuance.health import figures
from tests.database.stripe_asked import ask, reconcile
from tests.database.stripes import Club
from tests.database.test_stripe_sequences import SETTLED_AT
from tests.stripe.fake import FakeStripe
from tests.stripe.lives import Event, Life, item, stamp

JAN, FEB, MAR, APR, MAY = (f"2031-{month:02}-15" for month in range(1, 6))
BEGINNING = datetime(2031, 1, 1, tzinfo=UTC)


def told(fake: FakeStripe, club: Club, events: list[Event], now: str) -> None:
    """Webhooks came, and it is settled."""
    fake.happen(events)
    club.deliver(events)
    club.translate()
    ask(club)
    club.settle(now)


def night(club: Club, now: str) -> list[tuple[Any, ...]]:
    """A night: what is told in it."""
    club.settle(now)
    before = club.facts()
    assert reconcile(club, since=BEGINNING)["state"] == "finished"
    club.settle(now)
    return [fact for fact in club.facts() if fact not in before]


def tried(life: Life, times: int = 1, *, again: bool = False) -> dict[str, Any]:
    """February's invoice, which was tried, once or more often; `again`: it will be."""
    retry = {"next_payment_attempt": stamp("2031-02-18 11:30") if again else None}
    lines = [life.line(f"{FEB} 10:30", f"{MAR} 10:30")]
    return life.invoice("feb", f"{FEB} 10:30", "open", lines, attempted=True, attempt_count=times, **retry)


def test_a_debit_that_the_bank_works_on_has_not_failed(fake: FakeStripe, asked: Club) -> None:
    """It was tried, and takes days: nobody loses a credit in between."""
    life = Life("debit")
    life.months(JAN, FEB)
    life.tell("invoice.finalized", f"{FEB} 10:30", tried(life))
    told(fake, asked, life.events, "2031-02-15T12:00:00Z")
    assert night(asked, "2031-02-16T02:00:00Z") == []
    assert asked.credits("sub_debit", "si_debit") == [JAN, FEB]


@pytest.mark.parametrize("sign", ["it is tried again", "its subscription is past due", "its subscription is unpaid"])
def test_a_payment_that_failed_while_no_webhook_came_is_told(fake: FakeStripe, asked: Club, sign: str) -> None:
    """By what the invoice says of its next attempt, or by what its subscription came to since."""
    life = Life("lost")
    life.months(JAN, FEB)
    life.tell("invoice.finalized", f"{FEB} 10:30", tried(life))
    told(fake, asked, life.events, "2031-02-15T12:00:00Z")
    fake.put(tried(life, again=sign == "it is tried again"))
    fake.put({**life.state, "status": "unpaid" if sign.endswith("unpaid") else "past_due"})
    for day in (16, 17):
        night(asked, f"2031-02-{day}T02:00:00Z")
    assert asked.credits("sub_lost", "si_lost") == [JAN]
    assert [fact[0] for fact in asked.facts() if fact[0] == "charge.failed"] == ["charge.failed"]


def cancelled(life: Life, on: str) -> dict[str, Any]:
    return {**life.state, "status": "canceled", "canceled_at": stamp(on), "ended_at": stamp(on)}


@pytest.mark.parametrize(("tries", "day", "is_paid"), [(4, "02-20", False), (1, "03-02", False), (1, "02-16", True)])
def test_who_was_cancelled_as_nobody_paid_has_no_credit_for_what_was_not_paid(
    fake: FakeStripe, asked: Club, tries: int, day: str, is_paid: bool
) -> None:
    """Stripe gives up and cancels, and leaves the invoice open. A debit that the bank may still work on is not taken
    for failed when somebody cancels."""
    life = Life("given_up")
    life.months(JAN, FEB)
    life.tell("invoice.finalized", f"{FEB} 10:30", tried(life))
    told(fake, asked, life.events, "2031-02-15T12:00:00Z")
    fake.put(tried(life, tries))
    fake.put(cancelled(life, f"2031-{day} 01:00"))
    for hour in (2, 3):
        night(asked, f"2031-{day}T0{hour}:00:00Z")
    assert asked.credits("sub_given_up", "si_given_up") == ([JAN, FEB] if is_paid else [JAN])


def test_an_import_of_who_was_cancelled_as_nobody_paid_gives_nothing_for_what_was_not_paid(
    fake: FakeStripe, asked: Club
) -> None:
    life = Life("import")
    life.months(JAN, FEB)
    for one in [event["data"]["object"] for event in life.events]:
        fake.put(one)
    fake.put(tried(life, 4))
    fake.put(cancelled(life, "2031-02-20 01:00"))
    for hour in (2, 3):
        night(asked, f"2031-03-01T0{hour}:00:00Z")
    assert "charge.failed" in [fact[0] for fact in asked.facts()]


def test_trouble_of_an_earlier_month_says_nothing_of_a_debit(fake: FakeStripe, asked: Club) -> None:
    life = Life("before")
    life.bill("jan", f"{JAN} 10:30", f"{FEB} 10:30", ("payment_failed", f"{JAN} 11:30"))
    life.change(f"{JAN} 11:30", status="past_due")
    life.tell("invoice.finalized", f"{FEB} 10:30", tried(life))
    told(fake, asked, life.events, "2031-02-15T12:00:00Z")
    assert night(asked, "2031-02-16T02:00:00Z") == []


@pytest.mark.parametrize("entry", ["the price", "its product"])
def test_what_a_price_was_told_as_stays_when_it_is_mapped_anew(fake: FakeStripe, asked: Club, entry: str) -> None:
    """A price that is Platinum from now on rewrites nobody's past; who changes to it comes to Platinum."""
    life, other = Life("mapped"), Life("other")
    for one in (life, other):
        one.months(JAN, FEB, MAR)
    told(fake, asked, [*life.events, *other.events], "2031-03-01T00:00:00Z")
    if entry == "its product":
        asked.map("prod_gold")
    asked.map("price_gold", "Platinum", "switch")
    assert night(asked, "2031-03-02T02:00:00Z") == []
    assert asked.credits("sub_mapped", "si_mapped") == [JAN, FEB]
    other.change_price("2031-03-05 09:00", "price_platinum")
    told(fake, asked, other.events[-1:], "2031-03-05T12:00:00Z")
    assert [fact[0] for fact in asked.facts("sub_other", "si_other")][-1] == "membership.type_changed"


def test_a_change_between_prices_of_one_type_is_none_when_one_is_mapped_anew(fake: FakeStripe, asked: Club) -> None:
    """Its webhook was lost, and what it came to was told by a night: nothing."""
    asked.map("price_silver")
    life = Life("twice")
    life.months(JAN, FEB, MAR)
    told(fake, asked, life.events, "2031-03-01T00:00:00Z")
    life.change_price("2031-03-05 09:00", "price_silver")
    fake.happen(life.events[-1:])
    assert night(asked, "2031-03-06T02:00:00Z") == []
    asked.map("price_silver", "Silver")
    assert night(asked, "2031-03-07T02:00:00Z") == []


def withdrawn(life: Life, at: str) -> dict[str, Any]:
    """What a dispute says of the money that it took."""
    return {"object": "dispute", "id": f"dp_{life.name}_02-15", "balance_transactions": [{"created": stamp(at)}]}


@pytest.mark.parametrize("lost", [False, True])
def test_a_dispute_counts_from_when_its_inquiry_became_one(fake: FakeStripe, asked: Club, lost: bool) -> None:
    """March was paid while it was an inquiry. Where the webhook is lost, the money that was taken says when."""
    life = Life("inquiry")
    life.months(JAN, FEB, MAR)
    life.dispute("02-15", "2031-02-20 09:00", "warning_needs_response")
    life.months(MAR, APR)
    was = {"status": "warning_needs_response"}
    life.dispute("02-15", "2031-03-20 09:00", "needs_response", "updated", was)
    told(fake, asked, life.events[: -1 if lost else None], "2031-03-20T12:00:00Z")
    fake.put({**life.events[-1]["data"]["object"], **withdrawn(life, "2031-03-20 09:00")})
    assert len(night(asked, "2031-03-21T02:00:00Z")) == lost
    assert night(asked, "2031-03-22T02:00:00Z") == []
    assert asked.credits("sub_inquiry", "si_inquiry") == [JAN, MAR]


def test_a_look_at_the_last_days_leaves_what_lies_before_to_the_night(fake: FakeStripe, asked: Club) -> None:
    """The last time was weeks ago: who asks for yesterday has not looked at what lies between."""
    with transaction(asked.engine, asked.brand_id) as connection:
        weeks_ago = connection.scalar(
            text("UPDATE billers SET reconciled_at = clock_timestamp() - interval '20 days' RETURNING reconciled_at")
        )
    reconcile(asked, since=weeks_ago + timedelta(days=19))
    assert reconcile(asked)["since"] == weeks_ago
    assert reconcile(asked)["since"] > weeks_ago, "a look from there on has"


def test_a_night_does_not_hide_that_a_biller_is_silent(fake: FakeStripe, asked: Club) -> None:
    """No webhook comes any more, and each night tells what they would have: late, so somebody is told of it."""
    fake.keeps_events = True
    life = Life("disabled")
    life.months(JAN, FEB)
    told(fake, asked, life.events, "2031-02-16T02:00:00Z")
    with transaction(asked.engine) as connection:
        before = figures(connection)["billers_silent"]
    with transaction(asked.engine, asked.brand_id) as connection:
        connection.execute(text("UPDATE biller_deliveries SET received_at = received_at - interval '25 hours'"))
        connection.execute(text("UPDATE billers SET created_at = created_at - interval '25 hours'"))
        connection.execute(text("UPDATE billers SET heard_at = heard_at - interval '25 hours'"))
    life.months(FEB, MAR)
    fake.happen(life.events)
    assert reconcile(asked, nightly=True)["state"] == "finished"
    asked.settle("2031-03-16T02:00:00Z")
    assert asked.credits("sub_disabled", "si_disabled") == [JAN, FEB]
    with transaction(asked.engine) as connection:
        assert figures(connection)["billers_silent"] == before + 1


def meanwhile(fake: FakeStripe, club: Club, monkeypatch: pytest.MonkeyPatch, life: Life, *, translated: bool) -> None:
    """The last webhook of a life comes while Stripe's answer, which does not know of it yet, is under way."""
    answer, came = fake.answer, life.events[-1]

    def under_way(path: str, query: Any) -> tuple[int, Any]:
        said = answer(path, query)
        if path == "/v1/subscriptions" and came not in fake.events:
            fake.happen([came])
            club.deliver([came])
            if translated:
                club.translate()
        return said

    monkeypatch.setattr(fake, "answer", under_way)


@pytest.mark.parametrize("translated", [False, True])
@pytest.mark.parametrize("what", ["ended", "paused", "of two"])
def test_what_a_webhook_said_since_a_page_was_asked_for_stands(
    fake: FakeStripe, asked: Club, monkeypatch: pytest.MonkeyPatch, what: str, translated: bool
) -> None:
    """The page is the older of the two: nobody who has ended goes on by it, and no item that came since is gone."""
    life = Life("race")
    life.months(JAN, FEB, MAR, APR)
    told(fake, asked, life.events, "2031-03-19T12:00:00Z")
    at = "2031-03-20 09:00"
    if what == "ended":
        life.end(at)
    elif what == "paused":
        life.change(at, pause_collection={"behavior": "void", "resumes_at": None})
    else:
        second = item("si_race_b", "price_silver", created=stamp(at))
        life.change(at, items={"object": "list", "data": [*life.state["items"]["data"], second]})
    meanwhile(fake, asked, monkeypatch, life, translated=translated)
    (news,) = night(asked, "2031-03-20T09:00:30Z")
    assert news[2].rpartition("/")[0].startswith("sub_race/"), "the webhook told it"
    assert news[0] == ("membership.signed_up" if what == "of two" else "membership.status_changed")
    assert night(asked, "2031-03-21T02:00:00Z") == []


def test_who_has_ended_does_not_go_on_by_an_answer_of_before(fake: FakeStripe, asked: Club) -> None:
    """An answer may be older than it looks."""
    life = Life("older")
    life.months(JAN, FEB, MAR)
    before = life.state
    life.end("2031-02-20 09:00")
    told(fake, asked, life.events, "2031-02-20T12:00:00Z")
    fake.put(before)
    assert night(asked, "2031-02-21T02:00:00Z") == []


def from_the_beginning(fake: FakeStripe, club: Club, life: Life, events: list[Event]) -> list[str]:
    """What a club holds after `--all`, which is planned first. `events`: those that Stripe still lists."""
    fake.happen(life.events)
    fake.events, fake.keeps_events = events, True
    for _ in range(2):
        reconcile(club, everything=True)
    club.settle(SETTLED_AT)
    return next(iter(club.held().values()), [])


@pytest.mark.parametrize("renewed", ["since the price was changed", "before nothing"])
def test_what_was_billed_first_is_what_was_signed_up_for(fake: FakeStripe, asked: Club, renewed: str) -> None:
    """Whatever a webhook of a later renewal, which names no price, says of the present."""
    life = Life("renewed", items=[item("si_renewed", "price_silver")])
    life.months(JAN, FEB, MAR)
    life.change_price(f"{MAR} 10:30", "price_gold")
    life.months(MAR, APR)
    life.change(f"{APR} 10:30", latest_invoice="in_renewed_04-15")
    life.months(APR, MAY)
    listed = [event for event in life.events if event["created"] >= stamp("2031-04-01 00:00")]
    held = from_the_beginning(fake, asked, life, listed if renewed.startswith("since") else [])
    assert held == [f"{JAN} Silver", f"{FEB} Silver", f"{MAR} Gold", f"{APR} Gold"]


def test_a_price_of_before_is_found_by_its_product(fake: FakeStripe, asked: Club) -> None:
    """Nobody mapped the old price itself."""
    asked.map("prod_silver", "Silver")
    life = Life("raised", items=[item("si_raised", "price_silver")])
    before = {"price": {"id": "price_of_before", "product": "prod_silver"}}
    for start, end in ((JAN, FEB), (FEB, MAR)):
        dates = f"{start} 10:30", f"{end} 10:30"
        life.bill(start[5:], *dates, lines=[{**life.line(*dates), **before}])
    life.months(MAR, APR, MAY)
    held = from_the_beginning(fake, asked, life, [])
    assert held == [f"{one} Silver" for one in (JAN, FEB, MAR, APR)]


def test_a_change_of_price_long_ago_is_where_its_first_line_is(fake: FakeStripe, asked: Club) -> None:
    """However many came since: only the last lines of a price are noted, and its first one."""
    weeks = [(date(2030, 6, 3) + timedelta(weeks=week)).isoformat() for week in range(42)]
    life = Life("long_ago", f"{weeks[0]} 10:30", items=[item("si_long_ago", "price_gold_week")])
    before = {"price": {"id": "price_silver"}}
    for start, end in pairwise(weeks):
        dates = f"{start} 10:30", f"{end} 10:30"
        life.bill(start, *dates, lines=[life.line(*dates) | (before if start < weeks[2] else {})])
    from_the_beginning(fake, asked, life, [])
    (changed,) = (at for kind, at, *_ in asked.facts() if kind == "membership.type_changed")
    assert changed.date().isoformat() == weeks[2]


def test_a_change_of_price_that_no_line_bills_yet_counts_from_now(fake: FakeStripe, asked: Club) -> None:
    """Its webhook was lost: the running period was paid as it was."""
    life = Life("unbilled", items=[item("si_unbilled", "price_silver")])
    life.months(JAN, FEB, MAR)
    told(fake, asked, life.events, "2031-02-20T12:00:00Z")
    changed = item("si_unbilled", "price_gold", current_period_start=stamp(f"{FEB} 10:30"))
    fake.put({**life.state, "items": {"object": "list", "data": [changed]}})
    ((kind, *_),) = night(asked, "2031-02-26T02:00:00Z")
    assert (kind, asked.held().popitem()[1]) == ("membership.type_changed", [f"{JAN} Silver", f"{FEB} Silver"])
