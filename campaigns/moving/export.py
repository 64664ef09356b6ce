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

#: The first members joined on the day after.
_FOUNDED = date(2029, 6, 1)
_JOINED_WITHIN_DAYS = 720

Row = dict[str, Any]


def write(folder: Path, members: int, today: date, seed: int) -> None:
    """The files of a club as they are exported on a day; on a later day they say the same and more."""
    tables: dict[str, list[Row]] = {name: [] for name in FILES}
    for number in range(1, members + 1):
        _member(random.Random(f"{seed} {number}"), number, today, tables)
    folder.mkdir(parents=True, exist_ok=True)
    for name, columns in FILES.items():
        with (folder / name).open("w", newline="", encoding="utf-8-sig") as file:
            sheet = csv.DictWriter(file, columns, restval="")
            sheet.writeheader()
            sheet.writerows(tables[name])


def _member(chance: random.Random, number: int, today: date, tables: dict[str, list[Row]]) -> None:
    plan, interval, price = chance.choice(_PLANS)
    start = _FOUNDED + timedelta(days=chance.randint(1, _JOINED_WITHIN_DAYS))
    if start > today:
        return
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
    if chance.random() < 0.02:  # something else that the club sells
        day = start + timedelta(days=11)
        other = {"id": f"in_{number:05}_x", "created": _at(chance, day), "paid_at": _at(chance, day), "amount": "15.00"}
        dates = {"period_start": day, "period_end": day, "status": "paid"}
        tables["invoices.csv"].append({**other, **dates, "subscription_id": subscription["id"]})
    end = _fate(chance, subscription, start, today)
    turn, months = 0, 12 if interval == "year" else 1
    invoices: list[Row] = []
    while (period := add_months(start, turn * months)) <= min(today, end):
        following = add_months(start, (turn + 1) * months)
        invoices += _invoices(chance, subscription, turn, period, following, price, today)
        turn += 1
    tables["invoices.csv"] += invoices
    tables["old_credits.csv"] += _old_credits(subscription, invoices, today)


def _fate(chance: random.Random, subscription: Row, start: date, today: date) -> date:
    """How the subscription goes on; the last day on which it is billed."""
    told = start + timedelta(days=chance.randint(30, 900))
    at, fate = _at(chance, told), chance.random()
    if told > today or fate > 0.4:
        return today
    if fate < 0.1:
        subscription |= {"status": "paused", "canceled_at": at}
        return told
    if fate < 0.3:
        subscription |= {"status": "canceled", "canceled_at": at}
        return told
    end = add_months(told, 2)
    subscription |= {"canceled_at": at, "cancel_at": end}
    return end - timedelta(days=1)


def _invoices(
    chance: random.Random, subscription: Row, turn: int, period: date, following: date, price: int, today: date
) -> list[Row]:
    day = period + timedelta(days=chance.choice((0, 0, 0, 0, 2)))  # some bills are of some days later
    at, collected = _at(chance, day), _at(chance, day + timedelta(days=18))
    fate = chance.random()
    invoice: Row = {
        "id": f"in_{subscription['id'][4:]}_{turn}",
        "subscription_id": subscription["id"],
        "created": at,
        "period_start": day,
        "period_end": following,
        "amount": f"{price}.00",
        "status": "paid",
    }
    if day > today:
        return []
    if fate < 0.02:
        return [{**invoice, "status": "void"}]
    if fate < 0.05:  # its debit failed; it is collected later, under a new number
        again = {**invoice, "id": f"{invoice['id']}b", "created": collected, "paid_at": collected}
        failed = {**invoice, "status": "uncollectible"}
        return [failed, again] if day + timedelta(days=18) < today else [failed]
    paid = {**invoice, "paid_at": at}
    if fate < 0.07:
        return [{**paid, "refunded_at": at, "amount_refunded": "5.00"}]
    if fate < 0.08:
        return [{**paid, "refunded_at": at, "amount_refunded": f"{price}.00"}]
    return [paid]


def _old_credits(subscription: Row, invoices: Iterable[Row], today: date) -> list[Row]:
    """What the old program gave the lead booker this month: a credit a paid invoice of the month."""
    month = f"{today:%Y-%m}"
    paid = [one for one in invoices if one["status"] == "paid" and f"{one['period_start']:%Y-%m}" == month]
    return [{"subscription_id": subscription["id"], "month": month, "number": len(paid)}] if paid else []


def _at(chance: random.Random, day: date) -> str:
    """A moment of a day, in whole seconds, as billers write it."""
    return f"{datetime.combine(day, time(6)) + timedelta(seconds=chance.randrange(3600)):%Y-%m-%d %H:%M:%S}"
