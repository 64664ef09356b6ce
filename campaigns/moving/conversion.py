"""A biller's exports as CloudEvents: what to write anew for another biller is this one file.

Every event's id comes from the biller's own ids, so that a later export can be turned into events and loaded as a whole
again: what is known already is a double, what is new is new.
"""

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

SOURCE = "import:old-biller"
_FREQUENCIES = {"month": "P1M", "quarter": "P3M", "year": "P1Y"}

Row = dict[str, str]


def events(folder: Path, types: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """The events that a folder of exports tells. `types`: the id of the membership type of each plan."""
    guests: dict[str, list[Row]] = defaultdict(list)
    for guest in read(folder / "guests.csv"):
        guests[guest["subscription_id"]].append(guest)
    for subscription in read(folder / "subscriptions.csv"):
        yield from _subscription(subscription, guests[subscription["id"]], types)
    for invoice in read(folder / "invoices.csv"):
        yield from _invoice(invoice)


def membership_id(subscription_id: str) -> str:
    """The membership of a subscription: always the same."""
    return str(uuid5(NAMESPACE_URL, f"{SOURCE}/{subscription_id}"))


def _subscription(row: Row, guests: list[Row], types: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    says = {
        "membership_type_id": types[row["plan"]],
        "external_user_id": row["customer_id"],
        "starts_on": row["start_date"],
        "billing_anchor": row["billing_cycle_anchor"],
        "billing_frequency": _FREQUENCIES[row["interval"]],
        "guests": [_guest(guest) for guest in guests],
    }
    yield _event("membership.signed_up", row["id"], row["id"], row["created"], says)
    changed = f"{row['id']} {row['canceled_at']}"
    if row["status"] == "paused":
        yield _event("membership.status_changed", changed, row["id"], row["canceled_at"], {"status": "paused"})
    elif row["canceled_at"]:
        end = {"ends_on": row["cancel_at"]} if row["cancel_at"] else {}
        yield _event(
            "membership.status_changed", changed, row["id"], row["canceled_at"], {"status": "cancelled", **end}
        )


def _guest(row: Row) -> dict[str, Any]:
    return {
        "name": row["name"],
        "email": row["email"] or None,
        "external_user_id": row["customer_id"] or None,
        "lead_booker": row["lead"] == "yes",
    }


def _invoice(row: Row) -> Iterator[dict[str, Any]]:
    charge = {name: row[name] for name in ("period_start", "period_end", "amount")} | {"charge_id": row["id"]}

    def told(state: str, time: str, **more: str) -> dict[str, Any]:
        return _event(f"charge.{state}", row["id"], row["subscription_id"], time, {**charge, **more})

    match row["status"]:
        case "paid":
            yield told("succeeded", row["paid_at"])
        case "void":
            yield told("skipped", row["created"])
        case "open" | "uncollectible":
            yield told("failed", row["created"])
    if row["refunded_at"]:
        yield told("refunded", row["refunded_at"], amount_refunded=row["amount_refunded"])


def _event(kind: str, key: str, subscription_id: str, time: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{kind} {key}",
        "source": SOURCE,
        "type": kind,
        "time": f"{time.replace(' ', 'T')}Z",
        "data": {"membership_id": membership_id(subscription_id), **data},
    }


def read(file: Path) -> Iterator[Row]:
    """The rows of an exported sheet."""
    # Spreadsheets put a byte-order mark before the first column's name.
    with file.open(newline="", encoding="utf-8-sig") as lines:
        yield from csv.DictReader(lines)
