"""More lives (`hard_lives`): free time that is given, prolonged and cut short, and what stands through a change."""

from functools import partial
from typing import Any

from tests.stripe import owed
from tests.stripe.lives import START, Life, item, stamp
from tests.stripe.owed import APR, FEB, JAN, MAR, HardLife, Owed, gold, owes

_LIVES: list[Any] = []
tells = partial(owed.tells, into=_LIVES)
MAY = "2031-05-15"


def _give(life: Life, at: str, end: str, name: str = "free") -> None:
    """A running subscription is given free time, with its invoice of nothing."""
    life.change(at, **life.trial(at, end), billing_cycle_anchor=stamp(end))
    life.bill(name, at, end, ("paid", at), lines=[life.line(at, end, 0)])


def _given(name: str) -> Life:
    """A member since January is given free time from the renewal to 28 February."""
    life = Life(name)
    life.months(JAN, FEB)
    _give(life, f"{FEB} 08:00", "2031-02-28 10:30")
    return life


def _with_trial(name: str, end: str, **more: Any) -> Life:
    life = Life(name, status="trialing", trial_start=stamp(START), trial_end=stamp(end), **more)
    life.state["billing_cycle_anchor"] = life.events[0]["data"]["object"]["billing_cycle_anchor"] = stamp(end)
    life.tell("invoice.paid", START, life.invoice("t", START, "paid", [life.line(START, end, 0)]))
    return life


@tells("free time is given to a member")
def _() -> tuple[Any, Owed]:
    """It is no period: nothing is given for it, whichever of its webhooks comes first."""
    life = _given("given")
    life.change("2031-02-28 10:30", status="active")
    life.months("2031-02-28", "2031-03-28", "2031-04-28")
    return life, owes(life, *gold(JAN, "2031-02-28", "2031-03-28"))


@tells("free time that was given is prolonged")
def _() -> tuple[Any, Owed]:
    life = _given("prolonged")
    later = "2031-03-10 10:30"
    life.change("2031-02-25 09:00", trial_end=stamp(later), billing_cycle_anchor=stamp(later))
    life.change(later, status="active")
    life.months("2031-03-10", "2031-04-10", "2031-05-10")
    return life, owes(life, *gold(JAN, "2031-03-10", "2031-04-10"))


@tells("free time that was given is ended early")
def _() -> tuple[Any, Owed]:
    life = _given("shortened")
    now = "2031-02-20 10:30"
    life.change(now, status="active", trial_end=stamp(now), billing_cycle_anchor=stamp(now))
    life.months("2031-02-20", "2031-03-20", "2031-04-20")
    return life, owes(life, *gold(JAN, "2031-02-20", "2031-03-20"))


@tells("a trial, and free time later", lasting=False)
def _() -> tuple[Any, Owed]:
    """How they stand in the end says nothing of the first trial."""
    life = _with_trial("twice_free", "2031-01-29 10:30")
    life.change("2031-01-29 10:30", status="active")
    life.months("2031-01-29", "2031-02-28", "2031-03-29")
    _give(life, "2031-03-10 09:00", "2031-03-29 10:30")
    life.change("2031-03-29 10:30", status="active")
    life.months("2031-03-29", "2031-04-29")
    return life, owes(life, *gold("2031-01-29", "2031-02-28", "2031-03-29"))


@tells("a trial is cut short, and a coupon pays all that comes after it")
def _() -> tuple[Any, Owed]:
    """The months up to the end that the trial had are no trial's any more."""
    life = _with_trial("cut_free", "2031-03-29 10:30")
    now = "2031-02-01 12:00"
    life.change(now, status="active", trial_end=stamp(now), billing_cycle_anchor=stamp(now))
    for start, end in (("02-01", "03-01"), ("03-01", "04-01"), ("04-01", "05-01")):
        dates = f"2031-{start} 12:00", f"2031-{end} 12:00"
        life.bill(start, *dates, lines=[life.line(*dates, 0)])
    return life, owes(life, *gold("2031-02-01", "2031-03-01", "2031-04-01"))


@tells("another interval within a trial that is cut short then")
def _() -> tuple[Any, Owed]:
    """One payment, one credit: the end that the trial had is no billing date any more."""
    life = _with_trial("interval_cut", "2031-01-29 10:30")
    life.change_price("2031-01-20 09:00", "price_gold_year")
    now = "2031-01-22 14:00"
    life.change(now, status="active", trial_end=stamp(now), billing_cycle_anchor=stamp(now))
    life.bill("y", now, "2032-01-22 14:00")
    return life, owes(life, *gold("2031-01-22"))


@tells("another interval within a trial that is prolonged then")
def _() -> tuple[Any, Owed]:
    life = _with_trial("interval_prolonged", "2031-01-29 10:30")
    life.change_price("2031-01-20 09:00", "price_gold_week")
    later = "2031-02-07 10:30"
    life.change("2031-01-22 09:00", trial_end=stamp(later), billing_cycle_anchor=stamp(later))
    life.change(later, status="active")
    life.months("2031-02-07", "2031-02-14", "2031-02-21")
    return life, owes(life, *gold("2031-02-07", "2031-02-14"))


