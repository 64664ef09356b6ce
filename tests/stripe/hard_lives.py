"""Lives that break adapters, each with the credits that SEMANTICS gives."""

import json
from functools import partial
from typing import Any

from tests.stripe import owed
from tests.stripe.lives import START, Life, item, stamp
from tests.stripe.owed import APR, FEB, JAN, MAR, HardLife, Owed, gold, owes

_LIVES: list[Any] = []
tells = partial(owed.tells, into=_LIVES)


@tells("trial moved to a later end")
def _() -> tuple[Any, Owed]:
    life = Life("trial_later", **_trial("2031-01-29 10:30"))
    life.tell("invoice.paid", START, life.invoice("t", START, "paid", [life.line(START, "2031-01-29 10:30", 0)]))
    later = stamp("2031-02-05 10:30")
    life.change("2031-01-25 09:00", trial_end=later, billing_cycle_anchor=later)
    life.change("2031-02-05 10:30", status="active")
    life.months("2031-02-05", "2031-03-05", "2031-04-05", "2031-05-05")
    return life, owes(life, *gold("2031-02-05", "2031-03-05", "2031-04-05"))


def _trial(end: str) -> dict[str, Any]:
    said = {"status": "trialing", "trial_start": stamp(START), "trial_end": stamp(end)}
    return {**said, "billing_cycle_anchor": stamp(end)}


@tells("a trial that is prolonged in its last hours")
def _() -> tuple[Any, Owed]:
    life = Life("trial_last_day", basil=True, **_trial("2031-01-29 10:30"))
    later = stamp("2031-02-05 10:30")
    life.change("2031-01-29 08:00", trial_end=later, billing_cycle_anchor=later)
    life.change("2031-02-05 10:30", status="active")
    life.months("2031-02-05", "2031-03-05", "2031-04-05", "2031-05-05")
    return life, owes(life, *gold("2031-02-05", "2031-03-05", "2031-04-05"))


@tells("trial ended at once, to a yearly price")
def _() -> tuple[Any, Owed]:
    life = Life("trial_now", basil=True, **_trial("2031-01-29 10:30"))
    now = "2031-01-20 14:00"
    said = {"status": "active", "trial_end": stamp(now), "billing_cycle_anchor": stamp(now)}
    life.change_price(now, "price_gold_year", **said)
    life.bill("y", now, "2032-01-20 14:00")
    return life, owes(life, *gold("2031-01-20"))


@tells("a trial that nobody pays after is paused, and resumed later", lasting=False)
def _() -> tuple[Any, Owed]:
    life = Life("trial_paused", **_trial("2031-01-29 10:30"))
    life.change("2031-01-29 10:30", status="paused")
    life.tell("customer.subscription.paused", "2031-01-29 10:30", life.state)
    life.change("2031-02-10 12:00", status="active", billing_cycle_anchor=stamp("2031-02-10 12:00"))
    life.tell("customer.subscription.resumed", "2031-02-10 12:00", life.state)
    life.months("2031-02-10", "2031-03-10", "2031-04-10", "2031-05-10", time="12:00")
    return life, owes(life, *gold("2031-02-10", "2031-03-10", "2031-04-10"))


@tells("pause_collection, its invoice voided, resumed")
def _() -> tuple[Any, Owed]:
    life = Life("pause_void", basil=True)
    life.months(JAN, FEB)
    life.change("2031-02-10 09:00", pause_collection={"behavior": "void", "resumes_at": None})
    life.bill("feb", f"{FEB} 10:30", f"{MAR} 10:30", ("voided", f"{FEB} 11:30"))
    life.change("2031-02-20 09:00", pause_collection=None)
    life.months(MAR, APR, "2031-05-15")
    return life, owes(life, *gold(JAN, MAR, APR))


