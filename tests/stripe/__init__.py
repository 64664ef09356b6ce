"""Payloads of Stripe's, cut down to facts, and sequences of them with the credits that must come of each.

`sequences.jsonl` has one a line: the events, the rule, the instant at which all is settled, and the credits by
membership (`si_…`) as [period_start, whose, state], worked out by hand.
"""

import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
SECRET = "whsec_of_these_tests"


def sequences() -> list[dict[str, Any]]:
    """The sequences."""
    return [json.loads(line) for line in (FOLDER / "sequences.jsonl").read_text().splitlines()]


def payload(name: str) -> dict[str, Any]:
    """One payload, by the name of its file."""
    body: dict[str, Any] = json.loads((FOLDER / f"stripe_{name}.json").read_text())
    return body


def signed(body: bytes, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    """The header with which Stripe sends a body."""
    stamp = int(time.time() if at is None else at)
    signature = hmac.new(secret.encode(), b"%d.%s" % (stamp, body), hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={stamp},v1={signature}", "Content-Type": "application/json"}
