"""More lives (`hard_lives`), each with its credits worked out by hand: what is rare, and what two things at once do."""

from functools import partial
from typing import Any

from tests.stripe import owed
from tests.stripe.lives import START, Life, item, stamp
from tests.stripe.owed import APR, FEB, JAN, MAR, HardLife, Owed, gold, owes

_LIVES: list[Any] = []
tells = partial(owed.tells, into=_LIVES)
MAY = "2031-05-15"


@tells("unpaid for a month, then all of it is paid")
def _() -> tuple[Any, Owed]:
    """March's draft is finalized and paid on the day on which February's is: both are given then."""
    life = Life("unpaid")
    life.months(JAN, FEB)
    life.bill("feb", f"{FEB} 10:30", f"{MAR} 10:30", ("payment_failed", f"{FEB} 11:30"), ("paid", "2031-03-20 09:00"))
    life.change(f"{FEB} 11:30", status="past_due")
    life.change("2031-03-01 11:30", status="unpaid")
    line = life.line(f"{MAR} 10:30", f"{APR} 10:30")
    life.tell("invoice.created", f"{MAR} 10:30", life.invoice("mar", f"{MAR} 10:30", "draft", [line]))
    life.change("2031-03-20 09:00", status="active")
    for kind, status, at in (("finalized", "open", "2031-03-20 10:00"), ("paid", "paid", "2031-03-20 10:01")):
        times = {"finalized_at": stamp("2031-03-20 10:00"), "paid_at": stamp("2031-03-20 10:01")}
        body = life.invoice("mar", f"{MAR} 10:30", status, [line], status_transitions=times)
        life.tell(f"invoice.{kind}", at, body)
    life.months(APR, MAY)
    return life, owes(life, *gold(JAN, FEB, MAR, APR))


@tells("a first payment that is never made; a second subscription of that customer")
def _() -> tuple[Any, Owed]:
    first = Life("twice_a", status="incomplete", customer="cus_twice", basil=True)
    failed = ("payment_failed", f"{JAN} 10:31"), ("payment_action_required", f"{JAN} 10:31")
    first.bill("01-15", START, f"{FEB} 10:30", *failed)
    first.change("2031-01-16 10:30", status="incomplete_expired")
    first.tell(
        "invoice.voided",
        "2031-01-16 10:30",
        first.invoice("01-15", START, "void", [first.line(START, f"{FEB} 10:30")]),
    )
    again = Life("twice_b", "2031-01-20 10:30", customer="cus_twice", basil=True)
    again.months("2031-01-20", "2031-02-20", "2031-03-20", "2031-04-20")
    return (first, again), {**owes(first), **owes(again, *gold("2031-01-20", "2031-02-20", "2031-03-20"))}


@tells("two subscriptions of one customer: one ends, and its last month's money comes back")
def _() -> tuple[Any, Owed]:
    gone, stays = (
        Life(f"pair_{which}", items=[item(f"si_pair_{which}", price)], customer="cus_pair")
        for which, price in (("a", "price_silver"), ("b", "price_gold"))
    )
    for life in (gone, stays):
        life.months(JAN, FEB, MAR)
    gone.end("2031-02-20 09:00")
    gone.refunded("02-15", "2031-02-20 09:05", 9000)
    stays.months(MAR, APR, MAY)
    return (gone, stays), {**owes(gone, f"{JAN} Silver"), **owes(stays, *gold(JAN, FEB, MAR, APR))}


@tells("an invoice that is sent is paid late, by other means; the next one is not")
def _() -> tuple[Any, Owed]:
    """Nobody initiates it: February is given when it is paid, March is not."""
    life = Life("sent", collection_method="send_invoice")
    life.months(JAN, FEB, collection_method="send_invoice")
    sent = {"collection_method": "send_invoice", "charge": None, "payment_intent": None}
    lines = [life.line(f"{FEB} 10:30", f"{MAR} 10:30")]
    life.bill("feb", f"{FEB} 10:30", f"{MAR} 10:30", ("sent", f"{FEB} 10:31"), lines=lines, **sent)
    paid = life.invoice("feb", f"{FEB} 10:30", "paid", lines, paid_out_of_band=True, **sent)
    life.tell("invoice.paid", "2031-03-01 09:00", paid)
    life.bill("mar", f"{MAR} 10:30", f"{APR} 10:30", ("sent", f"{MAR} 10:31"), **sent)
    return life, owes(life, *gold(JAN, FEB))


