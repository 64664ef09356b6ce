"""Reconciling with Stripe: what webhooks lost is found, over HTTP, against a fake that knows what happened."""

import random
from collections import Counter
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from issuance.billers import deliveries, reconciling
from issuance.database.connections import transaction
from issuance.engine import plans
from issuance.errors import PlanForgotten
from tests.database.stripe_asked import ask, reconcile, worked
from tests.database.stripes import Club, new_club
from tests.database.test_stripe_sequences import EVENTS, LIVES, SEQUENCES, SETTLED_AT, named, owed_of, plugged_in
from tests.stripe.fake import KEY, FakeStripe
from tests.stripe.lives import Life, item, stamp
from tests.stripe.owed import MAP

#: What came and went between two looks is not in Stripe any more.
LASTING = named(owed_of([life for life in LIVES if life.lasting]))
PASSING = owed_of([life for life in LIVES if not life.lasting]).keys()


def came(club: Club) -> dict[str, list[str]]:
    """What came of the lives that last."""
    club.settle(SETTLED_AT)
    return named({of: held for of, held in club.held().items() if of not in PASSING})


@pytest.mark.parametrize("seed", range(6))
def test_what_webhooks_lost_is_found(fake: FakeStripe, asked: Club, seed: int) -> None:
    """A fifth of the deliveries is lost, the others come in any order: the credits are those of all, but for what came
    and went between two looks, of which Stripe knows nothing any more."""
    chance = random.Random(seed)
    fake.happen(EVENTS)
    kept = [event for event in EVENTS if chance.random() >= 0.2]
    chance.shuffle(kept)
    asked.deliver(kept)
    asked.translate()
    ask(asked)
    assert reconcile(asked)["state"] == "finished"
    assert came(asked) == LASTING
    told = len(asked.facts())
    assert reconcile(asked)["state"] == "finished"
    assert len(asked.facts()) == told, "a second time there is nothing to tell"


def test_where_no_webhook_was_lost_reconciling_changes_no_credit(fake: FakeStripe, asked: Club) -> None:
    """Nor where things came and went between two looks."""
    fake.happen(EVENTS)
    asked.deliver(EVENTS)
    asked.translate()
    ask(asked)
    assert reconcile(asked)["state"] == "finished"
    asked.settle(SETTLED_AT)
    assert named(asked.held()) == named(owed_of(LIVES))


def test_a_sandbox_clock_may_be_behind_what_stripe_says(fake: FakeStripe, engine: Engine) -> None:
    """Its memberships are reconciled on 1 January, and have their credits when it is moved to April."""
    chance, club = random.Random(0), plugged_in(engine, KEY)
    fake.happen(EVENTS)
    club.deliver(event for event in EVENTS if chance.random() >= 0.2)
    club.translate()
    ask(club)
    assert reconcile(club)["state"] == "finished"
    assert came(club) == LASTING


def test_what_stripe_still_tells_is_found_to_the_second(fake: FakeStripe, asked: Club) -> None:
    """Its events are listed for 30 days: what came and went is found too."""
    fake.keeps_events = True
    fake.happen(EVENTS)
    asked.deliver(EVENTS[::3])
    asked.translate()
    ask(asked)
    assert reconcile(asked)["state"] == "finished"
    asked.settle(SETTLED_AT)
    assert named(asked.held()) == named(owed_of(LIVES))