@tells("pause_collection, its draft paid when it resumes")
def _() -> tuple[Any, Owed]:
    life = Life("pause_draft")
    life.months(JAN, FEB)
    life.change("2031-02-10 09:00", pause_collection={"behavior": "keep_as_draft", "resumes_at": None})
    life.change("2031-02-20 09:00", pause_collection=None)
    line = life.line(f"{FEB} 10:30", f"{MAR} 10:30")
    for kind, at, status in (
        ("created", f"{FEB} 10:30", "draft"),
        ("finalized", "2031-02-20 10:00", "open"),
        ("paid", "2031-02-20 10:01", "paid"),
    ):
        times = {"status_transitions": {"finalized_at": stamp("2031-02-20 10:00"), "paid_at": stamp(at)}}
        times = times if status != "draft" else {}
        life.tell(f"invoice.{kind}", at, life.invoice("feb", f"{FEB} 10:30", status, [line], **times))
    life.months(MAR, APR)
    return life, owes(life, *gold(JAN, FEB, MAR))


@tells("an announced end that only says `at period end`; what is unrelated does not lift it")
def _() -> tuple[Any, Owed]:
    life = Life("ends")
    life.months(JAN, FEB, MAR)
    life.change("2031-02-20 09:00", cancel_at_period_end=True, canceled_at=stamp("2031-02-20 09:00"))
    life.change("2031-02-25 09:00", default_payment_method="pm_other", latest_invoice="in_x")
    life.end(f"{MAR} 10:30")
    return life, owes(life, *gold(JAN, FEB))


@tells("an end at the end of the period, taken back")
def _() -> tuple[Any, Owed]:
    life = Life("stays", basil=True)
    life.months(JAN, FEB, MAR)
    end, asked = stamp(f"{MAR} 10:30"), stamp("2031-02-20 09:00")
    life.change("2031-02-20 09:00", cancel_at=end, cancel_at_period_end=True, canceled_at=asked)
    life.change("2031-02-25 09:00", cancel_at=None, cancel_at_period_end=False, canceled_at=None)
    life.months(MAR, APR, "2031-05-15")
    return life, owes(life, *gold(JAN, FEB, MAR, APR))


@tells("cancelled at once, and all of it refunded")
def _() -> tuple[Any, Owed]:
    life = Life("gone")
    life.months(JAN, FEB, MAR)
    life.end("2031-02-20 09:00")
    life.refunded("02-15", "2031-02-20 09:01", 9000)
    return life, owes(life, *gold(JAN))


@tells("month to year within a month, with proration lines", lasting=False)
def _() -> tuple[Any, Owed]:
    life = Life("to_year")
    life.months(JAN, FEB, MAR)
    now = "2031-02-25 12:00"
    unused = life.line(now, f"{MAR} 10:30", -5000, proration=True)
    life.change_price(now, "price_gold_year", billing_cycle_anchor=stamp(now))
    life.bill("y", now, "2032-02-25 12:00", lines=[unused, life.line(now, "2032-02-25 12:00", 90000)])
    return life, owes(life, *gold(JAN, FEB, "2031-02-25"))


@tells("year to month", lasting=False)
def _() -> tuple[Any, Owed]:
    life = Life("to_month", items=[item("si_to_month", "price_gold_year")], basil=True)
    life.bill("y", START, "2032-01-15 10:30")
    now = "2031-02-10 12:00"
    life.change_price(now, "price_gold", billing_cycle_anchor=stamp(now))
    life.months("2031-02-10", "2031-03-10", "2031-04-10", "2031-05-10", time="12:00")
    return life, owes(life, *gold(JAN, "2031-02-10", "2031-03-10", "2031-04-10"))


