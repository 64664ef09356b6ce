"""`issuance billers stripe try`: a made-up club's year of Stripe's webhooks, signed as Stripe signs them, is played
against the running server; then it shows who got what, and why."""

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx

from issuance.cli.connections import transaction
from issuance.cli.demo.sandbox import DemoFailed, Sandbox, address_of_server
from issuance.cli.output import say, show_table
from issuance.deciding.calendar import add_months
from issuance.tenancy import brands

_ZONE = "Europe/Berlin"
_START = datetime(2031, 1, 10, 21, 30, tzinfo=UTC)
_COUPON = {
    "name": "Day pass",
    "description": "One day",
    "discount": {"type": "percent", "value": 100},
    "validity": None,
}
#: The membership type that each price is sold as.
_PRICES = {"price_silver": "Silver", "price_gold": "Gold"}

Event = dict[str, Any]


class Story(NamedTuple):
    """A member, what happens to them, and the months for which their lead booker holds a credit in the end."""

    member: str
    what: str
    events: list[Event]
    months: list[int]
    asks: int | None = None


class _Subscription:
    """A subscription at Stripe. It writes down the webhook of each thing that happens to it."""

    def __init__(self, member: str, at: datetime, *, price: str = "price_silver", trial: int = 0) -> None:
        self.id, self.member, self.price = f"sub_{member}", member, price
        self.start = at + timedelta(days=trial)
        self.events: list[Event] = []
        self.state: dict[str, Any] = {
            "id": self.id,
            "object": "subscription",
            "status": "trialing" if trial else "active",
            "customer": f"cus_{member}",
            "metadata": {"external_user_id": member},
            "created": _stamp(at),
            "start_date": _stamp(at),
            "trial_start": _stamp(at) if trial else None,
            "trial_end": _stamp(self.start) if trial else None,
            "billing_cycle_anchor": _stamp(self.start),
            "cancel_at": None,
            "cancel_at_period_end": False,
            "pause_collection": None,
            "items": {"data": [self._item(price)]},
        }
        self._tell("customer.subscription.created", at, self.state)
        if trial:
            self._tell("invoice.paid", at, self._invoice("trial", at, self.start, "paid", amount=0))

    def _item(self, price: str) -> dict[str, Any]:
        recurring = {"interval": "month", "interval_count": 1}
        return {"id": f"si_{self.member}", "quantity": 1, "price": {"id": price, "recurring": recurring}}

    def _invoice(self, name: str, start: datetime, end: datetime, status: str, amount: int = 4900) -> dict[str, Any]:
        line = {
            "amount": amount,
            "proration": False,
            "subscription_item": f"si_{self.member}",
            "price": {"id": self.price},
            "period": {"start": _stamp(start), "end": _stamp(end)},
        }
        return {
            "id": f"in_{self.member}_{name}",
            "object": "invoice",
            "status": status,
            "subscription": self.id,
            "created": _stamp(start),
            "amount_due": amount,
            "charge": f"ch_{self.member}_{name}",
            "lines": {"data": [line]},
        }

    def _tell(self, kind: str, at: datetime, body: dict[str, Any], previous: dict[str, Any] | None = None) -> None:
        data = {"object": dict(body), **({"previous_attributes": previous} if previous is not None else {})}
        name = f"evt_{self.member}_{len(self.events)}"
        envelope = {"id": name, "object": "event", "type": kind, "created": _stamp(at), "livemode": False}
        self.events.append({**envelope, "data": data})

    def turn(self, month: int) -> datetime:
        """When its n-th billing period begins, from 0 on."""
        return datetime.combine(add_months(self.start.date(), month), self.start.timetz())

    def bill(self, month: int, *outcomes: str) -> None:
        """A month's invoice, with an attempt (`paid`, `payment_failed` …) every three days."""
        start, end = self.turn(month), self.turn(month + 1)
        self._tell("invoice.finalized", start + timedelta(hours=1), self._invoice(str(month), start, end, "open"))
        for attempt, outcome in enumerate(outcomes):
            at = start + timedelta(hours=1, seconds=1, days=3 * attempt)
            status = {"paid": "paid", "voided": "void"}.get(outcome, "open")
            self._tell(f"invoice.{outcome}", at, self._invoice(str(month), start, end, status))

    def change(self, at: datetime, **now: Any) -> None:
        """Some attributes change."""
        previous = {name: self.state[name] for name in now}
        self.state = {**self.state, **now}
        self._tell("customer.subscription.updated", at, self.state, previous)

    def change_price(self, at: datetime, price: str) -> None:
        """It has another price from now on."""
        self.price = price
        self.change(at, items={"data": [self._item(price)]})

    def refund(self, month: int, at: datetime, amount: int) -> None:
        """So much of a month's money has been given back so far."""
        charge = {"id": f"ch_{self.member}_{month}", "object": "charge", "amount": 4900, "amount_refunded": amount}
        self._tell("charge.refunded", at, charge | {"invoice": f"in_{self.member}_{month}"})

    def dispute(self, month: int, at: datetime, status: str) -> None:
        """A month's charge is disputed, or the dispute is over."""
        kind = "created" if status == "needs_response" else "closed"
        body = {"id": f"dp_{self.member}", "object": "dispute", "charge": f"ch_{self.member}_{month}", "status": status}
        self._tell(f"charge.dispute.{kind}", at, body)

    def end(self, at: datetime) -> None:
        """It ends."""
        self.state = {**self.state, "status": "canceled", "ended_at": _stamp(at)}
        self._tell("customer.subscription.deleted", at, self.state)


