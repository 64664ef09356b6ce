"""What a fact needs of Stripe's objects. They are read by field and never by API version.

A field that is not there is None. A value that Stripe never gives is NotReadable: it is shown, and not passed over.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from issuance.billers.adapter import Json, NotReadable
from issuance.fields import LAST_YEAR

#: The end of the last year in which anything happens, and a number that no amount reaches.
_END_OF_TIME, _TOO_MUCH = int(datetime(LAST_YEAR, 12, 31, tzinfo=UTC).timestamp()), 10**12
_LONGEST_ID = 255
#: How soon after a subscription was made its trial begins, if it begins with one (seconds).
_AT_ONCE = 60
#: The most items of a subscription (Stripe allows 20): each is a membership with a party of its own.
MOST_ITEMS = 100
#: Statuses of a subscription that nobody has signed up for: the first payment was never made.
INCOMPLETE, EXPIRED = "incomplete", "incomplete_expired"
#: All statuses of a subscription.
STATUSES = frozenset({"trialing", "active", "past_due", "unpaid", "paused", "canceled", INCOMPLETE, EXPIRED})


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
    #: The line's subscription, if the line names it: an invoice may be for several.
    subscription: str | None = None


def instant(stamp: int) -> datetime:
    """The instant of Stripe's seconds."""
    return datetime.fromtimestamp(stamp, UTC)


def number_of(value: object) -> int | None:
    """A whole number, such as an amount in the smallest unit. Raises NotReadable."""
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= _TOO_MUCH:
        raise NotReadable(f"a number is {_shown(value)}")
    return value


def stamp_of(value: object) -> int | None:
    """Stripe's seconds. Raises NotReadable."""
    stamp = number_of(value)
    if stamp is not None and not 0 <= stamp < _END_OF_TIME:
        raise NotReadable(f"an instant is {_shown(value)}")
    return stamp


def id_of(value: object) -> str | None:
    """The id of an object that is named by its id or written out (expanded). Raises NotReadable."""
    if isinstance(value, dict):
        value = value.get("id")
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > _LONGEST_ID or "\x00" in value:
        raise NotReadable(f"an id is {_shown(value)}")
    return value


def listed(value: object) -> list[Json]:
    """The objects of a list. Raises NotReadable."""
    data = value.get("data") if isinstance(value, dict) else value
    if data is None:
        return []
    if not isinstance(data, list) or not all(isinstance(one, dict) for one in data):
        raise NotReadable(f"a list is {_shown(data)}")
    return data


def goes_on(value: object) -> bool:
    """Whether a list has more than is shown of it."""
    return isinstance(value, dict) and value.get("has_more") is True


def begins_with_trial(subscription: Json) -> bool:
    """Whether a subscription began with its trial, if it has one: such a trial moves the start. Free time that is given
    later moves the billing date."""
    began, *made = (stamp_of(subscription.get(name)) for name in ("trial_start", "created", "start_date"))
    return began is None or began <= max((at for at in made if at is not None), default=began) + _AT_ONCE


def part(body: Json, *path: str) -> Json:
    """An object inside another; empty if it is not there. Raises NotReadable."""
    found = body
    for name in path:
        inner = found.get(name)
        if inner is None:
            return {}
        if not isinstance(inner, dict):
            raise NotReadable(f"`{name}` is {_shown(inner)}")
        found = inner
    return found


def storable(body: Json) -> Json:
    """The object, if it can be kept. Raises NotReadable if it has a character that can not be stored."""
    if _has_nul(body):
        raise NotReadable("it has a NUL character")
    return body


def _has_nul(value: object) -> bool:
    match value:
        case str():
            return "\x00" in value
        case list():
            return any(map(_has_nul, value))
        case dict():
            return any(_has_nul(name) or _has_nul(one) for name, one in value.items())
    return False


def status_of(body: Json, known: frozenset[str]) -> str:
    """The status of an object, one of those that are known. Raises NotReadable."""
    status = body.get("status")
    if not isinstance(status, str) or status not in known:
        raise NotReadable(f"its status is {_shown(status)}")
    return status


def _shown(value: object) -> str:
    """What can not be read, as far as a message may show it: a longer text may be personal."""
    match value:
        case None | bool() | int() | float():
            return str(value)[:20]
        case str():
            return repr(value[:30]) if value.isidentifier() else "a text"
        case list():
            return "a list"
    return "an object"


def item_of(body: Json) -> Item:
    """An item of a subscription. Old prices are plans."""
    price, plan = body.get("price"), body.get("plan")
    priced = price if isinstance(price, dict) else (plan if isinstance(plan, dict) else {})
    every = priced.get("recurring")
    every = every if isinstance(every, dict) else (plan if isinstance(plan, dict) else {})
    count = number_of(every.get("interval_count"))
    quantity = number_of(body.get("quantity"))
    return Item(
        id=id_of(body) or "",
        price=id_of(price) or id_of(plan),
        product=id_of(priced.get("product")),
        interval=every.get("interval") if isinstance(every.get("interval"), str) else None,
        interval_count=1 if count is None else count,
        quantity=1 if quantity is None else quantity,
        created=stamp_of(body.get("created")),
    )


