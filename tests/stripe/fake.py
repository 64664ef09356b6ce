"""A stateful fake of Stripe over HTTP: what its webhooks said is what its API says.

`localstripe` has no disputes, no test clocks, no `pause_collection` and one API version's shape, so this is one of
ours: it holds objects as the payloads have them, and lists them as Stripe does (pages, `created[gte]`, `status`).
"""

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

KEY = "sk_test_of_the_fake"
#: The address of each kind of object.
_KINDS = {
    "subscription": "subscriptions",
    "invoice": "invoices",
    "charge": "charges",
    "refund": "refunds",
    "dispute": "disputes",
    "customer": "customers",
    "invoice_payment": "invoice_payments",
}
_ENDED = ("canceled", "incomplete_expired")


class FakeStripe:
    """Objects by kind, the newest last. `refuses`: how many requests are answered with 429 before the next good one."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in _KINDS.values()}
        self.requests: list[str] = []
        #: Whether it lists what happened (`/v1/events`).
        self.keeps_events = False
        self.events: list[dict[str, Any]] = []
        #: How many lines an invoice has in itself; the others are on pages of their own.
        self.lines = 10
        self.refuses = 0
        self.away = False
        self.url = ""

    def put(self, body: dict[str, Any]) -> None:
        """Hold an object as it is now."""
        if (kind := _KINDS.get(body["object"])) is not None:
            self.objects[kind][body["id"]] = {**self.objects[kind].get(body["id"], {}), **body}

    def happen(self, events: Iterable[dict[str, Any]]) -> None:
        """Let things happen, as events tell them: each leaves its object as it says."""
        for event in sorted(events, key=lambda one: one["created"]):
            self.events.append(event)
            body = event["data"]["object"]
            if event["type"] == "charge.refunded":
                known = [one for one in self.objects["refunds"].values() if one["charge"] == body["id"]]
                refund = {"object": "refund", "id": f"re_{event['id']}", "charge": body["id"], "status": "succeeded"}
                refund |= {"payment_intent": body.get("payment_intent"), "created": event["created"]}
                if more := body["amount_refunded"] - sum(one["amount"] for one in known):
                    self.put({**refund, "amount": more})
            made = self.objects["disputes"].get(body["id"], {}).get("created", event["created"])
            self.put({"created": made, **body} if body["object"] == "dispute" else body)
            if body["object"] == "invoice" and body.get("charge"):
                charge = {"object": "charge", "id": body["charge"], "payment_intent": body["payment_intent"]}
                self.put({**charge, "invoice": body["id"], "amount": body["amount_due"]})

    def answer(self, path: str, query: dict[str, list[str]]) -> tuple[int, Any]:
        """The status and body of an answer."""
        kind, _, object_id = path.removeprefix("/v1/").partition("/")
        if kind == "events" and self.keeps_events:
            group = query["type"][0].removesuffix("*")
            told = [one for one in reversed(self.events) if one["type"].startswith(group) and _matches(one, query)]
            return 200, self._page(told, query)
        if kind not in self.objects:
            return 404, {"error": {"type": "invalid_request_error"}}
        if object_id.endswith("/lines"):
            lines = self.objects[kind][unquote(object_id.removesuffix("/lines"))]["lines"]["data"]
            return 200, self._page(lines, query)
        if object_id:
            found = self.objects[kind].get(unquote(object_id))
            return (200, self.shown(found)) if found is not None else (404, {"error": {"code": "resource_missing"}})
        found_here = [one for one in reversed(self.objects[kind].values()) if _matches(one, query)]
        return 200, self._page([self.shown(one) for one in found_here], query)

    def shown(self, body: dict[str, Any]) -> dict[str, Any]:
        """An object as answers and webhooks have it: an invoice with its first lines."""
        lines = body.get("lines", {}).get("data", [])
        if len(lines) <= self.lines:
            return body
        return {**body, "lines": {"object": "list", "data": lines[: self.lines], "has_more": True}}

    def _page(self, rows: list[dict[str, Any]], query: dict[str, list[str]]) -> dict[str, Any]:
        limit, after = int(query.get("limit", ["10"])[0]), query.get("starting_after", [None])[0]
        ids = [row["id"] for row in rows]
        first = ids.index(after) + 1 if after is not None else 0
        return {"object": "list", "data": rows[first : first + limit], "has_more": first + limit < len(rows)}


def _matches(body: dict[str, Any], query: dict[str, list[str]]) -> bool:
    since = query.get("created[gte]")
    if since is not None and body.get("created", 0) < int(since[0]):
        return False
    intent = query.get("payment[payment_intent]")
    if intent is not None and body["payment"].get("payment_intent") != intent[0]:
        return False
    if body["object"] == "subscription" and query.get("status", [None])[0] != "all":
        return body["status"] not in _ENDED
    return True


@contextmanager
def fake_stripe() -> Iterator[FakeStripe]:
    """A fake that answers at `url` until the end of the block."""
    fake = FakeStripe()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            address = urlsplit(self.path)
            fake.requests.append(self.path)
            status, body = 401, None
            if fake.away:
                status, body = 503, {}
            elif fake.refuses > 0:
                fake.refuses -= 1
                status, body = 429, {"error": {"code": "rate_limit"}}
            elif self.headers.get("authorization") == f"Bearer {KEY}":
                status, body = fake.answer(address.path, parse_qs(address.query))
            raw = json.dumps(body).encode()
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", "0")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    fake.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