def stories() -> Iterator[Story]:
    """The club's year."""
    ada = _Subscription("ada", _START, trial=14)
    for month in range(12):
        ada.bill(month, "paid")
    yield Story("ada", "14 days' trial, then paid every month", ada.events, [*range(12)])

    ben = _Subscription("ben", _START + timedelta(days=2))
    for month in range(12):
        ben.bill(month, *(("payment_failed", "payment_failed", "paid") if month == 3 else ("paid",)))
    at = ben.turn(3)
    ben.change(at + timedelta(hours=1, seconds=2), status="past_due")
    ben.change(at + timedelta(days=6, hours=1, seconds=2), status="active")
    yield Story("ben", "his card failed twice in April, and was charged in the end", ben.events, [*range(12)], 3)

    cleo = _Subscription("cleo", _START + timedelta(days=3))
    for month in range(12):
        if month == 5:
            cleo.change_price(cleo.turn(5), "price_gold")
        cleo.bill(month, "paid")
    yield Story("cleo", "upgraded from Silver to Gold in June", cleo.events, [*range(12)])

    dan = _Subscription("dan", _START + timedelta(days=4))
    for month in range(12):
        dan.bill(month, "paid")
    dan.refund(2, dan.turn(2) + timedelta(days=5), 1000)
    dan.refund(4, dan.turn(4) + timedelta(days=5), 4900)
    yield Story("dan", "a part of March was refunded, and all of May", dan.events, [m for m in range(12) if m != 4], 4)

    eve = _Subscription("eve", _START + timedelta(days=5))
    for month in range(12):
        eve.bill(month, "paid")
    eve.dispute(6, eve.turn(6) + timedelta(days=5), "needs_response")
    eve.dispute(6, eve.turn(6) + timedelta(days=25), "lost")
    yield Story("eve", "disputed July, and won her money back", eve.events, [m for m in range(12) if m != 6], 6)

    finn = _Subscription("finn", _START + timedelta(days=6))
    for month in range(12):
        finn.bill(month, "voided" if month in (7, 8) else "paid")
    finn.change(finn.turn(7) - timedelta(days=5), pause_collection={"behavior": "void", "resumes_at": None})
    finn.change(finn.turn(9) - timedelta(days=5), pause_collection=None)
    yield Story("finn", "paused in August and September", finn.events, [m for m in range(12) if m not in (7, 8)], 7)

    gil = _Subscription("gil", _START + timedelta(days=7))
    for month in range(5):
        gil.bill(month, "paid")
    gil.change(gil.turn(3), cancel_at=_stamp(gil.turn(5)), cancel_at_period_end=True)
    gil.end(gil.turn(5))
    yield Story("gil", "cancelled at the end of May's period", gil.events, [*range(5)])