def test_all_of_it_from_the_beginning(fake: FakeStripe, asked: Club) -> None:
    """No webhook at all: whatever was asked for, a dry run says first who would get what, and tells nothing; once it is
    approved it comes."""
    fake.happen(EVENTS)
    planned = reconcile(asked, everything=True)
    assert (planned["state"], planned["dry_run"], planned["kind"]) == ("finished", True, "reconcile")
    assert asked.facts() == []
    with transaction(asked.engine, asked.brand_id) as connection:
        rows, total = plans.page(connection, asked.brand_id, planned["id"], 1, 1000)
    would = Counter((row["source_ref"], row["period_start"], row["guest"]["lead_booker"]) for row in rows)
    assert (len(rows), {row["reason"] for row in rows}) == (total, {"issued"})
    done = worked(asked, approved(asked, planned["id"]))
    assert (done["state"], done["done"], done["plan_id"]) == ("finished", done["total"], planned["id"])
    assert approved(asked, planned["id"]) == done["id"]
    assert done["done"] > len(LIVES)
    assert came(asked) == LASTING
    held = named(asked.held())
    assert planned["counts"]["issued"] == total == sum(map(len, held.values()))
    assert would == Counter((ref, one[:10], one.count(" ") == 1) for ref, credits_ in held.items() for one in credits_)


def approved(club: Club, run_id: UUID) -> UUID:
    with transaction(club.engine, club.brand_id) as connection:
        return reconciling.approve(connection, club.brand_id, run_id, None).run_id


def test_a_plan_that_is_kept_no_longer_is_not_approved(fake: FakeStripe, asked: Club) -> None:
    """As any other: nobody could say what was agreed to."""
    fake.happen(EVENTS)
    planned = reconcile(asked, everything=True)
    with transaction(asked.engine, asked.brand_id) as connection:
        connection.execute(text("UPDATE run_batches SET plan = NULL"))
    with pytest.raises(PlanForgotten):
        approved(asked, planned["id"])


def test_all_of_it_is_done_when_it_is_said_again(fake: FakeStripe, asked: Club) -> None:
    """Soon after its dry run, and once."""
    fake.happen(SEQUENCES[0]["stripe_events"])
    assert [reconcile(asked, everything=True)["dry_run"] for _ in range(3)] == [True, False, True]
    with transaction(asked.engine, asked.brand_id) as connection:
        connection.execute(text("UPDATE runs SET finished_at = finished_at - interval '61 minutes' WHERE dry_run"))
    assert reconcile(asked, everything=True)["dry_run"]


def test_live_mode_is_not_reconciled_into_a_sandbox(fake: FakeStripe, asked: Club) -> None:
    fake.happen(SEQUENCES[0]["stripe_events"])
    fake.put({**SEQUENCES[0]["stripe_events"][0]["data"]["object"], "livemode": True})
    for dry_run in (True, False):
        ended = reconcile(asked, since=datetime(2031, 1, 1, tzinfo=UTC), dry_run=dry_run)
        assert (ended["state"], "the brand is a sandbox" in ended["error"]) == ("cancelled", True)
    assert asked.facts() == []


def test_a_dry_run_names_what_nobody_mapped(fake: FakeStripe, engine: Engine) -> None:
    club = new_club(engine, api_key=KEY, clock=SETTLED_AT)
    fake.happen(EVENTS)
    assert reconcile(club, everything=True, dry_run=True)["result"]["unmapped"] == sorted(MAP)


