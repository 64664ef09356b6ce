"""Stripe's objects as its API versions have them, read by field and never by version: what a fact needs of them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from issuance.billers.adapter import Json

#: Statuses with which nobody has signed up: the first payment was never made.
INCOMPLETE, EXPIRED = "incomplete", "incomplete_expired"


class Item(NamedTuple):
    """An item of a subscription: a membership, where its price is mapped."""

    id: str
    price: str | None
    product: str | None
    interval: str | None
    interval_count: int
    quantity: int
    created: int | None

    @property
    def frequency(self) -> str | None:
        """How often it is billed, as PnW, PnM or PnY; None where no membership can be."""
        match self.interval, self.interval_count:
            case "week", n if 1 <= n <= 52:
                return f"P{n}W"
            case "month", n if 1 <= n <= 36:
                return f"P{n}M"
            case "year", n if 1 <= n <= 3:
                return f"P{n}Y"
            case "day", n if n % 7 == 0 and 7 <= n <= 364:
                return f"P{n // 7}W"
        return None


class Line(NamedTuple):
    """A line of an invoice that pays for a period of an item."""

    item: str | None
    price: str | None
    product: str | None
    start: int
    end: int
    amount: int
    proration: bool
    #: Whose it is, where the line says it: an invoice may be for several subscriptions.
    subscription: str | None = None


def instant(stamp: int) -> datetime:
    """The instant of Stripe's seconds."""
    return datetime.fromtimestamp(stamp, UTC)


def stamp_of(value: object) -> int | None:
    """Stripe's seconds, if that is what it is."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def id_of(value: object) -> str | None:
    """The id of an object that is named, or written out (expanded)."""
    if isinstance(value, dict):
        value = value.get("id")
    return value if isinstance(value, str) and value else None


def listed(value: object) -> list[Json]:
    """The objects of a list."""
    data = value.get("data") if isinstance(value, dict) else value
    return [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []


def part(body: Json, *path: str) -> Json:
    """An object inside another; empty if it is not there."""
    found: Any = body
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def item_of(body: Json) -> Item:
    """An item of a subscription. Old prices are plans."""
    price, plan = body.get("price"), body.get("plan")
    priced = price if isinstance(price, dict) else (plan if isinstance(plan, dict) else {})
    every = priced.get("recurring")
    every = every if isinstance(every, dict) else (plan if isinstance(plan, dict) else {})
    count = stamp_of(every.get("interval_count"))
    quantity = stamp_of(body.get("quantity"))
    return Item(
        id=str(body.get("id") or ""),
        price=id_of(price) or id_of(plan),
        product=id_of(priced.get("product")),
        interval=every.get("interval") if isinstance(every.get("interval"), str) else None,
        interval_count=1 if count is None else count,
        quantity=1 if quantity is None else quantity,
        created=stamp_of(body.get("created")),
    )


def items_of(subscription: Json) -> list[Item]:
    """The items of a subscription that have an id."""
    return [item for body in listed(subscription.get("items")) if (item := item_of(body)).id]


def subscription_of(invoice: Json) -> str | None:
    """Whose subscription an invoice is; None of another invoice."""
    for value in (invoice.get("subscription"), part(invoice, "parent", "subscription_details").get("subscription")):
        if found := id_of(value):
            return found
    return next((found for line in listed(invoice.get("lines")) if (found := _subscription_of_line(line))), None)


def _subscription_of_line(line: Json) -> str | None:
    details = part(line, "parent", "subscription_item_details")
    return id_of(line.get("subscription")) or id_of(details.get("subscription"))


def lines_of(invoice: Json) -> Iterator[Line]:
    """The lines of an invoice that say which period they are for."""
    for line in listed(invoice.get("lines")):
        period = part(line, "period")
        start, end = stamp_of(period.get("start")), stamp_of(period.get("end"))
        if start is None or end is None:
            continue
        details = part(line, "parent", "subscription_item_details")
        priced = part(line, "pricing", "price_details")
        price, plan = line.get("price"), line.get("plan")
        of_item = part(line, "parent", "invoice_item_details")
        yield Line(
            item=id_of(line.get("subscription_item")) or id_of(details.get("subscription_item")),
            price=id_of(priced.get("price")) or id_of(price) or id_of(plan),
            product=id_of(priced.get("product")) or id_of(part(line, "price").get("product")),
            start=start,
            end=end,
            amount=stamp_of(line.get("amount")) or 0,
            proration=any(one.get("proration") is True for one in (line, details, of_item)),
            subscription=_subscription_of_line(line),
        )


def payments_of(invoice: Json) -> set[str]:
    """The payment intents and charges that an invoice names itself."""
    found = {id_of(invoice.get("payment_intent")), id_of(invoice.get("charge"))}
    for one in listed(invoice.get("payments")):
        found |= payments_named(one)
    return {name for name in found if name}


def payments_named(invoice_payment: Json) -> set[str]:
    """The payment intent and charge that an invoice payment names."""
    payment = part(invoice_payment, "payment")
    return {name for kind in ("payment_intent", "charge") if (name := id_of(payment.get(kind)))}


def before(subscription: Json, previous: Json) -> dict[str, Any]:
    """A subscription as it was before a change, by the attributes that the change names."""
    was = _as_it_was(subscription, previous)
    if isinstance(previous.get("items"), dict):
        now = listed(subscription.get("items"))
        by_id = {str(one.get("id")): one for one in now}
        items = []
        for place, old in enumerate(listed(previous["items"])):
            # Items are named by their ids, or stand where they stand now.
            same = by_id.get(str(old.get("id"))) if old.get("id") else (now[place] if place < len(now) else None)
            items.append(_as_it_was(same or {}, old))
        was["items"] = {"data": items}
    elif "quantity" in previous and len(now := listed(subscription.get("items"))) == 1:
        # Where there is one item, its quantity may be named at the top only.
        was["items"] = {"data": [{**now[0], "quantity": previous["quantity"]}]}
    elif isinstance(previous.get("plan"), dict) and len(now := listed(subscription.get("items"))) == 1:
        # Where there is one item, its plan may be named at the top only.
        was["items"] = {"data": [{**now[0], "price": None, "plan": previous["plan"]}]}
    return was


def _as_it_was(body: Json, previous: Json) -> dict[str, Any]:
    """An object before a change. Of metadata only the names that changed are named."""
    was = {**body, **previous}
    if isinstance(previous.get("metadata"), dict):
        was["metadata"] = {**part(body, "metadata"), **previous["metadata"]}
    return was