@tells("another interval in the first days of a trial")
def _() -> tuple[Any, Owed]:
    """It is billed from the end of the trial on, not from where the trial's period began."""
    end = "2031-01-28 10:30"
    life = _with_trial("interval_early", end, current_period_start=stamp(START))
    life.change_price("2031-01-16 09:00", "price_gold_week")
    life.change(end, status="active", current_period_start=stamp(end))
    life.months("2031-01-28", "2031-02-04", "2031-02-11")
    return life, owes(life, *gold("2031-01-28", "2031-02-04"))


@tells("an end is announced and taken back while a dispute is open")
def _() -> tuple[Any, Owed]:
    """The end is lifted, and not the dispute: what comes after it is held, as without the two."""
    life = Life("disputed_stays")
    life.months(JAN, FEB, MAR)
    life.dispute("02-15", "2031-02-20 09:00", "needs_response")
    asked = stamp("2031-02-25 09:00")
    life.change("2031-02-25 09:00", cancel_at_period_end=True, cancel_at=stamp(f"{MAR} 10:30"), canceled_at=asked)
    life.change("2031-02-26 09:00", cancel_at_period_end=False, cancel_at=None, canceled_at=None)
    life.months(MAR, APR, MAY)
    return life, owes(life, *gold(JAN))


@tells("paused and resumed while a dispute is open, which is won later")
def _() -> tuple[Any, Owed]:
    """Stripe's `active` says nothing of disputes. What was held is given when it is won."""
    life = Life("disputed_paused", basil=True)
    life.months(JAN, FEB, MAR)
    life.dispute("02-15", "2031-02-20 09:00", "needs_response")
    life.change("2031-02-22 09:00", pause_collection={"behavior": "void", "resumes_at": None})
    life.change("2031-02-25 09:00", pause_collection=None)
    life.months(MAR, APR)
    life.dispute("02-15", "2031-03-20 09:00", "won", "closed")
    life.bill("04-15", f"{APR} 10:30", f"{MAY} 10:30")
    return life, owes(life, *gold(JAN, FEB, MAR, APR))


@tells("paused and resumed while a dispute is open", lasting=False)
def _() -> tuple[Any, Owed]:
    life = Life("disputed_resumed")
    life.months(JAN, FEB, MAR)
    life.dispute("02-15", "2031-02-20 09:00", "needs_response")
    life.change("2031-02-22 09:00", pause_collection={"behavior": "void", "resumes_at": None})
    life.change("2031-02-25 09:00", pause_collection=None)
    life.months(MAR, APR, MAY)
    return life, owes(life, *gold(JAN))


@tells("two payments of one invoice, each given back in full")
def _() -> tuple[Any, Owed]:
    """All of it was given back; of the month after that only one of the two."""
    life = Life("two_payments", basil=True)
    life.months(JAN, FEB, MAR, APR)
    for month, refunded in (("02", ("a", "b")), ("03", ("a",))):
        name, at = f"{month}-15", f"2031-{month}-15 11:31"
        for which in ("a", "b"):
            payment = {"type": "payment_intent", "payment_intent": f"pi_two_{month}{which}"}
            linked: dict[str, Any] = {"id": f"inpay_two_{month}{which}", "object": "invoice_payment", "status": "paid"}
            linked |= {"invoice": f"in_{life.name}_{name}", "payment": payment}
            life.tell("invoice_payment.paid", at, linked)
        for hour, which in enumerate(refunded):
            of = {"payment_intent": f"pi_two_{month}{which}", "amount": 4500}
            charge = {"id": f"ch_two_{month}{which}", "object": "charge", "refunded": True, "amount_refunded": 4500}
            life.tell("charge.refunded", f"2031-{month}-20 1{hour}:00", {**charge, **of})
    return life, owes(life, *gold(JAN, MAR))


@tells("paused and resumed in one second")
def _() -> tuple[Any, Owed]:
    """What each says of before tells which came first: it goes on."""
    life = Life("one_second")
    life.months(JAN, FEB)
    life.change("2031-02-10 09:00", pause_collection={"behavior": "void", "resumes_at": None})
    life.change("2031-02-10 09:00", pause_collection=None)
    life.months(FEB, MAR, APR, MAY)
    return life, owes(life, *gold(JAN, FEB, MAR, APR))


@tells("resumed and paused again in one second")
def _() -> tuple[Any, Owed]:
    life = Life("one_second_again")
    life.months(JAN, FEB)
    pause = {"behavior": "void", "resumes_at": None}
    life.change("2031-02-10 09:00", pause_collection=pause)
    life.bill("feb", f"{FEB} 10:30", f"{MAR} 10:30", ("voided", f"{FEB} 11:30"))
    life.change("2031-02-20 09:00", pause_collection=None)
    life.change("2031-02-20 09:00", pause_collection=pause)
    life.bill("mar", f"{MAR} 10:30", f"{APR} 10:30", ("voided", f"{MAR} 11:30"))
    return life, owes(life, *gold(JAN))


