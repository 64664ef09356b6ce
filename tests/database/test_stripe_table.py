"""The table of docs/stripe.md, row by row: what Stripe says → which fact."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.database.stripes import Club
from tests.database.test_stripe_sequences import plugged_in
from tests.serving import REPO
from tests.stripe.lives import START, Life, item, stamp

#: What a fact says, in a few words.
Said = list[str]
ROWS: dict[str, Callable[[], tuple[Life, Said]]] = {}
FEB, LATER, DAY = "2031-02-15 10:30", "2031-02-20 09:00", "2031-01-20 09:00"
CHARGE, JOINED = "2031-01-15..2031-02-15", "signed_up 2031-01-15 2031-01-15 P1M"
#: Charges' facts of one instant count in this order (SEMANTICS 7), after all others.
STATES = ("initiated", "failed", "skipped", "succeeded", "disputed", "refunded")
TRIAL: dict[str, Any] = {"status": "trialing", "trial_start": stamp(START), "trial_end": stamp("2031-01-29 10:30")}


def row(cell: str) -> Callable[[Callable[[], tuple[Life, Said]]], None]:
    def keep(tell: Callable[[], tuple[Life, Said]]) -> None:
        assert cell not in ROWS
        ROWS[cell] = tell

    return keep


def in_words(kind: str, data: dict[str, Any]) -> str:
    about, _, what = kind.partition(".")
    if about == "charge":
        more = [f"{name}={data[name]}" for name in ("amount_refunded",) if data.get(name) is not None]
        return " ".join([what, f"{data['period_start']}..{data['period_end']}", *more])
    names = {
        "signed_up": ("starts_on", "billing_anchor", "billing_frequency"),
        "status_changed": ("status",),
        "start_moved": ("starts_on", "billing_anchor"),
        "billing_date_moved": ("billing_anchor", "billing_frequency"),
        "type_changed": ("current_period",),
        "guests_changed": (),
    }[what]
    said = [str(data[name]) for name in names]
    said += [f"ends_on={data['ends_on']}"] if "ends_on" in data else []
    return " ".join([what, *said, *(guest["name"] for guest in data.get("guests", ()) if what == "guests_changed")])


@row("`customer.subscription.created`, or the first status that is not `incomplete`")
def _() -> tuple[Life, Said]:
    life = Life("row_made", status="incomplete")
    life.change("2031-01-15 10:40", status="active")
    return life, [JOINED, "status_changed active ends_on=None"]


@row("`incomplete`, `incomplete_expired`")
def _() -> tuple[Life, Said]:
    life = Life("row_incomplete", status="incomplete")
    life.bill("i", START, FEB, ("payment_failed", START))
    life.change("2031-01-16 10:30", status="incomplete_expired")
    return life, []


@row("`.updated` that names status, `pause_collection`, `cancel_at`, `cancel_at_period_end` or `ended_at` as changed")
def _() -> tuple[Life, Said]:
    life = Life("row_updated")
    life.change(DAY, status="past_due")
    return life, [JOINED, "status_changed needs_attention ends_on=None"]


@row("`.updated` that names none of these")
def _() -> tuple[Life, Said]:
    life = Life("row_unrelated")
    life.change(DAY, cancel_at=stamp(FEB))
    life.change(LATER, default_payment_method="pm_2")
    return life, [JOINED, "status_changed cancelled ends_on=2031-02-15"]


@row("· `trialing`, `active`")
def _() -> tuple[Life, Said]:
    life = Life("row_active", status="past_due")
    life.change(DAY, status="active")
    return life, [JOINED, "status_changed needs_attention ends_on=None", "status_changed active ends_on=None"]


@row("· `past_due`, `unpaid`")
def _() -> tuple[Life, Said]:
    life = Life("row_unpaid")
    life.change(DAY, status="past_due")
    life.change(LATER, status="unpaid")
    return life, [JOINED, *["status_changed needs_attention ends_on=None"] * 2]


@row("· `paused`, or `pause_collection`")
def _() -> tuple[Life, Said]:
    life = Life("row_paused")
    life.change(DAY, pause_collection={"behavior": "void", "resumes_at": None})
    life.change(LATER, pause_collection=None)
    return life, [JOINED, "status_changed paused ends_on=None", "status_changed active ends_on=None"]


@row("· cancelled ahead (`cancel_at`, `cancel_at_period_end`)")
def _() -> tuple[Life, Said]:
    life = Life("row_ahead")
    life.change(DAY, cancel_at_period_end=True)
    life.change("2031-01-21 09:00", status="past_due")
    cancelled, trouble = (
        "status_changed cancelled ends_on=2031-02-15",
        "status_changed needs_attention ends_on=2031-02-15",
    )
    return life, [JOINED, cancelled, trouble]


@row("· taken back")
def _() -> tuple[Life, Said]:
    life = Life("row_back", cancel_at=stamp(FEB))
    life.change(DAY, cancel_at=None)
    return life, [JOINED, "status_changed active ends_on=2031-02-15", "status_changed active ends_on=None"]


@row("`canceled`, `customer.subscription.deleted`")
def _() -> tuple[Life, Said]:
    life = Life("row_ended")
    life.end(DAY)
    return life, [JOINED, "status_changed cancelled ends_on=2031-01-20"]


@row("· within its trial, or with it because it has no card")
def _() -> tuple[Life, Said]:
    life = Life("row_no_card", **TRIAL, billing_cycle_anchor=stamp("2031-01-29 10:30"))
    life.end("2031-01-29 10:30")
    return life, ["signed_up 2031-01-29 2031-01-29 P1M", *["status_changed cancelled ends_on=2031-01-29"] * 2]


@row("`trial_end` moved while `trialing`")
def _() -> tuple[Life, Said]:
    life = Life("row_trial", **TRIAL, billing_cycle_anchor=stamp("2031-01-29 10:30"))
    later = stamp("2031-02-05 10:30")
    life.change(DAY, trial_end=later, billing_cycle_anchor=later)
    return life, ["signed_up 2031-01-29 2031-01-29 P1M", "start_moved 2031-02-05 2031-02-05"]


@row("`paused` because a trial ended and nobody pays")
def _() -> tuple[Life, Said]:
    life = Life("row_trial_over", **TRIAL, billing_cycle_anchor=stamp("2031-01-29 10:30"))
    life.change("2031-01-29 10:30", status="paused")
    return life, ["signed_up 2031-01-29 2031-01-29 P1M", *["status_changed paused ends_on=None"] * 2]


@row("`billing_cycle_anchor` reset, or another interval")
def _() -> tuple[Life, Said]:
    life = Life("row_reset")
    life.change(DAY, billing_cycle_anchor=stamp(DAY))
    life.change_price(LATER, "price_gold_year", billing_cycle_anchor=stamp(LATER))
    return life, [JOINED, "billing_date_moved 2031-01-20 P1M", "billing_date_moved 2031-02-20 P1Y"]


@row("an item's price is another type's")
def _() -> tuple[Life, Said]:
    life = Life("row_type")
    life.change_price(DAY, "price_silver")
    life.change_price(LATER, "price_platinum")
    return life, [JOINED, "type_changed keep", "type_changed switch"]


@row("an item's price was no membership's (`--ignore`), and is one's")
def _() -> tuple[Life, Said]:
    life = Life("row_free", items=[item("si_row_free", "price_free")])
    life.change_price(DAY, "price_gold", billing_cycle_anchor=stamp(DAY))
    return life, ["signed_up 2031-01-20 2031-01-20 P1M"]


@row("an item's quantity, or `metadata.guests`")
def _() -> tuple[Life, Said]:
    life = Life("row_guests")
    life.change(DAY, items={"object": "list", "data": [item("si_row_guests", quantity=2)]})
    life.change(LATER, metadata={"guests": "Bea, Cy"})
    who = "cus_row_guests"
    return life, [JOINED, f"guests_changed {who} Guest 2", f"guests_changed {who} Bea Cy"]


@row("an item is added, taken out")
def _() -> tuple[Life, Said]:
    life = Life("row_items")
    first = life.state["items"]["data"][0]
    second = item("si_row_items_b", "price_silver", created=stamp(DAY))
    life.change(DAY, items={"object": "list", "data": [first, second]})
    life.change(LATER, items={"object": "list", "data": [first]})
    return life, [JOINED, "signed_up 2031-01-20 2031-02-15 P1M", "status_changed cancelled ends_on=2031-02-20"]


@row("`invoice.created` (a draft)")
def _() -> tuple[Life, Said]:
    life = Life("row_draft")
    life.tell("invoice.created", START, life.invoice("i", START, "draft", [life.line(START, FEB)]))
    return life, [JOINED]


@row("an invoice that is `open` and charged automatically")
def _() -> tuple[Life, Said]:
    life = Life("row_open")
    life.tell("invoice.finalized", START, life.invoice("i", START, "open", [life.line(START, FEB)]))
    sent = life.invoice("sent", START, "open", [life.line(START, FEB)], collection_method="send_invoice")
    life.tell("invoice.finalized", START, sent)
    return life, [JOINED, f"initiated {CHARGE}"]


@row("`paid`, also of 0")
def _() -> tuple[Life, Said]:
    life = Life("row_paid")
    life.tell("invoice.paid", START, life.invoice("i", START, "paid", [life.line(START, FEB, 0)], charge=None))
    return life, [JOINED, f"succeeded {CHARGE}"]


@row("`invoice.payment_failed`")
def _() -> tuple[Life, Said]:
    life = Life("row_failed", basil=True)
    for at in (START, DAY):
        life.tell("invoice.payment_failed", at, life.invoice("i", START, "open", [life.line(START, FEB)]))
    return life, [JOINED, *[f"failed {CHARGE}"] * 2]


@row("`void`, `uncollectible`")
def _() -> tuple[Life, Said]:
    life = Life("row_skipped")
    for name, kind, status in (("a", "voided", "void"), ("b", "marked_uncollectible", "uncollectible")):
        life.tell(f"invoice.{kind}", DAY, life.invoice(name, START, status, [life.line(START, FEB)]))
    return life, [JOINED, *[f"skipped {CHARGE}"] * 2]


@row("a trial's invoice of 0")
def _() -> tuple[Life, Said]:
    life = Life("row_trial_invoice", **TRIAL, billing_cycle_anchor=stamp("2031-01-29 10:30"))
    lines = [life.line(START, "2031-01-29 10:30", 0)]
    life.tell("invoice.paid", START, life.invoice("i", START, "paid", lines, charge=None))
    return life, ["signed_up 2031-01-29 2031-01-29 P1M"]


def _paid(name: str, **more: Any) -> Life:
    life = Life(name, **more)
    life.tell("invoice.paid", START, life.invoice("i", START, "paid", [life.line(START, FEB)]))
    return life


@row("`charge.refunded`, `refund.*`")
def _() -> tuple[Life, Said]:
    life = _paid("row_refunded")
    life.refunded("i", DAY, 3000)
    life.refund("i", DAY, 3000)
    life.refund("i", LATER, 6000)
    refunded = [f"refunded {CHARGE} amount_refunded={so_far}" for so_far in (3000, 9000)]
    return life, [JOINED, f"succeeded {CHARGE}", *refunded]


@row("`refund.failed`")
def _() -> tuple[Life, Said]:
    life = _paid("row_refund_failed")
    life.refund("i", DAY, 9000, "pending")
    life.refund("i", LATER, 9000, "failed", "refund.failed")
    told = [f"refunded {CHARGE} amount_refunded=9000", f"succeeded {CHARGE}"]
    return life, [JOINED, f"succeeded {CHARGE}", *told]


@row("`charge.dispute.*`: `needs_response`, `under_review`")
def _() -> tuple[Life, Said]:
    life = _paid("row_disputed")
    life.dispute("i", DAY, "needs_response")
    life.dispute("i", LATER, "under_review", "updated", {"status": "needs_response"})
    return life, [JOINED, f"succeeded {CHARGE}", f"disputed {CHARGE}"]


@row("· an inquiry that becomes one, or takes the money")
def _() -> tuple[Life, Said]:
    life = _paid("row_inquiry")
    life.dispute("i", DAY, "warning_needs_response")
    life.dispute("i", LATER, "needs_response", "updated", {"status": "warning_needs_response"})
    life.dispute("i", "2031-02-20 09:01", "needs_response", "funds_withdrawn")
    return life, [JOINED, f"succeeded {CHARGE}", *[f"disputed {CHARGE}"] * 2]


@row("· closed: `won`, `lost`")
def _() -> tuple[Life, Said]:
    life = _paid("row_closed")
    life.dispute("i", DAY, "needs_response")
    life.dispute("i", LATER, "lost", "closed")
    life.events[-1]["data"]["object"]["id"] = "dp_row_closed_2"
    life.dispute("i", "2031-02-21 09:00", "won", "closed")
    # What is lost stays lost, whatever becomes of another dispute.
    told = ["disputed", "refunded", "succeeded", "refunded"]
    return life, [JOINED, f"succeeded {CHARGE}", *(f"{state} {CHARGE}" for state in told)]


@row("· `warning_…`")
def _() -> tuple[Life, Said]:
    life = _paid("row_warning")
    life.dispute("i", DAY, "warning_needs_response")
    life.dispute("i", LATER, "warning_closed", "closed")
    return life, [JOINED, f"succeeded {CHARGE}"]


@row("everything else")
def _() -> tuple[Life, Said]:
    life = _paid("row_else")
    customer = {"id": "cus_row_else", "object": "customer", "metadata": {"external_user_id": "somebody"}}
    life.tell("customer.updated", DAY, customer)
    life.tell("balance.available", DAY, {"object": "balance"})
    life.tell("invoice.upcoming", DAY, {"object": "invoice", "subscription": life.id})
    life.tell("subscription_schedule.updated", DAY, {"id": "sub_sched_1", "object": "subscription_schedule"})
    note = {"id": "cn_1", "object": "credit_note", "invoice": "in_row_else_i", "amount": 9000, "refund": None}
    life.tell("credit_note.created", DAY, note)
    life.tell("charge.succeeded", START, {"id": "ch_row_else_i", "object": "charge", "amount": 9000})
    return life, [JOINED, f"succeeded {CHARGE}"]


@pytest.fixture(scope="module")
def club(engine: Engine) -> Club:
    club = plugged_in(engine)
    for tell in ROWS.values():
        club.deliver(tell()[0].events)
    club.translate()
    return club


@pytest.mark.parametrize("cell", ROWS)
def test_each_row_is_true(club: Club, cell: str) -> None:
    """The facts of a life that does just that, in the order in which they count."""
    life, said = ROWS[cell]()
    items = {one["id"] for event in life.events for one in event["data"]["object"].get("items", {}).get("data", [])}
    facts = [fact for one in sorted(items) for fact in club.facts(life.id, one)]
    facts.sort(key=lambda fact: (fact[1], STATES.index(fact[0].partition(".")[2]) if "charge" in fact[0] else -1))
    assert [in_words(kind, data) for kind, _, _, data in facts] == said


def test_nothing_of_the_rows_is_left_untranslated(club: Club) -> None:
    assert club.why() == set()


def test_the_page_has_these_rows() -> None:
    page = (REPO / "docs" / "stripe.md").read_text()
    table = page.partition("| Stripe | fact |\n|---|---|\n")[2].partition("\n\n")[0]
    assert re.findall(r"^\| (.*?) \| ", table, re.MULTILINE) == list(ROWS)