@tells("another type's price, `keep`")
def _() -> tuple[Any, Owed]:
    life = Life("keeps", items=[item("si_keeps", "price_silver")])
    life.months(JAN, FEB, MAR)
    now = "2031-02-25 12:00"
    unused = life.line(now, f"{MAR} 10:30", -4000, proration=True)
    life.change_price(now, "price_gold")
    lines = [unused, life.line(now, f"{MAR} 10:30", 6000, proration=True)]
    life.tell("invoice.paid", now, life.invoice("p", now, "paid", lines))
    life.months(MAR, APR)
    return life, owes(life, f"{JAN} Silver", f"{FEB} Silver", f"{MAR} Gold")


@tells("another type's price, `switch`, and back", lasting=False)
def _() -> tuple[Any, Owed]:
    life = Life("switches", items=[item("si_switches", "price_silver")], basil=True)
    life.months(JAN, FEB, MAR)
    life.change_price("2031-02-25 12:00", "price_platinum")
    life.months(MAR, APR)
    life.change_price("2031-04-02 12:00", "price_silver")
    life.months(APR, "2031-05-15")
    return life, owes(life, f"{JAN} Silver", f"{FEB} Platinum", f"{MAR} Platinum", f"{APR} Silver")


@tells("no membership's price at first")
def _() -> tuple[Any, Owed]:
    life = Life("free", items=[item("si_free", "price_free")])
    life.bill("f", START, f"{FEB} 10:30", lines=[life.line(START, f"{FEB} 10:30", 0)])
    life.change_price("2031-02-10 12:00", "price_gold", billing_cycle_anchor=stamp("2031-02-10 12:00"))
    life.months("2031-02-10", "2031-03-10", "2031-04-10", "2031-05-10", time="12:00")
    return life, owes(life, *gold("2031-02-10", "2031-03-10", "2031-04-10"))


@tells("guests by id in metadata: in another order, another name, one replaced", lasting=False)
def _() -> tuple[Any, Owed]:
    def named(*guests: tuple[str, str]) -> dict[str, str]:
        return {"external_user_id": "ada", "guests": json.dumps([{"id": one, "name": name} for one, name in guests])}

    first, again, last = (("g1", "Bea"), ("g2", "Cy")), (("g2", "Cy"), ("g1", "Bea May")), (("g2", "Cy"), ("g3", "Dee"))
    life = Life("party", items=[item("si_party", quantity=3)], metadata=named(*first))
    life.months(JAN, FEB)
    # Of metadata Stripe names what changed.
    before = {"guests": life.state["metadata"]["guests"]}
    life.change("2031-02-10 09:00", previous={"metadata": before}, metadata=named(*again))
    life.months(FEB, MAR)
    before = {"guests": life.state["metadata"]["guests"]}
    life.change("2031-03-01 09:00", previous={"metadata": before}, metadata=named(*last))
    life.months(MAR, APR)
    lead, cy = gold(JAN, FEB, MAR), [f"{one} Cy" for one in gold(JAN, FEB, MAR)]
    return life, owes(life, *lead, *cy, f"{MAR} Gold Dee")


@tells("two items of one type; half of the invoice given back")
def _() -> tuple[Any, Owed]:
    items = [item("si_two_a"), item("si_two_b")]
    life = Life("two", items=items, basil=True)
    for start, end in ((JAN, FEB), (FEB, MAR), (MAR, APR)):
        lines = [life.line(f"{start} 10:30", f"{end} 10:30", item=f"si_two_{which}") for which in "ab"]
        life.bill(start[5:], f"{start} 10:30", f"{end} 10:30", lines=lines)
    life.refund("02-15", "2031-02-20 09:00", 9000)
    return life, {(life.id, f"si_two_{which}"): gold(JAN, FEB, MAR) for which in "ab"}


