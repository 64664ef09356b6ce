"""The demo's way to the running server: the public HTTP API with the sandbox brand's key."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

import httpx

from issuance.cli.people import server_address
from issuance.errors import IssuanceError

PAGE = 100
PATIENCE = 60.0  # seconds; a clock move answers when everything on its way is done


class DemoFailed(IssuanceError):
    """The demo did not see what it expects."""

    code = "demo_failed"


def address_of_server() -> str:
    """Where this host's server listens. Raises DemoFailed if none does."""
    address = server_address()
    try:
        httpx.get(f"{address}/healthz", trust_env=False).raise_for_status()
    except httpx.HTTPError:
        start = "issuance up (in the clone ./run), or issuance serve"
        raise DemoFailed(f"No server answers at {address}. Start one: {start}") from None
    return address


class Sandbox:
    """A sandbox brand over HTTP."""

    def __init__(self, address: str, key: str) -> None:
        self.http = httpx.Client(
            base_url=address, headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE, trust_env=False
        )

    def call(self, method: str, path: str, **request: Any) -> Any:
        """The JSON of a successful answer. Raises DemoFailed with the server's own words."""
        answer = self.http.request(method, path, **request)
        if answer.is_error:
            raise DemoFailed(f"{method} {path} answered {answer.status_code}: {answer.text.strip()}")
        return answer.json() if answer.content else None

    def pages(self, path: str, **filters: Any) -> list[dict[str, Any]]:
        """All rows of a paged list."""
        rows: list[dict[str, Any]] = []
        for page in range(1, 1000):
            answer = self.call("GET", path, params={**filters, "page": page, "per_page": PAGE})
            rows += answer["data"]
            if len(rows) >= answer["meta"]["total"]:
                break
        return rows

    def post_events(self, events: list[dict[str, Any]]) -> None:
        """Post billing events as one batch; every one has to be accepted."""
        headers = {"Content-Type": "application/cloudevents-batch+json"}
        answer = self.call("POST", "/billing-events", json=events, headers=headers)
        if answer["accepted"] != len(events):
            raise DemoFailed(f"The server did not accept every event: {answer}")

    def move_clock(self, now: datetime) -> None:
        """Let time pass until `now`; answers when all that fell due on the way is settled."""
        self.call("PUT", "/sandbox/clock", json={"now": now.isoformat()})

    def credits(self) -> dict[str, dict[str, Any]]:
        """Every credit of the brand, by its id."""
        return {credit["id"]: credit for credit in self.pages("/customers/credits")}

    def redeem(self, code: str) -> None:
        """Use a credit."""
        self.call("POST", f"/customers/credits/{code}/redeem", json={"reference": "demo"})

    def explain(self, membership_id: UUID, credit_rule_id: str, first: date, last: date) -> list[dict[str, Any]]:
        """What became of a rule's occurrences for a membership."""
        params = {"credit_rule_id": credit_rule_id, "from": first.isoformat(), "to": last.isoformat()}
        rows: list[dict[str, Any]] = self.call("GET", f"/customers/memberships/{membership_id}/explain", params=params)[
            "data"
        ]
        return rows