def test_what_can_not_be_told_is_kept_shown_and_told_once_it_is_mapped(fake: FakeStripe, engine: Engine) -> None:
    """Each by its own reason, from the dry run on; with the map it comes by itself, by a run that is started for it."""
    club = new_club(engine, rule={"issue_on_signup": True, "roll_over": True}, api_key=KEY)
    club.settle(SETTLED_AT)
    club.map("price_gold_day")
    monthly, daily = Life("monthly"), Life("daily", items=[item("si_daily", "price_gold_day")])
    monthly.months("2031-01-15", "2031-02-15", "2031-03-15")
    fake.happen([*monthly.events, *daily.events])
    planned = reconcile(club, everything=True)
    assert [(one["code"], one["key"], one["objects"]) for one in planned["result"]["untold"]] == [
        ("unmapped_price", "price_gold", 3),
        ("no_frequency", "price_gold_day", 1),
    ]
    assert planned["result"]["unmapped"] == ["price_gold"]
    assert "every 1 day(s)" in planned["result"]["untold"][1]["message"]
    assert untranslated(club) == [], "a dry run writes nothing"
    done = reconcile(club, everything=True)
    assert done["counts"] == {"no_frequency": 1, "unmapped_price": 3}
    kept = [("no_frequency", "price_gold_day"), ("unmapped_price", "price_gold")]
    assert untranslated(club) == kept
    club.map("price_silver")
    club.translate()
    assert [started["counts"] for started in work_on_started(club)] == [done["counts"]]
    assert untranslated(club) == kept, "another price has not mended it"
    club.map("price_gold")
    club.translate()
    (mended,) = work_on_started(club)
    assert mended["counts"] == {"charge.succeeded": 2, "membership.signed_up": 1, "no_frequency": 1}
    assert untranslated(club) == kept[:1]
    club.settle(SETTLED_AT)
    assert club.credits("sub_monthly", "si_monthly") == ["2031-01-15", "2031-02-15"]


def untranslated(club: Club) -> list[tuple[Any, ...]]:
    with transaction(club.engine, club.brand_id) as connection:
        counted = deliveries.counts(connection, club.brand_id, [club.biller_id])
    return sorted((row["code"], row["price"]) for row in counted)


def work_on_started(club: Club) -> list[dict[str, Any]]:
    """The runs that nobody has worked on yet, worked on."""
    with transaction(club.engine) as connection:
        started = [
            run_id for brand_id, _, run_id in reconciling.stalled(connection, most=9) if brand_id == club.brand_id
        ]
    return [worked(club, run_id) for run_id in started]


def test_what_is_older_than_the_cursor_and_was_never_heard_of_is_left_alone(fake: FakeStripe, asked: Club) -> None:
    """Years of credits must not come by surprise: that is for `--all`, after a dry run."""
    fake.happen(SEQUENCES[0]["stripe_events"])
    with transaction(asked.engine, asked.brand_id) as connection:
        connection.execute(text("UPDATE billers SET reconciled_at = '2031-03-01T00:00:00Z'"))
    assert reconcile(asked)["state"] == "finished"
    assert asked.facts() == []


def test_a_subscription_of_long_ago_that_was_paused_yesterday(fake: FakeStripe, asked: Club) -> None:
    events = SEQUENCES[0]["stripe_events"]
    fake.happen(events)
    asked.deliver(events)
    asked.translate()
    ask(asked)
    with transaction(asked.engine, asked.brand_id) as connection:
        connection.execute(text("UPDATE billers SET reconciled_at = '2031-04-19T00:00:00Z'"))
    fake.put({**events[0]["data"]["object"], "pause_collection": {"behavior": "void", "resumes_at": None}})
    before = len(asked.facts())
    reconcile(asked)
    (fact,) = asked.facts()[before:]
    assert (fact[0], fact[3]) == ("membership.status_changed", {"status": "paused", "ends_on": None})


LOST = "2031-01-24 09:00"


def taken_back(name: str, then: str) -> tuple[Life, dict[str, Any]]:
    """One whose end, in February, is taken back, and goes on; the webhook that is lost, and what comes `then`."""
    life = Life(name)
    life.bill("01-15", "2031-01-15 10:30", "2031-02-15 10:30")
    ends = stamp("2031-02-15 10:30")
    life.change("2031-01-20 09:00", cancel_at_period_end=True, cancel_at=ends, canceled_at=stamp("2031-01-20 09:00"))
    life.change(LOST, cancel_at_period_end=False, cancel_at=None, canceled_at=None)
    lost = life.events[-1]
    life.months("2031-02-15", "2031-03-15", "2031-04-15")
    if then == "trouble":
        life.change("2031-04-15 10:31", status="past_due")
    elif then == "deleted":
        life.end("2031-04-10 09:00")
    return life, lost