@tells("an item more, within a month; then it is taken out", lasting=False)
def _() -> tuple[Any, Owed]:
    life = Life("more")
    life.months(JAN, FEB, MAR)
    first = life.state["items"]["data"][0]
    second = item("si_more_b", created=stamp("2031-02-20 09:00"))
    life.change("2031-02-20 09:00", items={"object": "list", "data": [first, second]})
    lines = [life.line(f"{MAR} 10:30", f"{APR} 10:30", item=one) for one in ("si_more", "si_more_b")]
    life.bill("mar", f"{MAR} 10:30", f"{APR} 10:30", lines=lines)
    life.change("2031-04-10 09:00", items={"object": "list", "data": [first]})
    life.months(APR, "2031-05-15")
    owed = owes(life, *gold(JAN, FEB, MAR, APR))
    return life, {**owed, (life.id, "si_more_b"): gold("2031-02-20", MAR)}


@tells("two subscriptions on one invoice")
def _() -> tuple[Any, Owed]:
    lives = tuple(Life(f"joint_{which}", basil=which == "b") for which in "ab")
    first = lives[0]
    for start, end in ((JAN, FEB), (FEB, MAR), (MAR, APR)):
        lines = [
            first.line(f"{start} 10:30", f"{end} 10:30", item=f"si_joint_{which}", subscription=f"sub_joint_{which}")
            for which in "ab"
        ]
        first.bill(start[5:], f"{start} 10:30", f"{end} 10:30", lines=lines)
    first.refunded("02-15", "2031-02-20 09:00", 18000, 18000)
    return lives, {key: gold(JAN, MAR) for life in lives for key in owes(life)}


@tells("both API versions' webhooks for one subscription")
def _() -> tuple[Any, Owed]:
    lives = Life("both"), Life("both", basil=True)
    for life in lives:
        life.months(JAN, FEB)
        life.bill(
            "feb", f"{FEB} 10:30", f"{MAR} 10:30", ("payment_failed", f"{FEB} 11:30"), ("paid", "2031-02-18 11:30")
        )
        life.change(f"{FEB} 11:30", status="past_due")
        life.change("2031-02-18 11:30", status="active")
        life.months(MAR, APR)
    for event in lives[1].events:
        event["id"] += "_basil"
    return lives, owes(lives[0], *gold(JAN, FEB, MAR))


@tells("billed at 22:30 UTC: another date in summer, and a schedule's upgrade then")
def _() -> tuple[Any, Owed]:
    life = Life("late", f"{JAN} 22:30", items=[item("si_late", "price_silver")])
    life.tell(
        "subscription_schedule.created", f"{JAN} 22:30", {"id": "sub_sched_late", "object": "subscription_schedule"}
    )
    life.months(JAN, FEB, MAR, APR, time="22:30")
    life.change_price(f"{APR} 22:30", "price_gold")
    life.months(APR, "2031-05-15", time="22:30")
    return life, owes(life, f"{JAN} Silver", f"{FEB} Silver", f"{MAR} Silver", f"{APR} Gold")


@tells("billed at 22:30 UTC since last summer: another date in winter")
def _() -> tuple[Any, Owed]:
    life = Life("summer", "2030-07-10 22:30", basil=True)
    life.months(*(f"2030-{month:02d}-10" for month in range(7, 13)), "2031-01-10", time="22:30")
    life.months(*(f"2031-{month:02d}-10" for month in range(1, 6)), time="22:30")
    # The rule was made on 1 January, and January's turn was scheduled before that.
    return life, owes(life, *gold("2031-02-11", "2031-03-11", "2031-04-11"))


@tells("weekly, at 22:30 UTC, over the change to summer time")
def _() -> tuple[Any, Owed]:
    life = Life("weekly", "2031-03-18 22:30", items=[item("si_weekly", "price_gold_week")])
    life.months("2031-03-18", "2031-03-25", "2031-04-01", "2031-04-08", "2031-04-15", "2031-04-22", time="22:30")
    return life, owes(life, *gold("2031-03-18", "2031-03-25", "2031-04-01", "2031-04-08", "2031-04-15"))


