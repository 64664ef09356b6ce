"""A case for each adapter that there is: what its biller sends, how it signs it, and the credits that must come of
it."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from issuance.billers.billers import New
from issuance.billers.mapped import adapter as mapped
from issuance.billers.stripe.told import membership_of
from tests.serving import REPO
from tests.stripe import SECRET, sequences, signed
from tests.stripe.fake import KEY

ZONE, RULE = "Europe/Berlin", {"issue_on_signup": True, "roll_over": True}


@dataclass(frozen=True)
class Case:
    """Deliveries in the order in which they happened, with their ids."""

    name: str
    new: New
    secret: str
    price: str
    deliveries: list[tuple[str, dict[str, Any]]]
    sign: Callable[[bytes, str], dict[str, str]]
    membership_id: UUID
    owed: list[str]
    settled_at: str = "2031-04-20T00:00:00Z"
    #: Whether it has an API to reconcile with (`tests.stripe.fake`).
    askable: bool = False


def _stamp(instant: str) -> int:
    return int(datetime.fromisoformat(instant).timestamp())


def lowered(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


STRIPE = Case(
    name="stripe",
    new=New("stripe", [SECRET], KEY),
    secret=SECRET,
    price="price_gold",
    deliveries=[(event["id"], event) for event in sequences()[3]["stripe_events"]],
    sign=lambda body, secret: lowered(signed(body, secret)),
    membership_id=membership_of("sub_d", "si_1_d"),
    owed=["2031-01-15", "2031-02-15", "2031-03-15"],
    askable=True,
)


def _mapping(name: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((REPO / "docs" / "billers" / f"{name}.json").read_text())
    return read


def _chargebee(number: int, kind: str, at: str, month: int, **more: Any) -> tuple[str, dict[str, Any]]:
    subscription = {"id": "sub1", "customer_id": "ada", "started_at": _stamp("2031-01-15T10:30:00Z")}
    subscription |= {
        "billing_period": 1,
        "billing_period_unit": "month",
        "subscription_items": [{"item_price_id": "gold-monthly"}],
    }
    line = {"date_from": _stamp(f"2031-0{month}-15T10:30:00Z"), "date_to": _stamp(f"2031-0{month + 1}-15T10:30:00Z")}
    invoice = {"id": f"inv{month}", "total": 9000, "line_items": [line], "amount_refunded": more.get("refunded", 0)}
    content = {"subscription": subscription, "invoice": invoice, "transaction": {"id": f"txn{number}"}}
    body = {"id": f"ev_{number}", "occurred_at": _stamp(at), "event_type": kind, "content": content}
    return f"ev_{number}", body


CHARGEBEE = Case(
    name="mapped, like Chargebee",
    new=New("mapped", ["issuance:a password"], mapping=_mapping("chargebee")),
    secret="issuance:a password",
    price="gold-monthly",
    deliveries=[
        _chargebee(1, "subscription_created", "2031-01-15T10:30:00Z", 1),
        _chargebee(2, "payment_succeeded", "2031-01-15T10:31:00Z", 1),
        _chargebee(3, "payment_failed", "2031-02-15T10:31:00Z", 2),
        _chargebee(4, "payment_succeeded", "2031-02-18T10:31:00Z", 2),
        _chargebee(5, "payment_succeeded", "2031-03-15T10:31:00Z", 3),
        _chargebee(6, "payment_refunded", "2031-03-20T10:31:00Z", 3, refunded=9000),
        _chargebee(7, "card_added", "2031-03-21T10:31:00Z", 3),
    ],
    sign=lambda _, secret: {"authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"},
    membership_id=mapped.membership_of("chargebee", "sub1"),
    owed=["2031-01-15", "2031-02-15"],
)


def _lago(kind: str, at: str, **body: Any) -> tuple[str, dict[str, Any]]:
    name, about = next(iter(body.items()))
    read = {"webhook_type": kind, "object_type": name, name: {**about, "updated_at": at}}
    return f"{kind} {at}", read


def _lago_invoice(month: int, at: str, status: str) -> tuple[str, dict[str, Any]]:
    period = {"subscription_from_datetime": f"2031-0{month}-15T00:00:00Z"}
    period |= {"subscription_to_datetime": f"2031-0{month + 1}-14T23:59:59Z"}
    invoice = {"lago_id": f"lago-{month}", "payment_status": status, "total_amount_cents": 9000}
    invoice |= {"subscriptions": [{"external_id": "ext-1"}], "billing_periods": [period]}
    return _lago("invoice.payment_status_updated", at, invoice=invoice)


_LAGO_SUBSCRIPTION = {
    "lago_id": "lago-sub",
    "external_id": "ext-1",
    "external_customer_id": "ada",
    "plan_code": "gold",
    "plan_interval": "monthly",
    "started_at": "2031-01-15T10:30:00Z",
}

LAGO = Case(
    name="mapped, like Lago",
    new=New("mapped", ["a-lago-hmac-key"], mapping=_mapping("lago")),
    secret="a-lago-hmac-key",
    price="gold",
    deliveries=[
        _lago("subscription.started", "2031-01-15T10:30:00Z", subscription=_LAGO_SUBSCRIPTION),
        _lago_invoice(1, "2031-01-15T10:40:00Z", "succeeded"),
        _lago_invoice(2, "2031-02-15T10:40:00Z", "failed"),
        _lago_invoice(2, "2031-02-17T10:40:00Z", "succeeded"),
        _lago(
            "subscription.terminated",
            "2031-03-10T10:40:00Z",
            subscription={**_LAGO_SUBSCRIPTION, "terminated_at": "2031-03-10T10:40:00Z"},
        ),
    ],
    sign=lambda body, secret: {
        "x-lago-signature": base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()
    },
    membership_id=mapped.membership_of("lago", "ext-1"),
    owed=["2031-01-15", "2031-02-15"],
)

CASES = [STRIPE, CHARGEBEE, LAGO]
