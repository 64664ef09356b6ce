"""Sign-ups: an item of a subscription, as it was when the subscription was made, becomes a membership.

A subscription's record has `basis`, the subscription as it was made, or as it was first heard of; `heard`, whether
nothing earlier can come; `begun`, whether anybody signed up (nobody has for an incomplete one); `trials`, each with its
start, its end, and when that was said; `free`, the invoices of its last lines of nothing; `disputed`, its disputed
payments; `prices`, with the product and frequency of each; `member`; `billed`, since when each price of an item was
billed; and `items`, a note each (`told`).
"""

from datetime import date
from typing import Any
from uuid import UUID

from issuance.billers.adapter import Json, Known, NotReadable, Translation, Unmappable, Wait
from issuance.billers.stripe import payloads, told
from issuance.billers.stripe.dates import first_anchor, is_within_a_period
from issuance.billers.stripe.payloads import EXPIRED, INCOMPLETE, Item, id_of, instant, items_of, part, stamp_of
from issuance.deciding.calendar import day_of

Record = dict[str, Any]

_KEPT = (
    "id", "status", "customer", "metadata", "created", "start_date", "trial_start", "trial_end", "billing_cycle_anchor",
    "cancel_at", "cancel_at_period_end", "canceled_at", "ended_at", "pause_collection", "current_period_end", "items",
)  # fmt: skip
_STAMPS = (
    "created", "start_date", "trial_start", "trial_end", "billing_cycle_anchor", "cancel_at", "canceled_at", "ended_at",
    "current_period_end",
)  # fmt: skip


def hear(record: Record, subscription: Json, was: Json, at: int, *, made: bool) -> None:
    """Note what a webhook says of a subscription: how it is, and how it `was` before. `made`: the webhook says how it
    was made. Raises NotReadable."""
    status = payloads.status_of(subscription, payloads.STATUSES)
    if status != "canceled":
        payloads.items_billed(subscription)
    for name in _STAMPS:  # what is kept is read again for other webhooks, which must not suffer from it
        stamp_of(was.get(name))
    if id_of(was.get("customer")) is None and external_id(part(was, "metadata")) is None:
        raise NotReadable("it names no customer")
    if not record.get("heard") and (made or "basis" not in record or at < record["basis_at"]):
        record["basis"] = {name: was[name] for name in _KEPT if name in was}
        record["basis_at"] = at
        record["heard"] = made
    if status == "canceled":
        record["over"] = True
    if status == EXPIRED:
        record["dead"] = True
    elif status != INCOMPLETE:
        record["begun"] = True
    record.setdefault("items", {})
    for snapshot, heard_at in ((was, at - 1), (subscription, at)):
        _note_trial(record, snapshot, heard_at)
        for item in items_of(snapshot):
            if item.price and (item.product or item.frequency):
                record.setdefault("prices", {})[item.price] = [item.product, item.frequency]
    if clock := id_of(subscription.get("test_clock")):
        record["test_clock"] = clock


def _note_trial(record: Record, subscription: Json, at: int) -> None:
    """Note a trial with the end that was said last: it may be prolonged, or cut short."""
    start, end = stamp_of(subscription.get("trial_start")), stamp_of(subscription.get("trial_end"))
    if start is None or end is None:
        return
    # A trial that an older version noted has no instant.
    heard = [one for one in record.get("trials", []) if one[0] == start]
    if all((*one, 0)[2] <= at for one in heard):
        others = [one for one in record.get("trials", []) if one[0] != start]
        record["trials"] = sorted([*others, [start, end, at]])


def trials_of(record: Record) -> list[tuple[int, int]]:
    """The trials of a subscription, each with its start and its end."""
    return [(start, end) for start, end, *_ in record.get("trials", [])]


def sign_up(subscription_id: str, record: Record, known: Known, found: Translation, *, patient: bool) -> None:
    """Sign up the items of a subscription that have not signed up, if it has begun and it is known how it was made."""
    if not record.get("begun") or "basis" not in record or (patient and not record.get("heard")):
        return
    basis = record["basis"]
    for item in items_of(basis):
        if item.id not in record["items"]:
            made = stamp_of(basis.get("created")) or stamp_of(basis.get("start_date")) or record["basis_at"]
            start = stamp_of(basis.get("start_date")) or made
            sign_up_item(subscription_id, record, basis, item, known, found, made=made, start=start)