@tells("the anchor reset a day after a renewal, at the same hour", lasting=False)
def _() -> tuple[Any, Owed]:
    life = Life("reset")
    life.months(JAN, FEB, MAR)
    life.change("2031-02-16 10:30", billing_cycle_anchor=stamp("2031-02-16 10:30"))
    life.months("2031-02-16", "2031-03-16", "2031-04-16", "2031-05-16")
    return life, owes(life, *gold(JAN, FEB, "2031-02-16", "2031-03-16", "2031-04-16"))


@tells("a dispute that is open: the month is lost, the next is held")
def _() -> tuple[Any, Owed]:
    life = Life("disputed", basil=True)
    life.months(JAN, FEB, MAR, APR)
    life.dispute("02-15", "2031-02-20 09:00", "needs_response")
    life.dispute("02-15", "2031-02-20 09:01", "needs_response", kind="funds_withdrawn")
    life.change("2031-02-21 09:00", default_payment_method="pm_other")
    life.dispute("02-15", "2031-03-20 09:00", "under_review", kind="updated", previous={"status": "needs_response"})
    return life, owes(life, *gold(JAN))


@tells("an inquiry that becomes a dispute, which is lost")
def _() -> tuple[Any, Owed]:
    life = Life("inquiry")
    life.months(JAN, FEB, MAR, APR)
    life.dispute("02-15", "2031-02-20 09:00", "warning_needs_response")
    life.dispute("02-15", "2031-03-01 09:00", "needs_response", "updated", {"status": "warning_needs_response"})
    life.dispute("02-15", "2031-03-10 09:00", "lost", "closed")
    return life, owes(life, *gold(JAN, MAR))


@tells("given back in parts by refunds of their own, told twice over")
def _() -> tuple[Any, Owed]:
    life = Life("parts", basil=True)
    life.months(JAN, FEB, MAR, APR)
    life.refund("02-15", "2031-02-20 09:00", 3000)
    life.refunded("02-15", "2031-02-20 09:00", 3000)
    life.refund("02-15", "2031-02-21 09:00", 6000)
    life.refunded("02-15", "2031-02-21 09:00", 9000)
    life.refund("03-15", "2031-03-20 09:00", 4000)
    return life, owes(life, *gold(JAN, MAR))


@tells("a refund that fails gives nothing back")
def _() -> tuple[Any, Owed]:
    life = Life("failed_refund", basil=True)
    life.months(JAN, FEB, MAR, APR)
    life.refund("02-15", "2031-02-20 09:00", 9000, "pending")
    life.refund("02-15", "2031-02-23 09:00", 9000, "failed", "refund.failed")
    return life, owes(life, *gold(JAN, FEB, MAR))


@tells("uncollectible, then paid all the same; the next one voided")
def _() -> tuple[Any, Owed]:
    life = Life("late_money")
    life.months(JAN, FEB)
    failed = (
        ("payment_failed", f"{FEB} 11:30"),
        ("marked_uncollectible", "2031-03-02 11:30"),
        ("paid", "2031-03-10 11:30"),
    )
    life.bill("feb", f"{FEB} 10:30", f"{MAR} 10:30", *failed)
    life.bill("mar", f"{MAR} 10:30", f"{APR} 10:30", ("payment_failed", f"{MAR} 11:30"), ("voided", "2031-03-20 09:00"))
    life.months(APR, "2031-05-15")
    return life, owes(life, *gold(JAN, FEB, APR))


@tells("incomplete until the bank has asked")
def _() -> tuple[Any, Owed]:
    life = Life("asked", basil=True, status="incomplete")
    actions = ("payment_failed", f"{JAN} 10:31"), ("payment_action_required", f"{JAN} 10:31"), ("paid", f"{JAN} 10:40")
    life.bill("01-15", START, f"{FEB} 10:30", *actions)
    life.change(f"{JAN} 10:40", status="active")
    life.months(FEB, MAR, APR)
    return life, owes(life, *gold(JAN, FEB, MAR))


def hard_lives() -> list[HardLife]:
    """All of them."""
    return [told() for told in _LIVES]