def items_of(subscription: Json) -> list[Item]:
    """The items of a subscription that have an id. Raises NotReadable."""
    bodies = listed(subscription.get("items"))
    if len(bodies) > MOST_ITEMS:
        raise NotReadable(f"it has more than {MOST_ITEMS} items")
    return [item for body in bodies if (item := item_of(body)).id]


def items_billed(subscription: Json) -> list[Item]:
    """The items of a subscription as an event or an answer has it. Raises NotReadable if there is none, or if one has
    no id or no price."""
    items = items_of(subscription)
    if not items or len(items) < len(listed(subscription.get("items"))) or not all(item.price for item in items):
        raise NotReadable("it has no items that have an id and a price")
    return items


def subscription_of(invoice: Json) -> str | None:
    """The subscription that an invoice is for; None if it is for none."""
    for value in (invoice.get("subscription"), part(invoice, "parent", "subscription_details").get("subscription")):
        if found := id_of(value):
            return found
    return next((found for line in listed(invoice.get("lines")) if (found := _subscription_of_line(line))), None)


def _subscription_of_line(line: Json) -> str | None:
    details = part(line, "parent", "subscription_item_details")
    return id_of(line.get("subscription")) or id_of(details.get("subscription"))


def lines_of(invoice: Json) -> Iterator[Line]:
    """The lines of an invoice that are for an item of a subscription, without those for other things sold with it.
    Raises NotReadable if there are no lines to read, or if one says no period."""
    if not isinstance(invoice.get("lines"), (dict, list)):
        raise NotReadable("it has no lines")
    for line in listed(invoice.get("lines")):
        details = part(line, "parent", "subscription_item_details")
        of_item = part(line, "parent", "invoice_item_details")
        item = id_of(line.get("subscription_item")) or id_of(details.get("subscription_item"))
        priced, price, plan = part(line, "pricing", "price_details"), line.get("price"), line.get("plan")
        price_id = id_of(priced.get("price")) or id_of(price) or id_of(plan)
        if item is None and (of_item or line.get("type") == "invoiceitem" or price_id is None):
            continue
        if price_id is None:
            raise NotReadable("a line names no price")
        period = part(line, "period")
        start, end = stamp_of(period.get("start")), stamp_of(period.get("end"))
        if start is None or end is None or end < start:
            raise NotReadable("a line says no period that it is for")
        yield Line(
            item=item,
            price=price_id,
            product=id_of(priced.get("product")) or (id_of(price.get("product")) if isinstance(price, dict) else None),
            start=start,
            end=end,
            amount=number_of(line.get("amount")) or 0,
            proration=any(one.get("proration") is True for one in (line, details, of_item)),
            subscription=_subscription_of_line(line),
        )


def payments_of(invoice: Json) -> set[str]:
    """The payment intents and charges that an invoice names."""
    found = {id_of(invoice.get("payment_intent")), id_of(invoice.get("charge"))}
    for one in listed(invoice.get("payments")):
        found |= payments_named(one)
    return {name for name in found if name}


def payments_named(invoice_payment: Json) -> set[str]:
    """The payment intent and charge that an invoice payment names."""
    payment = part(invoice_payment, "payment")
    return {name for kind in ("payment_intent", "charge") if (name := id_of(payment.get(kind)))}


def before(subscription: Json, previous: Json) -> dict[str, Any]:
    """A subscription as it was before a change, by the attributes that the event names as changed."""
    was = _as_it_was(subscription, previous)
    if isinstance(previous.get("items"), dict):
        now = listed(subscription.get("items"))
        by_id = {str(one.get("id")): one for one in now}
        items = []
        for place, old in enumerate(listed(previous["items"])):
            # Items are named by their ids, or have the places that they have now.
            same = by_id.get(str(old.get("id"))) if old.get("id") else (now[place] if place < len(now) else None)
            items.append(_as_it_was(same or {}, old))
        was["items"] = {"data": items}
    elif len(now := listed(subscription.get("items"))) == 1:
        # If there is one item, only the top may name its quantity and its plan.
        named: dict[str, Any] = {name: previous[name] for name in ("quantity",) if name in previous}
        if id_of(previous.get("plan")):
            named |= {"price": None, "plan": previous["plan"]}
        if named:
            was["items"] = {"data": [{**now[0], **named}]}
    return was


def _as_it_was(body: Json, previous: Json) -> dict[str, Any]:
    """An object before a change. Stripe names only the metadata that changed; if one of the named is as it was, all
    were named."""
    was = {**body, **previous}
    if isinstance(before := previous.get("metadata"), dict):
        now = part(body, "metadata")
        if before and not any(now.get(name) == value for name, value in before.items()):
            was["metadata"] = {**now, **before}
    return was