def sign_up_item(
    subscription_id: str,
    record: Record,
    subscription: Json,
    item: Item,
    known: Known,
    found: Translation,
    *,
    made: int,
    start: int,
) -> None:
    """Sign up one item: when it was `made`, and when it starts, unless a trial comes first."""
    price = known.price(item.price, *_product_of(record, item))
    frequency = item.frequency or _frequency_of(record, item.price)
    if price is None:
        found.unmappable = unmapped(item.price)
        return
    if price.membership_type_id is None:
        return
    if frequency is None:
        found.unmappable = Unmappable("no_frequency", _no_frequency(item), item.price)
        return
    member = _member(record, subscription, known, found)
    if member is None:
        return
    membership_id = told.membership_of(subscription_id, item.id)
    trial_end = stamp_of(subscription.get("trial_end"))
    if trial_end is not None and trial_end > start and payloads.begins_with_trial(subscription):
        start = trial_end
    anchor = stamp_of(subscription.get("billing_cycle_anchor")) or start
    starts_on, anchored_on = (day_of(instant(stamp), known.zone) for stamp in (start, anchor))
    moved: date | None = None
    if anchored_on < starts_on:
        anchored_on = first_anchor(starts_on, anchored_on, frequency)
    elif not is_within_a_period(starts_on, anchored_on, frequency):
        # The anchor was reset since, and no event said when: the anchor itself says it.
        moved, anchored_on = anchored_on, starts_on
    try:
        party = _party(subscription, item, membership_id, member, found)
    except told.TooManyGuests:
        found.unmappable = Unmappable("too_many_guests", f"no order has {item.quantity} guests", item.price)
        return
    ref = told.ref_of(subscription_id, item.id)
    counted_from = start if moved else anchor
    note: told.Note = {
        "start": [made, starts_on.isoformat(), anchored_on.isoformat()],
        "frequency": frequency,
        "moves": [],
        "anchors": [[counted_from, frequency]],
        "anchor": [made, counted_from],
        "type": [made, str(price.membership_type_id)],
        "price": [made, item.price],
        "trial": [made, trial_end],
        "party": [made, party],
    }
    record["items"][item.id] = note
    found.events.append(
        told.event(
            f"{ref}/signed_up",
            "membership.signed_up",
            made,
            membership_id,
            membership_type_id=str(price.membership_type_id),
            external_user_id=member,
            starts_on=starts_on.isoformat(),
            billing_anchor=anchored_on.isoformat(),
            billing_frequency=frequency,
            **({"guests": party} if len(party) > 1 else {}),
        )
    )
    if moved is not None:
        note_and_move(found, note, ref, membership_id, f"reset/{anchor}", anchor, moved, frequency, anchor)
    found.refs[membership_id] = ref
    found.wakes.add(subscription_id)


def note_and_move(
    found: Translation,
    note: told.Note,
    ref: str,
    membership_id: Any,
    name: str,
    at: int,
    anchor: date,
    frequency: str,
    stamp: int,
) -> None:
    """Tell that the billing date was moved, and the frequency from then on."""
    told.note_move(note, at, anchor.isoformat(), frequency, stamp)
    found.events.append(
        told.event(
            f"{ref}/{name}",
            "membership.billing_date_moved",
            at,
            membership_id,
            billing_anchor=anchor.isoformat(),
            billing_frequency=frequency,
        )
    )


def unmapped(price: str | None) -> Unmappable:
    """Nobody mapped a price yet."""
    return Unmappable("unmapped_price", f"nobody mapped the price {price}", price)


def _party(
    subscription: Json, item: Item, membership_id: UUID, member: str, found: Translation
) -> list[dict[str, Any]]:
    """Everybody on the order. If the guests can not be read, the member signs up all the same, and the reason is
    shown."""
    try:
        return told.party_of(subscription, item, membership_id, member)
    except told.GuestsNotReadable as refusal:
        found.unmappable = Unmappable("malformed", str(refusal))
        return told.party_of(subscription, item, membership_id, member, named=False)


def _no_frequency(item: Item) -> str:
    which = (
        "a membership is billed every 1 to 52 weeks, 1 to 36 months, or 1 to 3 years; where it is no membership's,"
        " ignore the price, and who changes from it to one that is signs up then"
    )
    if item.interval is None:
        return f"the price {item.price} does not say how often it is billed; {which}"
    return f"the price {item.price} is billed every {item.interval_count} {item.interval}(s); {which}"


def _product_of(record: Record, item: Item) -> tuple[str | None, ...]:
    return item.product, *record.get("prices", {}).get(item.price, [None])[:1]


def _frequency_of(record: Record, price: str | None) -> str | None:
    found: str | None = record.get("prices", {}).get(price, [None, None])[1]
    return found


def _member(record: Record, subscription: Json, known: Known, found: Translation) -> str | None:
    """The id that the brand has for who signed up; None: it is not known yet."""
    if "member" not in record:
        customer = id_of(subscription.get("customer"))
        member = external_id(part(subscription, "metadata"))
        if member is None and customer is not None and known.can_ask:
            asked = known.get(customer)
            if "asked" not in asked:
                found.wait = Wait(customer, f"whose external_user_id is the customer {customer}?", ask=True)
                return None
            member = asked["asked"]
        record["member"] = member or customer
    who: str = record["member"]
    return who


def external_id(metadata: Json) -> str | None:
    """The id that the brand has for a customer; None if it is missing, blank, or too long to be an id."""
    named = metadata.get("external_user_id")
    return named if isinstance(named, str) and named.strip() and len(named) <= 255 else None