@tells("a coupon pays all of two months; then the card fails")
def _() -> tuple[Any, Owed]:
    """An invoice of nothing pays, though its line has a price."""
    life = Life("coupon", basil=True)
    for start, end in ((JAN, FEB), (FEB, MAR)):
        at, line = f"{start} 10:30", life.line(f"{start} 10:30", f"{end} 10:30")
        free = {"amount_due": 0, "attempted": True, "total": 0}
        for kind, status in (("finalized", "paid"), ("paid", "paid"), ("payment_succeeded", "paid")):
            life.tell(f"invoice.{kind}", at, life.invoice(start[5:], at, status, [line], **free))
    tried = {"attempted": True, "attempt_count": 1, "next_payment_attempt": stamp("2031-03-18 11:30")}
    life.bill("mar", f"{MAR} 10:30", f"{APR} 10:30", ("payment_failed", f"{MAR} 11:30"), **tried)
    life.change(f"{MAR} 11:30", status="past_due")
    return life, owes(life, *gold(JAN, FEB))


@tells("a fee and two tiers on one invoice")
def _() -> tuple[Any, Owed]:
    """What was sold beside the subscription needs no map, and two lines of an item are one charge."""
    for_fee = {"amount": 2500, "period": {"start": stamp(f"{FEB} 10:30"), "end": stamp(f"{FEB} 10:30")}}
    lives = Life("fee_a"), Life("fee_b", basil=True)
    parent = {"type": "invoice_item_details", "invoice_item_details": {"invoice_item": "ii_1", "proration": False}}
    pricing = {"type": "price_details", "price_details": {"price": "price_of_a_fee"}}
    fees = (
        {**for_fee, "type": "invoiceitem", "proration": False, "price": {"id": "price_of_a_fee"}, "subscription": None},
        {**for_fee, "parent": parent, "pricing": pricing},
    )
    for life, fee in zip(lives, fees, strict=True):
        life.months(JAN, FEB)
        tiers = [life.line(f"{FEB} 10:30", f"{MAR} 10:30", amount) for amount in (5000, 4000)]
        life.bill("02-15", f"{FEB} 10:30", f"{MAR} 10:30", lines=[fee, *tiers])
        life.refunded("02-15", "2031-02-20 09:00", 2500, 11500)
        life.months(MAR, APR)
    return lives, {key: gold(JAN, FEB, MAR) for life in lives for key in owes(life)}


@tells("given back in full, and disputed all the same: the dispute is won")
def _() -> tuple[Any, Owed]:
    """It gives no refund back, whichever is heard of first."""
    life = Life("refund_won", basil=True)
    life.months(JAN, FEB, MAR, APR)
    life.refund("02-15", "2031-02-20 09:00", 9000)
    life.refunded("02-15", "2031-02-20 09:00", 9000)
    life.dispute("02-15", "2031-02-22 09:00", "needs_response")
    life.dispute("02-15", "2031-03-10 09:00", "won", "closed")
    return life, owes(life, *gold(JAN, MAR))


@tells("given back in part, and disputed: one dispute is won, one is lost")
def _() -> tuple[Any, Owed]:
    life = Life("part_disputed")
    life.months(JAN, FEB, MAR, APR)
    for start, outcome in ((FEB, "won"), (MAR, "lost")):
        name, month = start[5:], start[:7]
        life.refunded(name, f"{month}-20 09:00", 3000)
        life.dispute(name, f"{month}-22 09:00", "needs_response")
        life.dispute(name, f"{month}-22 09:01", "needs_response", "funds_withdrawn")
        life.dispute(name, f"{month}-26 09:00", outcome, "closed")
        if outcome == "won":
            life.dispute(name, f"{month}-26 09:01", outcome, "funds_reinstated")
    life.months(APR, MAY)
    return life, owes(life, *gold(JAN, FEB, APR))


@tells("a refund fails after another one was made")
def _() -> tuple[Any, Owed]:
    life = Life("second_refund", basil=True)
    life.months(JAN, FEB, MAR, APR)
    life.refund("02-15", "2031-02-20 09:00", 9000, "pending")
    life.refund("02-15", "2031-02-21 09:00", 8999, "pending")
    life.refund("02-15", "2031-02-23 09:00", 9000, "failed", "refund.failed")
    life.refund("02-15", "2031-02-24 09:00", 1)
    return life, owes(life, *gold(JAN, MAR))


@tells("an inquiry that takes the money without a word of its own")
def _() -> tuple[Any, Owed]:
    """The money being withdrawn says that it is a dispute."""
    life = Life("withdrawn")
    life.months(JAN, FEB, MAR, APR)
    life.dispute("02-15", "2031-02-20 09:00", "warning_needs_response")
    life.dispute("02-15", "2031-02-25 09:00", "needs_response", "funds_withdrawn")
    life.dispute("02-15", "2031-03-01 09:00", "won", "closed")
    return life, owes(life, *gold(JAN, FEB, MAR))


