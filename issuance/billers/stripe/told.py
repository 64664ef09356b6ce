"""The billing events of a subscription's item, and the note of it, by which later events agree with them.

An item's note: its calendar (`start`: the instant of the fact, the start and the anchor; `frequency`; `moves`;
`anchors`, Stripe's own instants, each with its frequency), and what was told last of its `anchor`, `type`, `price`,
`trial`, `party` and `status`, each with the instant of the fact before it; `stood`, also what was told of `status`
before; its `shifts` (`shifts`) and `starts` (`starts`). Instants are Stripe's seconds.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from issuance.billers.adapter import Json, NotReadable
from issuance.billers.stripe.payloads import Item, instant, part
from issuance.billing.cloud_events import Refused, read_json
from issuance.billing.event_data import MOST_GUESTS

SOURCE = "stripe"
#: A longer name of a guest is cut: metadata is free text, and must not stop a sign-up.
_LONGEST_NAME = 255
#: The most bits of a number that is somebody's id.
_LONGEST_NUMBER = 128
#: How many standings an item's note keeps.
_STANDINGS_KEPT = 36
#: Stripe's ids are unique across accounts, so a membership keeps its id if its biller is plugged in again.
_NAMESPACE = uuid5(NAMESPACE_URL, "https://stripe.com/subscription_items")

Note = dict[str, Any]
Event = dict[str, Any]


def ref_of(subscription: str, item: str) -> str:
    """What Stripe calls a membership, as people see it."""
    return f"{subscription}/{item}"


@lru_cache(maxsize=65536)
def membership_of(subscription: str, item: str) -> UUID:
    """The id of the membership that an item of a subscription is."""
    return uuid5(_NAMESPACE, ref_of(subscription, item))


def event(event_id: str, kind: str, at: int, membership_id: UUID, **data: Any) -> Event:
    """A billing event. `at`: when it happened, in Stripe's seconds."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": kind,
        "time": _said(instant(at)),
        "data": {"membership_id": str(membership_id), **data},
    }


def _said(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def frequency_of(note: Note) -> str:
    """How often an item is billed, as it was told last."""
    frequency: str = note["moves"][-1][2] if note["moves"] else note["frequency"]
    return frequency


def note_move(note: Note, at: int, anchor: str, frequency: str, stamp: int) -> None:
    """Note that the billing date was moved."""
    move = [at, anchor, frequency]
    if move not in note["moves"]:
        note["moves"] = sorted([*note["moves"], move])
    note_anchor(note, at, stamp, frequency)


def note_anchor(note: Note, at: int, stamp: int, frequency: str) -> None:
    """Note an instant from which Stripe counts periods, and since when it does so."""
    note_latest(note, "anchor", at, stamp)
    if [stamp, frequency] not in note["anchors"]:
        note["anchors"] = sorted([*note["anchors"], [stamp, frequency]])


def note_latest(note: Note, name: str, at: int, *value: Any) -> None:
    """Note something that was told, unless something later was."""
    if name not in note or note[name][0] <= at:
        note[name] = [at, *value]


def note_standing(note: Note, at: int, status: str, ends_on: str | None) -> None:
    """Note where an item stands since an instant; the latest of what was told of that before is kept too."""
    said = [at, status, ends_on]
    others = [one for one in stood_of(note) if one != said]
    note["stood"] = sorted([*others, said], key=lambda one: int(one[0]))[-_STANDINGS_KEPT:]
    note_latest(note, "status", at, status, ends_on)


def stood_of(note: Note) -> list[list[Any]]:
    """Where an item stood, as it was told, the oldest first: the instant, the status, and when it ends."""
    stood: list[list[Any]] = note.get("stood", [note["status"]] if "status" in note else [])
    return stood


def end_of(note: Note, at: int) -> str:
    """The name of the fact that an item ends at an instant: it has one, but where it was told that it went on after
    that, which older versions did."""
    stood = [status for _, status, _ in stood_of(note)]
    return f"ended/{at}" if "cancelled" in stood and stood[-1] != "cancelled" else "ended"


class TooManyGuests(Exception):
    """No order has so many guests."""


class GuestsNotReadable(NotReadable):
    """The list of guests was meant as JSON, and is not JSON: nobody is made of its pieces."""


def party_of(
    subscription: Json, item: Item, membership_id: UUID, member: str, *, named: bool = True
) -> list[dict[str, Any]]:
    """Everybody on the order, the lead booker first, then those whom `metadata.guests` names, then a guest for each
    further seat of the quantity. Their ids are made of what names them, so that the same list gives the same people. If
    not `named`, `metadata.guests` is not read. Raises TooManyGuests, GuestsNotReadable."""
    lead = {
        "guest_id": str(uuid5(membership_id, "lead")),
        "name": member,
        "external_user_id": member,
        "lead_booker": True,
    }
    guests = _named(subscription, item, membership_id, member) if named else []
    by_id = {guest["guest_id"]: guest for guest in guests}
    seats = item.quantity - 1 - len(by_id)
    if seats + len(by_id) >= MOST_GUESTS:
        raise TooManyGuests
    unnamed = [
        {"guest_id": str(uuid5(membership_id, f"seat {seat}")), "name": f"Guest {seat}", "lead_booker": False}
        for seat in range(2, 2 + max(seats, 0))
    ]
    return [lead, *by_id.values(), *unnamed]


def _named(subscription: Json, item: Item, membership_id: UUID, member: str) -> list[dict[str, Any]]:
    of_item = next((one for one in _items(subscription) if one.get("id") == item.id), {})
    said = part(of_item, "metadata").get("guests") or part(subscription, "metadata").get("guests")
    if not isinstance(said, str):
        return []
    try:
        listed = read_json(said)
    except Refused:
        if said.lstrip()[:1] in ("[", "{"):
            raise GuestsNotReadable("`metadata.guests` begins as JSON, and can not be read") from None
        listed = [name for name in (one.strip() for one in said.split(",")) if name]
    guests, members = [], {member}
    for one in listed if isinstance(listed, list) else []:
        guest = {"name": one} if isinstance(one, str) else one if isinstance(one, dict) else {}
        said_of = {name: guest.get(name) for name in ("id", "external_user_id", "email", "name")}
        known = {name: text for name, value in said_of.items() if (text := _text_of(name, value))}
        if known.get("external_user_id") in members:
            continue  # nobody is on an order twice
        if who := next(iter(known.values()), None):
            members |= {known["external_user_id"]} if "external_user_id" in known else set()
            known.pop("id", None)
            name = next((known[one] for one in ("name", "email", "external_user_id") if one in known), who)
            named = {**known, "name": name[:_LONGEST_NAME]}
            guests.append({"guest_id": str(uuid5(membership_id, f"guest {who}")), **named, "lead_booker": False})
    return guests


def _text_of(name: str, value: object) -> str | None:
    """What is said of a guest, as a text that the inbox takes: ids may be numbers. A name may have any length: it is
    cut later."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= _LONGEST_NUMBER:
        value = str(value)
    if not isinstance(value, str) or not value or "\x00" in value:
        return None
    return value if name == "name" or len(value) <= _LONGEST_NAME else None


def _items(subscription: Json) -> list[Mapping[str, Any]]:
    items = subscription.get("items")
    data = items.get("data") if isinstance(items, dict) else None
    return [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []
