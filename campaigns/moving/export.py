"""A made-up club, as CSV files of the kind that billers export: subscriptions, guests, invoices, and the old credits.

It has what real ones have: months that were never paid, debits that failed and were collected later, waivers, refunds,
pauses, ends ahead, annual plans, families, a bill of some days later, an invoice for something else.
"""

import csv
import random
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from issuance.deciding.calendar import add_months

#: The columns of each file.
FILES = {
    "subscriptions.csv": (
        "id", "customer_id", "customer_name", "plan", "interval", "created", "start_date", "billing_cycle_anchor",
        "status", "canceled_at", "cancel_at",
    ),
    "guests.csv": ("subscription_id", "customer_id", "name", "email", "lead"),
    "invoices.csv": (
        "id", "subscription_id", "created", "paid_at", "period_start", "period_end", "amount", "status",
        "refunded_at", "amount_refunded",
    ),
    "old_credits.csv": ("subscription_id", "month", "number"),
}  # fmt: skip
_PLANS = (("Silver", "month", 29), ("Gold", "month", 59), ("Gold", "month", 59), ("Gold", "year", 590))

Row = dict[str, Any]


def write(folder: Path, members: int, today: date, seed: int) -> None:
    """The files of a club whose members joined in the two years before `today`."""
    chance = random.Random(seed)
    tables: dict[str, list[Row]] = {name: [] for name in FILES}
    for number in range(1, members + 1):
        _member(chance, number, today, tables)
    folder.mkdir(parents=True, exist_ok=True)
    for name, columns in FILES.items():
        with (folder / name).open("w", newline="", encoding="utf-8-sig") as file:
            sheet = csv.DictWriter(file, columns, restval="")
            sheet.writeheader()
            sheet.writerows(tables[name])


def _member(chance: random.Random, number: int, today: date, tables: dict[str, list[Row]]) -> None:
    plan, interval, price = chance.choice(_PLANS)
    start = today - timedelta(days=chance.randrange(20, 730))
    subscription: Row = {
        "id": f"sub_{number:05}",
        "customer_id": f"cus_{number:05}",
        "customer_name": f"Member {number}",
        "plan": plan,
        "interval": interval,
        "created": _at(chance, start),
        "start_date": start,
        "billing_cycle_anchor": start,
        "status": "active",
    }
    tables["subscriptions.csv"].append(subscription)
    for guest in range(chance.choice((0, 0, 0, 1, 3))):
        lead = {"customer_id": subscription["customer_id"], "name": subscription["customer_name"], "lead": "yes"}
        other = {"name": f"Guest {guest} of {number}", "email": f"guest{guest}.of{number}@example.com", "lead": "no"}
        party = [lead, other] if guest == 0 else [other]
        tables["guests.csv"] += [{"subscription_id": subscription["id"], **row} for row in party]
    end = _fate(chance, subscription, start, today)
    turn, months = 0, 12 if interval == "year" else 1
    while (period := add_months(start, turn * months)) <= min(today, end):
        following = add_months(start, (turn + 1) * months)
        tables["invoices.csv"] += _invoices(chance, subscription, turn, period, following, price, today)
        turn += 1
    if chance.random() < 0.02:  # something else that the club sells
        day = start + timedelta(days=11)
        other = {"id": f"in_{number:05}_x", "created": _at(chance, day), "paid_at": _at(chance, day), "amount": "15.00"}
        dates = {"period_start": day, "period_end": day, "status": "paid"}
        tables["invoices.csv"].append({**other, **dates, "subscription_id": subscription["id"]})
    tables["old_credits.csv"] += _old_credits(subscription, tables["invoices.csv"], today)


def _fate(chance: random.Random, subscription: Row, start: date, today: date) -> date:
    """How the subscription goes on; the last day on which it is billed."""
    told = today - timedelta(days=chance.randrange(1, 15))
    fate = chance.random()
    if fate < 0.06:
        subscription |= {"status": "paused", "canceled_at": _at(chance, told)}
        return told
    if fate < 0.14 and told > start:
        subscription |= {"status": "canceled", "canceled_at": _at(chance, told)}
        return told
    if fate < 0.18:
        subscription |= {"canceled_at": _at(chance, told), "cancel_at": add_months(today, 1)}
    return today


def _invoices(
    chance: random.Random, subscription: Row, turn: int, period: date, following: date, price: int, today: date
) -> list[Row]:
    late = chance.choice((0, 0, 0, 0, 2))  # some bills are of some days later
    invoice: Row = {
        "id": f"in_{subscription['id'][4:]}_{turn}",
        "subscription_id": subscription["id"],
        "created": _at(chance, period + timedelta(days=late)),
        "period_start": period + timedelta(days=late),
        "period_end": following,
        "amount": f"{price}.00",
        "status": "paid",
    }
    day = period + timedelta(days=late)
    fate = chance.random()
    if fate < 0.02:
        return [{**invoice, "status": "void"}]
    if fate < 0.05 and day + timedelta(days=20) < today:  # collected later, under a new number
        collected = _at(chance, day + timedelta(days=18))
        return [
            {**invoice, "status": "uncollectible"},
            {**invoice, "id": f"{invoice['id']}b", "created": collected, "paid_at": collected},
        ]
    if day > today or (fate < 0.08 and following > today):
        return [{**invoice, "status": "open"}]
    paid = {**invoice, "paid_at": _at(chance, day)}
    if fate < 0.10:
        return [{**paid, "refunded_at": _at(chance, day), "amount_refunded": "5.00"}]
    if fate < 0.11:
        return [{**paid, "refunded_at": _at(chance, day), "amount_refunded": f"{price}.00"}]
    return [paid]


def _old_credits(subscription: Row, invoices: Iterable[Row], today: date) -> list[Row]:
    """What the old program says that it gave this month: one credit a paid invoice of this month."""
    month = f"{today:%Y-%m}"
    paid = [
        invoice
        for invoice in invoices
        if invoice["subscription_id"] == subscription["id"]
        and invoice["status"] == "paid"
        and f"{invoice['period_start']:%Y-%m}" == month
        and invoice["period_end"] != invoice["period_start"]
    ]
    return [{"subscription_id": subscription["id"], "month": month, "number": len(paid)}] if paid else []


def _at(chance: random.Random, day: date) -> str:
    """A moment of a day, in whole seconds, as billers write it."""
    return f"{datetime.combine(day, time(6)) + timedelta(seconds=chance.randrange(3600)):%Y-%m-%d %H:%M:%S}"