@tells("an upgrade whose prorations are billed at once and fail", lasting=False)
def _() -> tuple[Any, Owed]:
    """Prorations pay for no period and are no charge: only the status says that there is trouble, and until when."""
    life = Life("upgrade_fails", items=[item("si_upgrade_fails", "price_silver")])
    life.months(JAN, FEB, MAR)
    now = "2031-02-20 12:00"
    life.change_price(now, "price_platinum", status="past_due")
    lines = [
        life.line(now, f"{MAR} 10:30", amount, proration=True, price=price)
        for amount, price in ((-4000, "price_silver"), (6000, "price_platinum"))
    ]
    life.bill("p", now, f"{MAR} 10:30", ("payment_failed", now), ("paid", "2031-02-22 12:00"), lines=lines)
    life.change("2031-02-22 12:00", status="active")
    life.months(MAR, APR)
    return life, owes(life, f"{JAN} Silver", f"{FEB} Platinum", f"{MAR} Platinum")


@tells("an old version names plan and quantity at the top only", lasting=False)
def _() -> tuple[Any, Owed]:
    life = Life("old", items=[item("si_old", "price_silver")])
    life.months(JAN, FEB)
    was = {"plan": {"id": "price_silver", "interval": "month", "interval_count": 1}, "quantity": 1}
    items = {"object": "list", "data": [item("si_old", "price_gold", quantity=2)]}
    life.change("2031-02-10 09:00", previous=was, items=items, quantity=2, plan={"id": "price_gold"})
    life.months(FEB, MAR, APR)
    others = [f"{start} Gold Guest 2" for start in (FEB, MAR)]
    return life, owes(life, f"{JAN} Silver", *gold(FEB, MAR), *others)


@tells("cancelled an hour after the renewal was paid")
def _() -> tuple[Any, Owed]:
    """It ended later than the month began, which it keeps."""
    life = Life("kept", basil=True)
    life.months(JAN, FEB, MAR)
    life.end(f"{FEB} 12:30")
    return life, owes(life, *gold(JAN, FEB))


@tells("voided, and billed again under another number")
def _() -> tuple[Any, Owed]:
    life = Life("rebilled")
    life.months(JAN, FEB)
    life.bill("feb", f"{FEB} 10:30", f"{MAR} 10:30", ("payment_failed", f"{FEB} 11:30"), ("voided", "2031-02-17 09:00"))
    at = "2031-02-17 09:30"
    body = life.invoice("again", at, "paid", [life.line(f"{FEB} 10:30", f"{MAR} 10:30")], billing_reason="manual")
    life.tell("invoice.paid", at, body)
    life.months(MAR, APR)
    return life, owes(life, *gold(JAN, FEB, MAR))


@tells("a trial that is ended by the end of the membership")
def _() -> tuple[Any, Owed]:
    end = "2031-01-29 10:30"
    trial: dict[str, Any] = {"status": "trialing", "trial_start": stamp(START), "trial_end": stamp(end)}
    life = Life("trial_ends", **trial, billing_cycle_anchor=stamp(end))
    life.tell("invoice.paid", START, life.invoice("t", START, "paid", [life.line(START, end, 0)], charge=None))
    life.change(
        "2031-01-20 09:00", cancel_at=stamp(end), cancel_at_period_end=True, canceled_at=stamp("2031-01-20 09:00")
    )
    life.end(end)
    return life, owes(life)


@tells("on a test clock: webhooks have real time, the facts have the clock's", lasting=False)
def _() -> tuple[Any, Owed]:
    """All of it in a few minutes of 2030. Refunds and disputes have no clock: they come after what was paid."""
    life = Life("clocked", test_clock="clock_1", basil=True)
    life.months(JAN, FEB, MAR, APR, test_clock="clock_1")
    life.dispute("02-15", "2031-02-20 09:00", "needs_response")
    life.dispute("02-15", "2031-02-21 09:00", "won", "closed")
    life.refund("03-15", "2031-03-16 09:00", 9000)
    ended = {"cancel_at_period_end": False, "canceled_at": stamp("2031-04-10 09:00")}
    life.state |= ended
    life.end("2031-04-10 09:00")
    began = stamp("2030-12-30 10:00")
    for number, event in enumerate(life.events):
        event["created"] = began + number
        body = event["data"]["object"]
        if body["object"] == "invoice":
            made = body["created"]
            body["status_transitions"] = {"finalized_at": made + 3600, "paid_at": made + 3600}
        elif body["object"] == "refund":
            body["created"] = event["created"]
    return life, owes(life, *gold(JAN, FEB))


def rare_lives() -> list[HardLife]:
    """All of them."""
    return [told() for told in _LIVES]
