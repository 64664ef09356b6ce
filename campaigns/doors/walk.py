"""A walk through every route of the API document and of the console, on a brand that has much of everything."""

import asyncio
import resource
import sys
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from time import perf_counter
from types import FrameType
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx

from campaigns.doors import largest, pages
from campaigns.fuzz.site import Site, site_on
from issuance.settings import Settings

#: The longest answer, in bytes; how far the process may grow on the whole walk, in MB; how long the event loop may be
#: held, in seconds (for the campaign only: a test has no clock).
LONGEST_ANSWER, MOST_GROWTH, LONGEST_HELD = 4_000_000, 250, 0.25
#: These wait for workers, of which the walk has none.
WAIT = frozenset({"setSandboxClock"}) | pages.WAIT
#: Nothing of the walk is refused for how much was asked before.
_NO_RATES = ("rate_a_key", "rate_a_brand", "rate_wrong_keys", "rate_wrong_codes", "rate_sign_ins", "rate_files")
_SIGN_UP = "membership.signed_up"


@dataclass
class Walked:
    """What came of a walk."""

    routes: set[str] = field(default_factory=set)
    requests: int = 0
    #: The longest answer and the longest time for which the loop was held, with the request.
    longest: tuple[int, str] = (0, "")
    held: tuple[float, str] = (0.0, "")
    #: Where the loop was meanwhile, innermost first.
    where: str = ""
    growth: int = 0
    #: What was answered with 500 or above.
    broken: list[str] = field(default_factory=list)

    @property
    def offences(self) -> list[str]:
        """What is beyond its bound, time aside."""
        said = [f"broken: {one}" for one in self.broken]
        if self.longest[0] > LONGEST_ANSWER:
            said.append(f"{self.longest[1]} answers {self.longest[0]} bytes")
        if self.growth > MOST_GROWTH:
            said.append(f"the process grew by {self.growth} MB")
        return said


def walk(given: Settings, *, crowd: int = 500, coupons: int = 100) -> Walked:
    """Walk through every operation and page with every largest input."""
    walked = Walked()
    with site_on(given.model_copy(update=dict.fromkeys(_NO_RATES, 0))) as site:
        known = _furnished(site, crowd, coupons)
        before = _memory()
        for operation_id, method, path, more in chain(pages.requests(site, known), requests(site, known)):
            _try(site, walked, operation_id, method, path, more)
        walked.growth = _memory() - before
    return walked


