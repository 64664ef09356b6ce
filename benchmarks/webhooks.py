"""A biller's webhooks in, beside the same facts as CloudEvents: one a request, by as many clients, workers beside them.

A sign-up and a charge of each membership. What is measured is how fast they are accepted, which is durable; not
settled.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import local
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import httpx

from benchmarks.club import OPENED, Club
from benchmarks.samples import Sample
from benchmarks.site import Site
from benchmarks.stage import Stage

CLIENTS = 16
_SECRET = "whsec_of_the_benchmark"  # noqa: S105 - of a brand that is dropped
_MONTH = 31 * 86_400

Request = dict[str, Any]


class Burst:
    """The facts of `n` requests, as webhooks of Stripe's or as CloudEvents."""

    def __init__(self, stage: Stage, n: int, *, stripe: bool) -> None:
        self.name = "webhooks" if stripe else "events_alone"
        self.title = f"{'webhooks of Stripe' if stripe else 'CloudEvents'}, one a request, {CLIENTS} clients"
        self._stage, self._n, self._stripe = stage, n, stripe

    def prepare(self) -> None:
        """Makes the brand that takes them in, with Stripe plugged in."""
        self._club = Club(self._stage, self._stage.database(self.name), 1)

    def measure(self) -> Sample:
        members = [uuid4() for _ in range(self._n // 2)]
        self._stage.settle_down(self.name)
        with self._stage.running(self._club.url) as site:
            requests = self._webhooks(site, members) if self._stripe else self._events(members)
            return Sample(len(requests), _posted(site.url, requests))

    def _events(self, members: Sequence[UUID]) -> list[Request]:
        headers = {"authorization": f"Bearer {self._club.key}", "content-type": "application/cloudevents+json"}
        told = [
            event for one in members for event in (self._club.sign_up(one, OPENED), self._club.charge(one, "succeeded"))
        ]
        return [{"url": "/billing-events", "headers": headers, "content": json.dumps(event)} for event in told]

    def _webhooks(self, site: Site, members: Sequence[UUID]) -> list[Request]:
        with site.client(self._club.key) as http:
            plugged = http.post("/billers", json={"kind": "stripe", "secret": _SECRET})
            biller_id = plugged.raise_for_status().json()["id"]
            sold = {"membership_type_id": str(self._club.type_id)}
            http.put(f"/billers/{biller_id}/prices/price_gold", json=sold).raise_for_status()
        path = f"/billers/stripe/{biller_id}"
        return [{"url": path, "content": json.dumps(event).encode()} for one in members for event in _said(one)]


def _said(member: UUID) -> list[dict[str, Any]]:
    """What Stripe says of a member who signs up and pays."""
    at, item = int(OPENED.timestamp()), f"si_{member}"
    price = {"id": "price_gold", "recurring": {"interval": "month", "interval_count": 1}}
    subscription = {
        "id": f"sub_{member}",
        "object": "subscription",
        "status": "active",
        "customer": f"cus_{member}",
        "created": at,
        "start_date": at,
        "billing_cycle_anchor": at,
        "items": {"data": [{"id": item, "quantity": 1, "price": price}]},
    }
    line = {"amount": 9000, "proration": False, "subscription_item": item, "price": {"id": "price_gold"}}
    invoice = {
        "id": f"in_{member}",
        "object": "invoice",
        "status": "paid",
        "subscription": f"sub_{member}",
        "created": at,
        "amount_due": 9000,
        "lines": {"data": [{**line, "period": {"start": at, "end": at + _MONTH}}]},
    }
    told = {"customer.subscription.created": subscription, "invoice.paid": invoice}
    envelope = {"object": "event", "created": at, "livemode": False}
    return [
        {**envelope, "id": f"evt_{kind}_{member}", "type": kind, "data": {"object": body}}
        for kind, body in told.items()
    ]


def _signed(body: bytes) -> dict[str, str]:
    """The headers of a webhook that is sent now: a signature is good for 300 s."""
    stamp = int(time.time())
    signature = hmac.new(_SECRET.encode(), b"%d.%s" % (stamp, body), hashlib.sha256).hexdigest()
    return {"stripe-signature": f"t={stamp},v1={signature}", "content-type": "application/json"}


def _posted(url: str, requests: Sequence[Request]) -> float:
    """The seconds in which all of them were accepted."""
    own = local()

    def client() -> httpx.Client:
        if not hasattr(own, "http"):
            own.http = httpx.Client(base_url=url, timeout=300, trust_env=False)
        http: httpx.Client = own.http
        return http

    def post(request: Request) -> None:
        headers = request.get("headers") or _signed(request["content"])
        client().post(**{**request, "headers": headers}).raise_for_status()

    began = monotonic()
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(post, requests))
    return monotonic() - began
