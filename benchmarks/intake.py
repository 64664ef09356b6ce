"""Events in: over HTTP in batches, by `issuance events load`, and COPY of the same rows into the same tables.

Intake alone: no worker runs beside it. Each round has sign-ups, which are five rows in five tables each, and charges of
those memberships, one row each.
"""

import json
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from time import monotonic
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from psycopg import sql

from benchmarks.club import OPENED, Club
from benchmarks.samples import Sample, Unavailable
from benchmarks.stage import Stage
from issuance.billing.events import MOST_EVENTS
from issuance.embedded.up import ISSUANCE

CLIENTS = 4
#: Whose rows a sign-up makes, in the order of their foreign keys; and the column that finds them.
_TABLES = {
    "members": "external_user_id",
    "memberships": "membership_id",
    "guests": "membership_id",
    "billing_events": "membership_id",
    "schedules": "schedule_id",
    "membership_schedules": "membership_id",
}
_OF_BRAND = ("brands", "membership_types")

Events = list[dict[str, Any]]


class Source:
    """The events of one round after the other, and where they went first."""

    def __init__(self, stage: Stage, n: int) -> None:
        self.stage = stage
        self.n = n
        self.taken_in: Sequence[str] = ()

    def prepare(self) -> None:
        """Makes the brand that takes the events in."""
        self.club = Club(self.stage.database("intake"), 1)

    def sign_ups(self) -> Events:
        return [self.club.sign_up(uuid4(), OPENED) for _ in range(self.n)]


class OverHttp:
    """Batches of a thousand over HTTP, by four clients."""

    def __init__(self, source: Source, *, charges: bool = False) -> None:
        self.name = "intake_http_charges" if charges else "intake_http"
        self.title = f"{'charges' if charges else 'sign-ups'} over HTTP, batches of {MOST_EVENTS}, {CLIENTS} clients"
        self._source = source
        self._charges = charges

    def prepare(self) -> None:
        # The first part of the round prepares for all.
        if not self._charges:
            self._source.prepare()

    def measure(self) -> Sample:
        source = self._source
        source.stage.settle_down("intake")
        if self._charges:
            events = charges(source.taken_in)
        else:
            events = source.sign_ups()
            source.taken_in = [event["data"]["membership_id"] for event in events]
        batches = [json.dumps(batch) for batch in _batches(events)]
        headers = {"Content-Type": "application/cloudevents-batch+json"}
        with (
            source.stage.running(source.club.url, "web") as site,
            site.client(source.club.key) as http,
            ThreadPoolExecutor(CLIENTS) as pool,
        ):

            def post(body: str) -> httpx.Response:
                return http.post("/billing-events", content=body, headers=headers)

            post("[]")
            began = monotonic()
            answers = list(pool.map(post, batches))
            seconds = monotonic() - began
        accepted = sum(answer.raise_for_status().json()["accepted"] for answer in answers)
        assert accepted == len(events), f"{accepted} of {len(events)} accepted"
        return Sample(len(events), seconds)


class Load:
    """`issuance events load`, its start included."""

    name = "intake_load"
    title = "sign-ups by `issuance events load`, its start included"

    def __init__(self, source: Source) -> None:
        self._source = source

    def prepare(self) -> None:
        """Nothing: the brand is there."""

    def measure(self) -> Sample:
        source = self._source
        source.stage.settle_down("intake")
        file = source.stage.home / "events.jsonl"
        file.write_text("".join(json.dumps(event) + "\n" for event in source.sign_ups()))
        with source.stage.running(source.club.url, "web") as site:
            command = [*ISSUANCE, "events", "load", str(file), "--brand", str(source.club.brand_id), "--json"]
            began = monotonic()
            done = subprocess.run(command, env=site.environment, capture_output=True, text=True, check=False)
            seconds = monotonic() - began
        assert done.returncode == 0, done.stderr.strip()[-300:]
        assert json.loads(done.stdout)["accepted"] == source.n, done.stdout
        return Sample(source.n, seconds)


class Copy:
    """COPY of the rows that the last sign-ups over HTTP made into tables like theirs, by a superuser, in one go."""

    def __init__(self, source: Source, *, charges: bool = False) -> None:
        self.name = "copy_charges" if charges else "copy"
        self.title = f"COPY of the same rows ({'charges' if charges else 'sign-ups'})"
        self._source = source
        self._charges = charges

    def prepare(self) -> None:
        self._source.stage.database(self.name)
        with self._source.stage.admin("intake") as of, self._source.stage.admin(self.name) as to:
            for table in (*_OF_BRAND, *(_TABLES if self._charges else ())):
                _paste(to, table, _cut(of, table, sql.SQL("true")))

    def measure(self) -> Sample:
        source = self._source
        if not source.taken_in:
            raise Unavailable("nothing was taken in over HTTP")
        source.stage.settle_down(self.name)
        with source.stage.admin("intake") as of, source.stage.admin(self.name) as to:
            wanted = {table: _of_memberships(source.taken_in, table, charges=False) for table in _TABLES}
            rows = {table: _cut(of, table, which) for table, which in wanted.items()}
            if self._charges:
                for table, data in rows.items():
                    _paste(to, table, data)
                which = _of_memberships(source.taken_in, "billing_events", charges=True)
                rows = {"billing_events": _cut(of, "billing_events", which)}
            began = monotonic()
            with to.transaction():
                for table, data in rows.items():
                    _paste(to, table, data)
            return Sample(source.n, monotonic() - began)


def charges(membership_ids: Sequence[str]) -> Events:
    """A charge of the first period of each membership."""
    return [
        {
            "specversion": "1.0",
            "source": "benchmark",
            "id": f"charge of {membership_id}",
            "type": "charge.initiated",
            "time": OPENED.isoformat(),
            "data": {
                "membership_id": membership_id,
                "charge_id": f"charge of {membership_id}",
                "period_start": OPENED.date().isoformat(),
                "amount": 90,
            },
        }
        for membership_id in membership_ids
    ]


def _batches(events: Events) -> list[Events]:
    return [events[start : start + MOST_EVENTS] for start in range(0, len(events), MOST_EVENTS)]


def _of_memberships(membership_ids: Sequence[str], table: str, *, charges: bool) -> sql.Composable:
    """Which rows of a table a round's memberships have; of their events either the charges or the others."""
    if _TABLES[table] == "external_user_id":
        names = [f"member of {membership_id}" for membership_id in membership_ids]
        return sql.SQL("external_user_id = ANY({})").format(sql.Literal(names))
    key = sql.Identifier(_TABLES[table])
    which = sql.SQL("{} = ANY({}::uuid[])").format(key, sql.Literal(list(membership_ids)))
    if table != "billing_events":
        return which
    return sql.SQL("{} AND (charge_id IS NOT NULL) = {}").format(which, sql.Literal(charges))


def _cut(connection: psycopg.Connection[Any], table: str, which: sql.Composable) -> bytes:
    out = BytesIO()
    statement = sql.SQL("COPY (SELECT * FROM {} WHERE {}) TO STDOUT").format(sql.Identifier(table), which)
    with connection.cursor() as cursor, cursor.copy(statement) as rows:
        for data in rows:
            out.write(data)
    return out.getvalue()


def _paste(connection: psycopg.Connection[Any], table: str, data: bytes) -> None:
    statement = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))
    with connection.cursor() as cursor, cursor.copy(statement) as rows:
        rows.write(data)