@tells("an end is announced and taken back in one second")
def _() -> tuple[Any, Owed]:
    life = Life("one_second_end")
    life.months(JAN, FEB)
    asked, ends = stamp("2031-02-10 09:00"), stamp(f"{FEB} 10:30")
    life.change("2031-02-10 09:00", cancel_at_period_end=True, cancel_at=ends, canceled_at=asked)
    life.change("2031-02-10 09:00", cancel_at_period_end=False, cancel_at=None, canceled_at=None)
    life.months(FEB, MAR, APR, MAY)
    return life, owes(life, *gold(JAN, FEB, MAR, APR))


@tells("on a test clock: paused and resumed within a period")
def _() -> tuple[Any, Owed]:
    """Its webhooks have real time, so that both happen when the period began: what they say of before decides."""
    clock: dict[str, Any] = {"test_clock": "clock_2"}
    life = Life("clock_pause", **clock)
    life.months(JAN, FEB, **clock)
    life.state |= {"current_period_start": stamp(f"{JAN} 10:30"), "current_period_end": stamp(f"{FEB} 10:30")}
    life.change("2031-01-20 09:00", pause_collection={"behavior": "void", "resumes_at": None})
    life.change("2031-01-25 09:00", pause_collection=None)
    life.state |= {"current_period_start": stamp(f"{FEB} 10:30"), "current_period_end": stamp(f"{MAR} 10:30")}
    life.months(FEB, MAR, **clock)
    for number, event in enumerate(life.events):
        event["created"] = stamp("2030-12-30 10:00") + number
    return life, owes(life, *gold(JAN, FEB))


@tells("a trial that Stripe ends because it has no card")
def _() -> tuple[Any, Owed]:
    """Nobody asked for it ahead: it ends a moment after the trial, on the day of the start, and nobody has paid."""
    end, later = "2031-01-29 10:30", "2031-01-29 10:31"
    settings = {"end_behavior": {"missing_payment_method": "cancel"}}
    lives = []
    for name, ended in (("no_card", end), ("no_card_later", later), ("last_day", "2031-01-29 08:00")):
        trial: dict[str, Any] = {"status": "trialing", "trial_start": stamp(START), "trial_end": stamp(end)}
        life = Life(name, **trial, billing_cycle_anchor=stamp(end), trial_settings=settings)
        life.tell("invoice.paid", START, life.invoice("t", START, "paid", [life.line(START, end, 0)], charge=None))
        life.state["canceled_at"] = stamp(ended)
        life.end(ended)
        lives.append(life)
    return tuple(lives), {key: owed for life in lives for key, owed in owes(life).items()}


def _back(name: str, *items: Any) -> Life:
    """An end with the trial is asked for, and taken back on the morning of the trial's last day."""
    end, asked = "2031-01-29 10:30", "2031-01-20 09:00"
    life = _with_trial(f"back_{name}", end, items=items)
    life.change(asked, cancel_at_period_end=True, cancel_at=stamp(end), canceled_at=stamp(asked))
    life.change("2031-01-29 07:00", cancel_at_period_end=False, cancel_at=None, canceled_at=None)
    return life


@tells("who leaves on the last day of a trial, after an end was taken back that morning")
def _() -> tuple[Any, Owed]:
    """What is said in between lifts no end that comes after it, of all or of one item."""
    life, both = _back("all"), [item("si_back_a"), item("si_back_b", "price_silver")]
    life.state["canceled_at"] = stamp("2031-01-29 09:00")
    life.end("2031-01-29 09:00")
    of_two = _back("item", *both)
    of_two.change("2031-01-29 09:00", items={"object": "list", "data": both[:1]})
    of_two.end("2031-01-29 10:00")
    return (life, of_two), owes(life) | owes(of_two) | {(of_two.id, "si_back_b"): []}


@tells("a pause after a trial, after an end was taken back that morning", lasting=False)
def _() -> tuple[Any, Owed]:
    life = _back("nobody_pays")
    life.change("2031-01-29 10:30", status="paused")
    return life, owes(life)


@tells("a trial that was paid after, and ended within the hour")
def _() -> tuple[Any, Owed]:
    """It would have ended by itself without a card: there was one, and what was paid for began."""
    end, after = "2031-01-29 10:30", "2031-02-28 10:30"
    settings = {"end_behavior": {"missing_payment_method": "cancel"}}
    lives = []
    for name in ("period", "asked"):
        life = _with_trial(f"paid_{name}", end, trial_settings=settings)
        life.change(end, status="active")
        life.state |= {"current_period_start": stamp(end)} if name == "period" else {}
        life.bill("paid", end, after, ("paid", "2031-01-29 10:31"))
        life.state |= {"canceled_at": stamp("2031-01-29 11:15")}
        life.state |= {"cancellation_details": {"reason": "cancellation_requested"}} if name == "asked" else {}
        life.end("2031-01-29 11:15")
        lives.append(life)
    return tuple(lives), {key: owed for life in lives for key, owed in owes(life, *gold("2031-01-29")).items()}


def free_lives() -> list[HardLife]:
    """All of them."""
    return [told() for told in _LIVES]
