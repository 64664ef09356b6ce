"""What one caller does to everybody: rows of the table of docs/security.md's first attack pass, and their relatives.

Each is done by a few threads at once until it is told to stop, with a brand's key, over real connections.
"""

import json
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from itertools import count
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import uuid4

#: Threads that ask at once.
AT_ONCE = 8
_number = count()


@dataclass(frozen=True)
class Prey:
    """Whom an attack can name: the server, a key and a member's token of the attacker's brand, and ids of what is
    theirs."""

    host: str
    port: int
    key: str
    token: str
    known: Mapping[str, str]


class Asked(NamedTuple):
    """A request."""

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = {}
    token: bool = False


#: Makes the next request of an attack.
Attack = Callable[[Prey], Asked]


def _events(prey: Prey) -> Asked:
    data = {"membership_id": prey.known["one"], "period_start": "2026-01-01"}
    one = {"specversion": "1.0", "source": "doors", "type": "charge.initiated", "time": "2026-01-01T00:00:00Z"}
    batch = [{**one, "id": str(next(_number)), "data": {**data, "charge_id": str(next(_number))}} for _ in range(1000)]
    return Asked("POST", "/billing-events", batch)


def _corrections(prey: Prey) -> Asked:
    one = {"action": "grant", "membership_id": prey.known["one"], "coupon_id": "spa", "reason": "r"}
    return Asked("POST", "/customers/credits/corrections", {"corrections": [one] * 400, "dry_run": True})


def _registered(prey: Prey) -> Asked:
    url = f"https://{uuid4().hex}.example/x"
    headers = {"Idempotency-Key": uuid4().hex}
    return Asked("POST", "/v1/webhooks", {"url": url, "events": ["credit.issued"]}, headers)


def _sign_in(_: Prey) -> Asked:
    form = urlencode({"email": f"{uuid4().hex}@example.com", "password": "a wrong password"})
    return Asked("POST", "/console/sign-in", form, {"Content-Type": "application/x-www-form-urlencoded"})


def _wide(prey: Prey) -> Asked:
    return Asked("POST", "/v1/redemptions", {f"f{number}": 1 for number in range(5000)}, token=True)


def _long_json(_: Prey) -> Asked:
    return Asked("POST", "/billing-events", {"specversion": "1.0", "x": [0] * 740_000})


def _many_strings(_: Prey) -> Asked:
    return Asked("POST", "/billing-events", {"specversion": "1.0", "x": ["\U0001d54f"] * 90_000})


def _made_up(_: Prey) -> Asked:
    return Asked("PROPFIND", f"/{uuid4().hex}")


def _of_crowd(prey: Prey, to: str) -> Asked:
    return Asked("GET", f"/customers/memberships/{prey.known['crowd']}/explain?to={to}")


def _of_rule(prey: Prey, what: str) -> Asked:
    return Asked("GET", f"/customers/membership-credit-rules/{prey.known['rule']}/{what}")


def _replayed(prey: Prey) -> Asked:
    span = {"from": "1900-01-01", "to": "2199-12-31"}
    return Asked("POST", "/replays", {"membership_id": prey.known["crowd"], **span, "dry_run": True})


def _all_replayed(_: Prey) -> Asked:
    return Asked("POST", "/replays", {"from": "1900-01-01", "to": "2199-12-31", "dry_run": True})


def _parties(prey: Prey) -> Asked:
    one = {"specversion": "1.0", "source": "doors", "type": "membership.signed_up", "time": "2026-01-01T00:00:00Z"}
    data = {"membership_type_id": prey.known["type"], "starts_on": "2026-01-01"}
    party = [{"name": "a", "lead_booker": True}, *[{"name": "a"}] * 499]
    batch = []
    for _ in range(60):
        who = str(uuid4())
        said = {**data, "membership_id": who, "external_user_id": who, "guests": party}
        batch.append({**one, "id": who, "data": said})
    return Asked("POST", "/billing-events", batch)


def _previewed(prey: Prey) -> Asked:
    asked = {"credit_rule_id": prey.known["rule"], "delete": True, "months": 12}
    return Asked("POST", "/customers/membership-credit-rules/preview", asked)


