"""The load meanwhile: members sign up and are charged, use credits and points, and a webhook is told. Whoever asks
tries the other web where one does not answer, as clients do."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count, pairwise
from typing import Any
from uuid import UUID, uuid4

import httpx

from campaigns.hosts.world import World
from campaigns.receiver import Receiver

#: Seconds between two sign-ups, two uses, two gifts of points.
EVERY = 0.25, 0.5, 1.0
#: Seconds for a connection and for an answer, after which who asks tries the next web.
PATIENCE = httpx.Timeout(10, connect=2)
BATCH = {"Content-Type": "application/cloudevents-batch+json"}
POINTS, USED = 3, 1
TOLD = ("wallet.credited", "redemption.created")


class Load:
    """What clients ask for, and what they were answered. All of it is sent until it is taken, so what must come of it
    is known."""

    def __init__(self, world: World, receiver: Receiver, midnight: datetime) -> None:
        self.world, self.receiver, self.midnight = world, receiver, midnight
        #: Memberships whose period ends at midnight, and those that came after it.
        self.before, self.after = 0, 0
        self.used: set[str] = set()
        self.gifts = 0
        #: When sign-ups were taken (time.monotonic()), what others were answered, and what may never be answered.
        self.taken: list[float] = []
        self.refused: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.credits_seen_early = 0
        self._began = 0.0
        self._turn = count()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self._signed_up: list[str] = []
        tomorrow = midnight.date()
        self._starts_on, self._boundary = str(tomorrow - timedelta(days=7)), str(tomorrow)
        self._types: dict[str, str] = {}

    def prepare(self) -> None:
        """A coupon, a weekly rule for each way of billing, and a webhook."""
        coupon = {"name": "Tea", "discount": {"type": "percent", "value": 100}}
        self.call("PUT", "/customers/coupons/tea", json=coupon)
        for billing in ("automatic", "external"):
            made = self.call("POST", "/customers/membership-types", json={"name": billing, "billing": billing})
            self._types[billing] = made["id"]
            rule = {"membership_type_id": made["id"], "coupon_id": "tea", "coupon_name": "Tea", "roll_over": True}
            rule |= {"issue_on_signup": True, "effective_from": self._starts_on}
            self.call("POST", "/customers/membership-credit-rules", json=rule)
        self.call("PUT", "/v1/members/ada", json={})
        self.call("POST", "/v1/webhooks", json={"url": self.receiver.url, "events": list(TOLD)})

    def start(self) -> None:
        self._began = time.monotonic()
        works = (self._sign_up, self._use, self._give)
        for work, every in zip(works, EVERY, strict=True):
            thread = threading.Thread(target=self._go_on, args=(work, every), daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Stop, once what was begun is taken."""
        self._over.set()
        for thread in self._threads:
            thread.join(120)
            assert not thread.is_alive(), "what was begun is never taken"

    def pause(self) -> float:
        """The longest time without a sign-up taken, in seconds, from the start on."""
        return max((later - earlier for earlier, later in pairwise([self._began, *self.taken])), default=0.0)

    def call(self, method: str, path: str, *, key: str | None = None, **sent: Any) -> Any:
        """The answer of whichever web gives one, the same request to one after the other."""
        headers = {"Authorization": f"Bearer {key or self.world.key}", **sent.pop("headers", {})}
        if method == "POST" and path != "/billing-events":
            headers["Idempotency-Key"] = str(uuid4())
        while True:
            web = self.world.webs()[next(self._turn) % 2]
            try:
                answer = httpx.request(method, web + path, headers=headers, timeout=PATIENCE, trust_env=False, **sent)
            except httpx.TransportError as error:
                self.refused[type(error).__name__] += 1
            else:
                if answer.is_success:
                    return answer.json() if answer.content else None
                self._refused(method, path, answer)
            time.sleep(0.1)

    def _refused(self, method: str, path: str, answer: httpx.Response) -> None:
        """Only 503 that says when to come again, as JSON, is said while something is away."""
        if answer.status_code == 503 and "retry-after" in answer.headers and "error" in answer.json():
            self.refused["503 with Retry-After"] += 1
            return
        self.wrong.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        assert len(self.wrong) < 100, self.wrong

    def _go_on(self, work: Callable[[], None], every: float) -> None:
        while not self._over.is_set():
            try:
                work()
            except Exception as error:
                self.wrong.append(f"load: {type(error).__name__}: {error}")
            self._over.wait(every)

    def _sign_up(self) -> None:
        """A membership whose week ends at midnight; or, after it, one that begins then. Those that are billed from
        outside are charged ahead."""
        now, number = self.world.now(), self.before + self.after
        is_before = now < self.midnight
        billing = ("automatic", "external")[number % 2]
        membership_id = str(UUID(int=number + 1))
        signed_up = {"membership_id": membership_id, "membership_type_id": self._types[billing]}
        signed_up |= {"external_user_id": f"member {number}", "billing_frequency": "P1W"}
        signed_up["starts_on"] = self._starts_on if is_before else self._boundary
        events = [_event(f"sign-up {number}", "membership.signed_up", now, signed_up)]
        if billing == "external" and is_before:
            charge = {"membership_id": membership_id, "charge_id": f"charge {number}", "period_start": self._boundary}
            events.append(_event(f"charge {number}", "charge.initiated", now, {**charge, "amount": 10}))
        taken = self.call("POST", "/billing-events", json=events, headers=BATCH)
        if taken["rejected"]:
            self.wrong.append(f"refused: {taken['rejected']}")
        self.taken.append(time.monotonic())
        self._signed_up.append(membership_id)
        if is_before:
            self.before += 1
        else:
            self.after += 1

    def _use(self) -> None:
        """Redeem a credit of somebody who signed up a while ago. It is looked for before, and seen if it is early."""
        if len(self._signed_up) <= len(self.used):
            return
        membership_id = self._signed_up[len(self.used)]
        asked = self.world.now()
        theirs = self.call("GET", f"/customers/credits?membership_id={membership_id}")["data"]
        if asked + timedelta(seconds=10) < self.midnight:  # the answer may have taken as long
            self.credits_seen_early += sum(one["period_start"] == self._boundary for one in theirs)
        live = [one["code"] for one in theirs if one["status"] == "live"]
        if live:
            self.call("POST", f"/customers/credits/{live[0]}/redeem", json={})
            self.used.add(live[0])

    def _give(self) -> None:
        """Points, of which the member's app spends some, by a token that another web made."""
        self.call("POST", "/v1/wallet/credit", json={"externalUserID": "ada", "amount": POINTS})
        token = self.call("POST", "/v1/auth/exchange", json={"externalUserID": "ada"})["accessToken"]
        for _ in self.world.webs():
            self.call("GET", "/v1/wallet", key=token)
        self.call("POST", "/v1/redemptions", key=token, json={"points": USED})
        self.gifts += 1


def _event(event_id: str, kind: str, at: datetime, data: dict[str, Any]) -> dict[str, Any]:
    about = {"specversion": "1.0", "source": "hosts", "id": event_id, "type": kind}
    return {**about, "time": at.isoformat(), "data": data}