def requests(site: Site, known: dict[str, str]) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Each request of the walk: reading first, and what deletes last."""
    document = site.app.openapi()
    schemas = document["components"]["schemas"]
    order = ["get", "put", "post", "patch", "delete"]
    operations = [
        (order.index(method), path, method, operation)
        for path, of in document["paths"].items()
        for method, operation in of.items()
        if operation["operationId"] not in WAIT
    ]
    for _, path, method, operation in sorted(operations, key=lambda one: one[:3]):
        name = operation["operationId"]
        address = path
        for part in operation.get("parameters", []):
            if part["in"] == "path":
                address = address.replace(f"{{{part['name']}}}", quote(known.get(part["name"], str(uuid4())), safe=""))
        for query in largest.queries(operation.get("parameters", []), known):
            yield name, method, address, {"params": query}
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            for body in largest.values(path, content["schema"], schemas, known):
                said = {"json": body, "headers": {"content-type": media_type}}
                yield name, method, address, said
                if method == "post":
                    yield name, method, address, {**said, "headers": {**said["headers"], "Idempotency-Key": "k" * 255}}


def _try(site: Site, walked: Walked, name: str, method: str, address: str, more: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {site.key}", **more.get("headers", {})}
    more = {key: value for key, value in more.items() if key != "headers"}
    answer, held, where = site.runner.run(_timed(site.client, method.upper(), address, headers, more))
    walked.routes.add(name)
    walked.requests += 1
    said = f"{method.upper()} {address[:80]} {str(more.get('params', ''))[:60]}"
    if held > walked.held[0]:
        walked.where = where
    walked.longest = max(walked.longest, (len(answer.content), said))
    walked.held = max(walked.held, (held, said))
    if answer.status_code >= 500:
        walked.broken.append(f"{said}: {answer.status_code} {answer.text[:200]}")


async def _timed(
    client: httpx.AsyncClient, method: str, address: str, headers: dict[str, str], more: dict[str, Any]
) -> tuple[httpx.Response, float, str]:
    """An answer, the longest time for which nobody else had the event loop meanwhile, and where it then was."""
    request = client.build_request(method, address, headers=headers, **more)
    with _Watch() as watch:
        beating = asyncio.create_task(watch.beat())
        answer = await client.send(request)
        watch.done.set()
        await beating
    return answer, watch.longest, watch.where


class _Watch:
    """Looks from another thread where the event loop is while nobody else gets it."""

    def __init__(self) -> None:
        self.longest, self.where = 0.0, ""
        self.done = asyncio.Event()
        self._beat = perf_counter()
        self._loop = threading.get_ident()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "_Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    async def beat(self) -> None:
        """Say again and again that the loop is free, and note the longest pause between."""
        while not self.done.is_set():
            self._beat = began = perf_counter()
            await asyncio.sleep(0.002)
            self.longest = max(self.longest, perf_counter() - began - 0.002)

    def _others(self) -> list[FrameType]:
        mine = threading.get_ident()
        return [frame for thread, frame in sys._current_frames().items() if thread not in (mine, self._loop)]

    def _look(self) -> None:
        worst = LONGEST_HELD / 2
        while not self._over.wait(0.02):
            late = perf_counter() - self._beat
            frame = sys._current_frames().get(self._loop)
            if late > worst and frame is not None:
                worst = late
                stack = traceback.extract_stack(frame)[-6:]
                self.where = " < ".join(f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in reversed(stack))
                if stack[-1].name == "select":  # it is free, and Python itself is not
                    self.where = "; ".join(filter(None, map(_at_work, self._others())))


def _at_work(frame: FrameType) -> str:
    """Where a thread is; nothing of one that waits."""
    stack = traceback.extract_stack(frame)[-4:]
    if stack[-1].name in ("wait", "get", "_look") or "getconn" in stack[-1].name:
        return ""
    return " < ".join(f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in reversed(stack))


def _furnished(site: Site, crowd: int, coupons: int) -> dict[str, str]:
    """Much of everything, as large as it may be; and an id of each kind that parameters and fields name."""
    known = {name: ids[0] for name, ids in site.known.items() if ids}
    quotes = "&" * 8_180  # a byte that is five on a page
    for number in range(coupons):
        body = {"name": "n" * 255, "description": largest.WIDE * 4000, "discount": {"type": "percent", "value": 1}}
        for last in "xy":  # the audit shows what was changed, and into what
            site.call("PUT", f"/customers/coupons/c{number}", json={**body, "offerings": [quotes[1:] + last]})
    guests = [
        {"guest_id": str(uuid4()), "name": largest.WIDE * 200, "email": "e" * 300, "lead_booker": place == 0}
        for place in range(crowd)
    ]
    memberships = [str(uuid4()) for _ in range(3)]
    for one in memberships:
        data = {"membership_id": one, "membership_type_id": str(site.type_id), "external_user_id": one,
                "starts_on": "2060-01-01", "billing_anchor": "2060-01-01", "guests": guests}  # fmt: skip
        event = {"specversion": "1.0", "id": one, "source": "doors", "type": _SIGN_UP,
                 "time": "2090-06-01T00:00:00Z", "data": data}  # fmt: skip
        site.call("POST", "/billing-events", json=event)
        site.call("POST", "/billing-events", json={"specversion": "1.0", "id": one, "x": "'" * 1_000_000})
        site.call("PUT", f"/v1/members/{one}", json={"attributes": {"a": "'" * 16_000}})
    biller = site.call("POST", "/billers", json={"kind": "stripe", "secret": "whsec_" + "a" * 32}).json()["id"]
    site.call("PUT", f"/billers/{biller}/prices/price_1", json={"membership_type_id": None})
    span = {"from": "2060-01-01", "to": "2060-01-01", "dry_run": True}
    run = site.call("POST", "/replays", json={"membership_id": memberships[0], **span}).json()["id"]
    known |= {"membership_id": memberships[0], "membership": memberships[0], "biller_id": biller, "run_id": run}
    return known


def _memory() -> int:
    """The most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
