"""A sandbox brand with a membership type, its rules and many memberships.

Everything goes through the product's public face: its command line and HTTP. One membership of each life (when it
joined) signs up so; the others are copies of its rows (`copies`), so that a million of them are there in minutes, as
the product would have left them.
"""

import json
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import copy
from datetime import UTC, date, datetime
from typing import Any, Protocol
from uuid import UUID, uuid4

import httpx
import psycopg

from benchmarks.copies import copy_membership
from benchmarks.site import Site
from benchmarks.stage import Stage

#: Where the clock stands in the end: everybody has had the credits of this month.
OPENED = datetime(2031, 1, 1, 10, tzinfo=UTC)
#: The rules are new then, and in force from the next cycle on for those who had joined before.
_PROMISED = datetime(2030, 12, 15, tzinfo=UTC)
#: Members joined on the first of each of so many months: so many lives differ, and all are billed on the first.
LIVES = 12
#: Events that one request holds at most, and how many clients post them.
MOST_EVENTS, CLIENTS = 1_000, 4
#: Seconds between two looks whether a clock move that took longer than one answer is done.
_PAUSE = 0.05

Events = list[dict[str, Any]]


class Ask(Protocol):
    """Asks the database for one value, by a statement with `%(name)s` for its parameters; brand_id is always given."""

    def __call__(self, statement: str, **parameters: object) -> Any: ...