@pytest.mark.parametrize("then", ["nothing", "trouble", "deleted"])
@pytest.mark.parametrize("also_lost", [False, True])
def test_an_end_that_came_and_that_it_went_on_after_was_taken_back_before(
    fake: FakeStripe, asked: Club, then: str, also_lost: bool
) -> None:
    """What has ended at Stripe never goes on: whoever paid February and March has them, whatever was told later."""
    life, lost = taken_back(f"back_{then}", then)
    fake.happen(life.events)
    asked.deliver(life.events[:5] if also_lost else [event for event in life.events if event is not lost])
    asked.translate()
    ask(asked)
    asked.settle(SETTLED_AT)
    assert asked.credits(life.id, f"si_{life.name}") == ["2031-01-15"]
    for _ in range(2):
        reconcile(asked, since=datetime(2031, 1, 1, tzinfo=UTC))
        told = len(asked.facts())
    asked.settle(SETTLED_AT)
    assert asked.credits(life.id, f"si_{life.name}") == ["2031-01-15", "2031-02-15", "2031-03-15"]
    reconcile(asked, since=datetime(2031, 1, 1, tzinfo=UTC))
    assert len(asked.facts()) == told, "once is enough"


def test_an_end_that_was_moved_after_it_was_taken_back_is_the_one_that_counts(fake: FakeStripe, asked: Club) -> None:
    """It ends in March, not in February; an end that has just come, and that Stripe has not come to, is left alone."""
    life, lost = taken_back("moved_end", "nothing")
    ends = stamp("2031-03-15 10:30")
    life.change("2031-03-01 09:00", cancel_at_period_end=True, cancel_at=ends, canceled_at=stamp("2031-03-01 09:00"))
    fake.happen(life.events)
    asked.deliver(event for event in life.events[:-1] if event is not lost and event["created"] < ends)
    asked.translate()
    ask(asked)
    asked.settle("2031-03-15T03:00:00+01:00")
    for _ in range(2):
        reconcile(asked, since=datetime(2031, 1, 1, tzinfo=UTC))
    ended = [fact[3].get("ends_on") for fact in asked.facts() if fact[0] == "membership.status_changed"]
    assert ended == ["2031-02-15", None, "2031-03-15"]


@pytest.mark.parametrize("from_the_beginning", [False, True])
@pytest.mark.parametrize("pays", [False, True])
def test_a_trial_after_which_nobody_pays_is_paused_from_the_start_on(
    fake: FakeStripe, asked: Club, from_the_beginning: bool, pays: bool
) -> None:
    """As it is by webhook: nobody has a free credit. Who has paid first, and is paused later, keeps what they paid."""
    trial: dict[str, Any] = {
        "status": "trialing",
        "trial_start": stamp("2031-01-15 10:30"),
        "trial_end": stamp("2031-01-29 10:30"),
    }
    life = Life("trial", **trial, billing_cycle_anchor=stamp("2031-01-29 10:30"))
    life.bill(
        "trial", "2031-01-15 10:30", "2031-01-29 10:30", lines=[life.line("2031-01-15 10:30", "2031-01-29 10:30", 0)]
    )
    if pays:
        life.change("2031-01-29 10:31", status="active")
        life.months("2031-01-29", "2031-02-28", "2031-03-29")
    life.change("2031-03-30 10:30" if pays else "2031-01-29 10:30", status="paused")
    fake.happen(life.events)
    if from_the_beginning:
        reconcile(asked, everything=True)
        reconcile(asked, everything=True)
    else:
        asked.deliver(life.events[:-1])
        asked.translate()
        ask(asked)
        asked.settle("2031-04-05T00:00:00+00:00")
        reconcile(asked, since=datetime(2031, 1, 1, tzinfo=UTC))
    asked.settle(SETTLED_AT)
    assert asked.credits(life.id, "si_trial") == (["2031-01-29", "2031-02-28"] if pays else [])
