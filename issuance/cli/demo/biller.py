"""The demo's biller: what it would send to /billing-events, as CloudEvents."""

from calendar import monthrange
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import uuid4

from issuance.cli.demo.cast import YEAR, Person

JOINED_AT, CHARGED_AT = time(9, tzinfo=UTC), time(6, tzinfo=UTC)

Event = dict[str, Any]


def event(kind: str, at: datetime, data: dict[str, Any]) -> Event:
    """A CloudEvent of the type `kind` that happened at `at`."""
    return {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "demo/biller",
        "type": kind,
        "time": at.isoformat(),
        "data": data,
    }


def sign_up(person: Person, membership_type_id: str) -> Event:
    """`person` joins, with everyone on the order."""
    guests = [{"name": person.name, "external_user_id": person.external_user_id, "lead_booker": True}]
    guests += [{"name": name, "lead_booker": False} for name in person.with_guests]
    data = {
        "membership_id": str(person.membership_id),
        "membership_type_id": membership_type_id,
        "external_user_id": person.external_user_id,
        "starts_on": person.starts_on.isoformat(),
        "billing_frequency": person.billing_frequency,
        "guests": guests,
    }
    return event("membership.signed_up", datetime.combine(person.starts_on, JOINED_AT), data)


def charge(person: Person, month: int, steps: dict[str, int]) -> Iterator[Event]:
    """The charge of a month: each of `steps` so many days after its period starts."""
    starts = billing_date(person, month)
    for step, days in steps.items():
        data = {
            "membership_id": str(person.membership_id),
            "charge_id": f"{person.external_user_id}-{starts}",
            "period_start": starts.isoformat(),
            "amount": 90,
        }
        yield event(f"charge.{step}", datetime.combine(starts + timedelta(days=days), CHARGED_AT), data)


def status_change(person: Person, status: str, on: date) -> Event:
    """`person`'s membership is paused, active, …"""
    data = {"membership_id": str(person.membership_id), "status": status}
    return event("membership.status_changed", datetime.combine(on, JOINED_AT), data)


def billing_date(person: Person, month: int) -> date:
    """The day of joining in another month; the last day where the month is too short."""
    return date(YEAR, month, min(person.starts_on.day, monthrange(YEAR, month)[1]))
