"""Events in: over HTTP in batches, by `issuance events load`, and COPY of the same rows into the same tables.

Intake alone: no worker runs beside it. Each round has sign-ups, which are five rows in five tables each, and charges of
those memberships, one row each.
"""

from collections.abc import Sequence
from io import BytesIO
from time import monotonic
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql

from benchmarks.club import CLIENTS, MOST_EVENTS, OPENED, Club, Events
from benchmarks.copies import belongings, rows_of
from benchmarks.samples import Sample, Unavailable
from benchmarks.stage import Stage

_OF_BRAND = ("brands", "membership_types")


class Source:
    """The events of one round after the other, and where they went first."""

    def __init__(self, stage: Stage, n: int) -> None:
        self.stage = stage
        self.n = n
        self.taken_in: Sequence[str] = ()

    def prepare(self) -> None:
        """Makes the brand that takes the events in."""
        self.club = Club(self.stage, self.stage.database("intake"), 1)

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
            events = [source.club.charge(membership_id, "initiated") for membership_id in source.taken_in]
        else:
            events = source.sign_ups()
            source.taken_in = [event["data"]["membership_id"] for event in events]
        with source.stage.running(source.club.url, "web") as site:
            return Sample(len(events), source.club.post(site, events))


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
        with source.stage.running(source.club.url, "web"):
            return Sample(source.n, source.club.load(source.sign_ups()))


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
            for table in _OF_BRAND:
                _paste(to, table, _cut(of, table, sql.SQL("true")))

    def measure(self) -> Sample:
        source = self._source
        if not source.taken_in:
            raise Unavailable("nothing was taken in over HTTP")
        source.stage.settle_down(self.name)
        with source.stage.admin("intake") as of, source.stage.admin(self.name) as to:
            rows = {table: _cut(of, table, which) for table, which in _of_sign_ups(of, source.taken_in).items()}
            if self._charges:
                for table, data in rows.items():
                    _paste(to, table, data)
                rows = {"billing_events": _cut(of, "billing_events", _events(source.taken_in, charges=True))}
            began = monotonic()
            with to.transaction():
                for table, data in rows.items():
                    _paste(to, table, data)
            return Sample(source.n, monotonic() - began)


def _of_sign_ups(connection: psycopg.Connection[Any], membership_ids: Sequence[str]) -> dict[str, sql.Composable]:
    """The tables that hold what a round's sign-ups made, in the order of their foreign keys, and which rows it is."""
    found = belongings(connection, membership_ids[0])
    rows = {table: rows_of(table, column, membership_ids) for table, column in found}
    return rows | {"billing_events": _events(membership_ids, charges=False)}


def _events(membership_ids: Sequence[str], *, charges: bool) -> sql.Composable:
    """Which events are a round's: either its charges or its sign-ups."""
    ids = sql.SQL("membership_id = ANY({}::uuid[])").format(sql.Literal(list(membership_ids)))
    return sql.SQL("{} AND (charge_id IS NOT NULL) = {}").format(ids, sql.Literal(charges))


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
