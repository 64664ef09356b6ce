"""Lives of subscriptions, told as Stripe tells them, in either API version's shape."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

Event = dict[str, Any]
START = "2031-01-15 10:30"
#: Prices by their id: the interval, and how many of them.
PRICES = {
    "price_gold": ("month", 1),
    "price_silver": ("month", 1),
    "price_platinum": ("month", 1),
    "price_free": ("month", 1),
    "price_gold_year": ("year", 1),
    "price_gold_week": ("week", 1),
    "price_gold_day": ("day", 1),
}


def stamp(at: str) -> int:
    """Stripe's seconds of a UTC time."""
    return int(datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp())


def item(item_id: str, price: str = "price_gold", **more: Any) -> dict[str, Any]:
    """An item of a subscription."""
    interval, count = PRICES[price]
    priced = {"id": price, "recurring": {"interval": interval, "interval_count": count}}
    return {"id": item_id, "object": "subscription_item", "quantity": 1, "price": priced, **more}


class Life:
    """A subscription, and the webhooks of what happens to it. `basil`: in the newer API versions' shape."""

    def __init__(self, name: str, at: str = START, *, items: Sequence[Any] = (), basil: bool = False, **more: Any):
        self.name, self.id, self.basil = name, f"sub_{name}", basil
        self.events: list[Event] = []
        self.state: dict[str, Any] = {
            "id": self.id,
            "object": "subscription",
            "status": "active",
            "customer": f"cus_{name}",
            "metadata": {},
            "created": stamp(at),
            "start_date": stamp(at),
            "billing_cycle_anchor": stamp(at),
            "trial_start": None,
            "trial_end": None,
            "cancel_at": None,
            "cancel_at_period_end": False,
            "canceled_at": None,
            "ended_at": None,
            "pause_collection": None,
            "collection_method": "charge_automatically",
            "livemode": False,
            "items": {"object": "list", "data": list(items) or [item(f"si_{name}")]},
            **more,
        }
        self.tell("customer.subscription.created", at, self.state)

    def tell(
        self, kind: str, at: str, body: Mapping[str, Any], previous: Any = None, created: str | None = None
    ) -> None:
        """One webhook about an object, as it is now."""
        data = {"object": dict(body), **({"previous_attributes": previous} if previous is not None else {})}
        name = f"evt_{self.name}_{len(self.events):03d}"
        envelope = {"id": name, "object": "event", "type": kind, "created": stamp(created or at), "livemode": False}
        self.events.append({**envelope, "api_version": "2025-04-30" if self.basil else "2022-11-15", "data": data})

    def change(self, at: str, previous: Mapping[str, Any] | None = None, **now: Any) -> None:
        """Attributes of it change. `previous`: what the webhook says of before, where that is not all of it."""
        was = {name: self.state.get(name) for name in now}
        self.state = {**self.state, **now}
        self.tell("customer.subscription.updated", at, self.state, was if previous is None else previous)

    def change_price(self, at: str, price: str, **now: Any) -> None:
        """Its only item is sold at another price from now on."""
        self.change(at, items={"object": "list", "data": [item(self.state["items"]["data"][0]["id"], price)]}, **now)

    def trial(self, start: str, end: str) -> dict[str, Any]:
        """What a subscription says of its trial."""
        return {"status": "trialing", "trial_start": stamp(start), "trial_end": stamp(end)}

    def line(self, start: str, end: str, amount: int = 9000, *, proration: bool = False, **more: Any) -> dict[str, Any]:
        """A line of an invoice, of its first item unless another is named."""
        first = self.state["items"]["data"][0]
        of_item, price = more.get("item", first["id"]), more.get("price", first["price"]["id"])
        said: dict[str, Any] = {"amount": amount, "period": {"start": stamp(start), "end": stamp(end)}}
        subscription = more.get("subscription", self.id)
        if not self.basil:
            of = {"subscription": subscription, "subscription_item": of_item, "type": "subscription"}
            return {**said, **of, "proration": proration, "price": {"id": price}}
        details = {"proration": proration, "subscription": subscription, "subscription_item": of_item}
        parent = {"type": "subscription_item_details", "subscription_item_details": details}
        return {**said, "parent": parent, "pricing": {"type": "price_details", "price_details": {"price": price}}}

    def invoice(self, name: str, at: str, status: str, lines: Sequence[Any], **more: Any) -> dict[str, Any]:
        """An invoice that was made at an instant."""
        due = max(sum(line["amount"] for line in lines), 0)
        said = {
            "id": f"in_{self.name}_{name}",
            "object": "invoice",
            "status": status,
            "created": stamp(at),
            "amount_due": due,
            "collection_method": "charge_automatically",
            "livemode": False,
            "lines": {"object": "list", "data": list(lines)},
        }
        if self.basil:
            details = {"subscription_details": {"subscription": self.id, "metadata": {}}}
            return {**said, "parent": {"type": "subscription_details", **details}, **more}
        paid_by = {"charge": f"ch_{self.name}_{name}", "payment_intent": f"pi_{self.name}_{name}"}
        return {**said, "subscription": self.id, **paid_by, **more}

    def bill(self, name: str, start: str, end: str, *outcomes: tuple[str, str], lines: Any = None, **more: Any) -> None:
        """An invoice from its draft on; `outcomes`: what happened to it, and when. Without any it is paid an hour
        later."""
        lines = lines or [self.line(start, end)]
        for kind, status in (("created", "draft"), ("finalized", "open")):
            self.tell(f"invoice.{kind}", start, self.invoice(name, start, status, lines, **more))
        hour = int(start[11:13]) + 1
        for kind, at in outcomes or [("paid", f"{start[:11]}{hour:02d}{start[13:]}")]:
            statuses = {"paid": "paid", "voided": "void", "marked_uncollectible": "uncollectible"}
            body = self.invoice(name, start, statuses.get(kind, "open"), lines, **more)
            self.tell(f"invoice.{kind}", at, body)
            if kind == "paid" and self.basil:
                payment = {"type": "payment_intent", "payment_intent": f"pi_{self.name}_{name}"}
                linked = {"id": f"inpay_{self.name}_{name}", "object": "invoice_payment", "invoice": body["id"]}
                self.tell("invoice_payment.paid", at, {**linked, "status": "paid", "payment": payment})

    def months(self, *starts: str, time: str = "10:30", **more: Any) -> None:
        """Invoices from each date to the next, all of them paid."""
        for start, end in pairwise(starts):
            self.bill(start[5:], f"{start} {time}", f"{end} {time}", **more)

    def dispute(self, name: str, at: str, status: str, kind: str = "created", previous: Any = None) -> None:
        """An invoice's payment is disputed, or what becomes of that."""
        of = {"charge": f"ch_{self.name}_{name}", "payment_intent": f"pi_{self.name}_{name}"}
        body = {"id": f"dp_{self.name}_{name}", "object": "dispute", "amount": 9000, "status": status, **of}
        self.tell(f"charge.dispute.{kind}", at, body, previous)

    def refund(self, name: str, at: str, amount: int, status: str = "succeeded", kind: str = "refund.created") -> None:
        """A refund of an invoice's payment, by itself."""
        of = {"charge": f"ch_{self.name}_{name}", "payment_intent": f"pi_{self.name}_{name}"}
        body = {"id": f"re_{self.name}_{name}_{amount}", "object": "refund", "amount": amount, "status": status}
        made = next((one["data"]["object"]["created"] for one in self.events
                     if one["data"]["object"]["id"] == body["id"]), stamp(at))  # fmt: skip
        self.tell(kind, at, {**body, **of, "created": made})

    def refunded(self, name: str, at: str, so_far: int, amount: int = 9000) -> None:
        """`charge.refunded`: so much of an invoice's payment was given back so far."""
        charge = {"id": f"ch_{self.name}_{name}", "object": "charge", "amount": amount, "amount_refunded": so_far}
        of = {} if self.basil else {"invoice": f"in_{self.name}_{name}"}
        whole = {"refunded": so_far >= amount, "payment_intent": f"pi_{self.name}_{name}"}
        self.tell("charge.refunded", at, {**charge, **of, **whole})

    def end(self, at: str) -> None:
        """It has ended."""
        self.state = {**self.state, "status": "canceled", "ended_at": stamp(at)}
        self.tell("customer.subscription.deleted", at, self.state)