def play() -> None:
    """Play it on a fresh sandbox brand, and show who got what and why. Raises DemoFailed."""
    address = address_of_server()
    with transaction() as connection:
        name = "Harbour Baths (Stripe)"
        brand_id, key = brands.create(connection, name=name, timezone=_ZONE, sandbox=True)
    sandbox, secret = Sandbox(address, key), f"whsec_{secrets.token_hex(16)}"
    sandbox.move_clock(_START - timedelta(days=9))
    biller_id, rule_ids = _plugged_in(sandbox, secret)
    told = list(stories())
    events = sorted((event for story in told for event in story.events), key=lambda event: event["created"])
    say(f"{len(told)} members of {name}, brand {brand_id}: {len(events)} webhooks of a year, each delivered twice.")
    # The second time in no order: it changes nothing.
    for event in [*events, *sorted(events, key=lambda event: hashlib.sha256(event["id"].encode()).digest())]:
        _deliver(sandbox.http, f"{address}/billers/stripe/{biller_id}", event, secret)
    sandbox.move_clock(_START + timedelta(days=385))
    _show(sandbox, told, rule_ids)
    say(f"Look around: issuance billers list --brand {brand_id}")


def _plugged_in(sandbox: Sandbox, secret: str) -> tuple[str, dict[str, str]]:
    """Membership types with a monthly credit each, and Stripe with its prices mapped to them."""
    sandbox.call("PUT", "/customers/coupons/day", json=_COUPON)
    biller_id = sandbox.call("POST", "/billers", json={"kind": "stripe", "secret": secret})["id"]
    rule_ids = {}
    for price, name in _PRICES.items():
        new_type = sandbox.call("POST", "/customers/membership-types", json={"name": name, "billing": "external"})
        says = {"membership_type_id": new_type["id"], "coupon_id": "day", "coupon_name": f"{name} day pass"}
        says |= {"issue_on_signup": True, "roll_over": True}
        rule_ids[name] = sandbox.call("POST", "/customers/membership-credit-rules", json=says)["id"]
        path = f"/billers/{biller_id}/prices/{price}"
        sandbox.call("PUT", path, json={"membership_type_id": new_type["id"]})
    return biller_id, rule_ids


def _deliver(http: httpx.Client, url: str, event: Event, secret: str) -> None:
    """Send a webhook as Stripe does."""
    body, stamp = json.dumps(event).encode(), int(time.time())
    signature = hmac.new(secret.encode(), b"%d.%s" % (stamp, body), hashlib.sha256).hexdigest()
    answer = http.post(url, content=body, headers={"Stripe-Signature": f"t={stamp},v1={signature}"})
    if answer.is_error:
        raise DemoFailed(f"The server answered {answer.status_code} to a webhook: {answer.text.strip()}")


def _show(sandbox: Sandbox, told: list[Story], rule_ids: dict[str, str]) -> None:
    """Show who got what, and why not; the expected result is known."""
    memberships = {one["external_user_id"]: one for one in sandbox.pages("/customers/memberships")}
    rows, whys = [], []
    for story in told:
        membership = memberships[story.member]
        held = sandbox.pages("/customers/credits", membership_id=membership["id"], status="live")
        starts = sorted(credit["period_start"] for credit in held)
        first = datetime.fromisoformat(membership["starts_on"]).date()
        expected = [add_months(first, month).isoformat() for month in story.months]
        if starts != expected:
            raise DemoFailed(f"{story.member} should hold credits for {expected}, not for {starts}")
        rows.append(
            {
                "member": story.member,
                "at Stripe": membership["source_ref"],
                "what happened": story.what,
                "status": membership["status"],
                "credits": len(starts),
                "none for": [
                    day.strftime("%b") for month in range(12) if f"{(day := add_months(first, month))}" not in starts
                ],
            }
        )
        if story.asks is not None:
            day = add_months(first, story.asks)
            whys += [
                {"member": story.member, "period": day, "reason": row["reason"], "why": row["text"]}
                for row in sandbox.explain(membership["id"], rule_ids["Silver"], day, day)
            ]
    show_table("Who got what", rows, ("member", "at Stripe", "what happened", "status", "credits", "none for"))
    show_table("And why", whys, ("member", "period", "reason", "why"))


def _stamp(moment: datetime) -> int:
    return int(moment.timestamp())