class Club:
    """A brand on a database. `members` of it have joined, and hold the first month's credits.

    `billing` is the type's; of one billed from outside, every membership has paid for the first month. `loaded`: every
    membership signs up by `issuance events load`, and none is a copy. Rows of tables to `leave_out` are not copied.
    """

    def __init__(
        self,
        stage: Stage,
        url: str,
        members: int,
        *,
        rules: int = 1,
        roll_over: bool = False,
        billing: str = "automatic",
        loaded: bool = False,
        leave_out: Collection[str] = (),
    ) -> None:
        self.url = url
        self.members = members
        self.rules = rules
        self.month = 0
        self._stage = stage
        told = ("--name", "Club", "--timezone", "UTC", "--sandbox")
        made = json.loads(stage.issuance(url, "brands", "create", *told))
        self.brand_id, self.key = UUID(made["brand_id"]), str(made["key"])
        lives = [members // LIVES + (life < members % LIVES) for life in range(min(LIVES, members))]
        firsts = [uuid4() for _ in lives]
        with stage.running(url) as site:
            self.move_clock(site, _PROMISED)
            self.type_id, self.rule_ids = self._promise(site, rules, roll_over, billing)
            self.move_clock(site, OPENED)
            if loaded:
                everybody = [life for life, size in enumerate(lives) for _ in range(size)]
                self.load([self.sign_up(uuid4(), _joined(life)) for life in everybody])
            else:
                self.post(site, [self.sign_up(one, _joined(life)) for life, one in enumerate(firsts)])
            if billing == "external":
                for kind in ("initiated", "succeeded"):
                    self.post(site, [self.charge(one, kind) for one in firsts])
            self.move_clock(site, OPENED)
        signed_up = members if loaded else len(firsts)
        assert self.credits(OPENED.date()) == rules * signed_up, "everybody has this month's"
        if not loaded:
            with self.connected() as connection:
                for first, size in zip(firsts, lives, strict=True):
                    with connection.transaction():
                        copy_membership(connection, first, size - 1, leave_out)

    def sign_up(self, membership_id: UUID, at: datetime) -> dict[str, Any]:
        """The event of one more membership, which starts on the day."""
        data = {
            "membership_id": str(membership_id),
            "membership_type_id": str(self.type_id),
            "external_user_id": f"member of {membership_id}",
            "starts_on": at.date().isoformat(),
        }
        return _event("membership.signed_up", str(membership_id), at, data)

    def charge(self, membership_id: object, kind: str) -> dict[str, Any]:
        """What becomes of the charge of this month: `initiated`, `succeeded` … Their ids stand in that order too."""
        start = first_of_month(self.month)
        charge_id = f"charge of {membership_id} for {start}"
        data = {
            "membership_id": str(membership_id),
            "charge_id": charge_id,
            "period_start": start.isoformat(),
            "amount": 90,
        }
        return _event(f"charge.{kind}", f"{kind}: {charge_id}", self.now, data)

    @property
    def now(self) -> datetime:
        """Where the clock stands, or is moved to next."""
        return OPENED if self.month == 0 else datetime.combine(first_of_month(self.month), datetime.min.time(), UTC)

    def next_month(self, months: int = 1) -> datetime:
        """The first of the month, so many months on; the club goes on from there."""
        self.month += months
        return self.now

    def move_clock(self, site: Site, now: datetime, *, jump: bool = False) -> float:
        """Moves the clock over HTTP; the seconds until everything due by then was settled."""
        with site.client(self.key) as http:
            body = {"now": now.isoformat(), "jump": jump}
            began = time.monotonic()
            # One answer waits five minutes at most; asking again for the same instant waits on.
            while (answer := http.put("/sandbox/clock", json=body)).status_code == httpx.codes.SERVICE_UNAVAILABLE:
                body["jump"] = False
                time.sleep(_PAUSE)
            seconds = time.monotonic() - began
        answer.raise_for_status()
        return seconds

    def post(self, site: Site, events: Events) -> float:
        """Posts events in batches, by several clients; the seconds from the first request to the last answer."""
        bodies = [json.dumps(events[n : n + MOST_EVENTS]) for n in range(0, len(events), MOST_EVENTS)]
        headers = {"Content-Type": "application/cloudevents-batch+json"}
        with site.client(self.key) as http, ThreadPoolExecutor(CLIENTS) as pool:

            def send(body: str) -> int:
                answer = http.post("/billing-events", content=body, headers=headers)
                return int(answer.raise_for_status().json()["accepted"])

            send("[]")
            began = time.monotonic()
            accepted = sum(pool.map(send, bodies))
            seconds = time.monotonic() - began
        assert accepted == len(events), f"{accepted} of {len(events)} accepted"
        return seconds

    def load(self, events: Events) -> float:
        """Loads events by the product's command line; the seconds that it took, its start included."""
        file = self._stage.home / "events.jsonl"
        file.write_text("".join(json.dumps(event) + "\n" for event in events))
        began = time.monotonic()
        said = self._stage.issuance(self.url, "events", "load", str(file), "--brand", str(self.brand_id), "--json")
        seconds = time.monotonic() - began
        assert json.loads(said)["accepted"] == len(events), said
        return seconds

    @contextmanager
    def connected(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection that sees the brand's rows."""
        options = f"-c issuance.brand_id={self.brand_id}"
        with psycopg.connect(self.url, autocommit=True, options=options) as connection:
            yield connection

    @contextmanager
    def looking(self) -> Iterator[Ask]:
        """Asks for values on one connection, for those who look often."""
        with self.connected() as connection:

            def ask(statement: str, **parameters: object) -> Any:
                row = connection.execute(statement.encode(), {"brand_id": self.brand_id, **parameters}).fetchone()
                return row and row[0]

            yield ask

    def value(self, statement: str, **parameters: object) -> Any:
        """One value of the database, as `Ask` has it."""
        with self.looking() as ask:
            return ask(statement, **parameters)

    def memberships(self) -> list[UUID]:
        """The ids of all memberships, in no order: a biller knows nothing of the order of ids."""
        everybody = "SELECT membership_id FROM memberships ORDER BY md5(membership_id::text)"
        with self.connected() as connection:
            return [membership_id for (membership_id,) in connection.execute(everybody)]

    def credits(self, period_start: date, ask: Ask | None = None) -> int:
        """How many credits there are for the period that starts then."""
        counted = "SELECT count(*) FROM credits WHERE brand_id = %(brand_id)s AND period_start = %(start)s"
        return int((ask or self.value)(counted, start=period_start))

    def _promise(self, site: Site, count: int, roll_over: bool, billing: str) -> tuple[UUID, Sequence[UUID]]:
        """A membership type and `count` monthly rules on it."""
        with site.client(self.key) as http:

            def made(path: str, **body: object) -> UUID:
                return UUID(http.post(path, json=body).raise_for_status().json()["id"])

            coupon = {"name": "Tea", "discount": {"type": "percent", "value": 100}}
            http.put("/customers/coupons/tea", json=coupon).raise_for_status()
            type_id = made("/customers/membership-types", name="Gold", billing=billing)
            rule = {
                "membership_type_id": str(type_id),
                "coupon_id": "tea",
                "issuing_frequency": "P1M",
                "issue_on_signup": True,
                "include_upcoming": True,
                "roll_over": roll_over,
            }
            names = [f"Tea {number}" for number in range(count)]
            return type_id, [made("/customers/membership-credit-rules", coupon_name=name, **rule) for name in names]


#: The first club of each kind on a stage, by what was asked for.
_FIRST: dict[tuple[object, ...], Club] = {}


def club_on(where: Stage, name: str, members: int, *, rules: int = 1) -> Club:
    """A club on a database of its own. A second one like it, before the first is measured, is a copy of its files."""
    kind = (where, members, rules)
    if kind not in _FIRST:
        _FIRST[kind] = Club(where, where.database(name), members, rules=rules)
        return _FIRST[kind]
    club = copy(_FIRST[kind])
    club.url = where.copy(name, club.url)
    return club


def first_of_month(month: int) -> date:
    """The first day of the month that is so many months after the first one."""
    years, months = divmod(OPENED.month - 1 + month, 12)
    return date(OPENED.year + years, months + 1, 1)


def _joined(life: int) -> datetime:
    """When those joined who did so many months before the others."""
    return datetime.combine(first_of_month(-life), OPENED.timetz())


def _event(kind: str, event_id: str, at: datetime, data: Mapping[str, object]) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "source": "benchmark",
        "id": event_id,
        "type": kind,
        "time": at.isoformat(),
        "data": data,
    }