ATTACKS: dict[str, Attack] = {
    "explain": lambda prey: _of_crowd(prey, "2034-12-31"),
    "explain a century": lambda prey: _of_crowd(prey, "2199-12-31"),
    "forecast": lambda prey: _of_rule(prey, "forecast?months=60"),
    "coupons": lambda _: Asked("GET", "/customers/coupons?per_page=100"),
    "memberships": lambda _: Asked("GET", "/customers/memberships?per_page=100"),
    "credits": lambda _: Asked("GET", "/customers/credits?per_page=100&page=100&multi_use=false"),
    "one membership": lambda prey: Asked("GET", f"/customers/memberships/{prey.known['crowd']}"),
    "liability": lambda _: Asked("GET", "/customers/liability?from=1900-01&to=2199-12"),
    "analytics": lambda _: Asked("GET", "/customers/credits/timeseries?from=2031-01-01&to=2033-09-01&interval=day"),
    "events": _events,
    "corrections": _corrections,
    "unknown fields": _wide,
    "long json": _long_json,
    "many strings": _many_strings,
    "dead names": _registered,
    "sign-ins": _sign_in,
    "wrong codes": lambda _: Asked("POST", f"/customers/credits/ABC{uuid4().hex[:13].upper()}/redeem", {}),
    "made-up methods": _made_up,
    "metrics": lambda _: Asked("GET", "/metrics"),
    "document": lambda _: Asked("GET", "/openapi.json"),
    "files": lambda _: Asked("GET", "/docs/swagger-ui-bundle.js"),
    "wrong methods": lambda _: Asked("DELETE", "/customers/credits"),
    "unknown billers": lambda _: Asked("POST", f"/billers/stripe/{uuid4()}", {}),
    "replays": _replayed,
    "replays of everybody": _all_replayed,
    "parties": _parties,
    "previews": _previewed,
    "clock": lambda _: Asked("PUT", "/sandbox/clock", {"now": "2199-12-01T00:00:00Z", "jump": True}),
}


def go_on(name: str, prey: Prey, stop: threading.Event) -> dict[str, int]:
    """Attack until told to stop; how many answers there were by their status, 0: none came."""
    answers: dict[str, int] = {}
    lock = threading.Lock()

    def work() -> None:
        while not stop.is_set():
            try:
                said = _keep_asking(name, prey, stop, answers, lock)
            except (OSError, HTTPException):
                said = 0
            if said is not None:
                with lock:
                    answers[str(said)] = answers.get(str(said), 0) + 1

    workers = [threading.Thread(target=work, daemon=True) for _ in range(AT_ONCE)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    return answers


def _keep_asking(
    name: str, prey: Prey, stop: threading.Event, answers: dict[str, int], lock: threading.Lock
) -> int | None:
    with closing(HTTPConnection(prey.host, prey.port, timeout=60)) as connection:
        while not stop.is_set():
            asked = ATTACKS[name](prey)
            body = asked.body if asked.body is None or isinstance(asked.body, str) else json.dumps(asked.body)
            headers = {
                "Content-Type": "application/json",
                "Authorization": f"Bearer {prey.token if asked.token else prey.key}",
            }
            connection.request(asked.method, asked.path, body, {**headers, **asked.headers})
            answer = connection.getresponse()
            answer.read()
            with lock:
                answers[str(answer.status)] = answers.get(str(answer.status), 0) + 1
            if answer.status == 429:
                stop.wait(0.05)
            if answer.will_close:
                return None
    return None


#: Connections that ask and do not go on: what they say at first, and whether they then drip.
HELD: dict[str, tuple[int, Callable[[Prey], bytes]]] = {
    "half-open": (240, lambda _: b"GET /healthz HTTP/1.1\r\nHost"),
    "slow bodies": (
        240,
        lambda prey: (
            b"POST /billing-events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"
            b"Content-Length: 1500000\r\n\r\n%s" % (prey.key.encode(), b"[" + b" " * 1_400_000)
        ),
    ),
    "slow readers": (
        240,
        lambda prey: (
            b"GET /customers/coupons?per_page=100 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n"
            % prey.key.encode()
        ),
    ),
}


def hold(name: str, prey: Prey, stop: threading.Event) -> dict[str, int]:
    """Open many connections and leave them half done, again and again, until told to stop."""
    number, said = HELD[name]
    opened = 0

    def one() -> None:
        nonlocal opened
        while not stop.is_set():
            with suppress(OSError), closing(socket.socket()) as held:
                held.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                held.settimeout(5)
                held.connect((prey.host, prey.port))
                opened += 1
                held.sendall(said(prey))
                stop.wait(8)
            stop.wait(0.2)

    workers = [threading.Thread(target=one, daemon=True) for _ in range(number)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    return {"opened": opened}
