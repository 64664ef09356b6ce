"""The floor: the same credits inserted and last cycle's expired by nothing but set-based SQL, on two connections.

Once over the project's own table as `schema.sql` has it (keys, checks, foreign keys, row-level security), and once over
a plain one (`plain.sql`), so that what the schema gains or costs shows by itself.
"""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from time import monotonic
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from benchmarks.club import club_on, first_of_month
from benchmarks.copies import FRESH
from benchmarks.samples import Sample
from benchmarks.stage import Stage

CONNECTIONS = 2
CHUNKS = 8
PLAIN = Path(__file__).with_name("plain.sql")

_ISSUE = sql.SQL("""
    INSERT INTO {credits} ({columns})
    SELECT {values}
      FROM guests g
      CROSS JOIN (SELECT * FROM credits WHERE brand_id = %(brand_id)s AND credit_id = %(like)s) t
     WHERE g.brand_id = %(brand_id)s AND g.membership_id BETWEEN %(first)s AND %(last)s
""")
_EXPIRE = sql.SQL("""
    UPDATE {credits} SET expired_at = %(now)s
     WHERE brand_id = %(brand_id)s AND membership_id BETWEEN %(first)s AND %(last)s AND period_start = %(before)s
       AND expired_at IS NULL AND redeemed_at IS NULL AND revoked_at IS NULL
""")
#: What differs from one credit to the next; the rest is as in the first credit that the product issued.
_OWN = {
    **FRESH,
    "code": "%(shared)s || substr(" + FRESH["code"] + ", 4)",
    "membership_id": "g.membership_id",
    "guest_id": "g.guest_id",
    "period_start": "%(start)s",
    "period_end": "%(end)s",
    "valid_from": "%(now)s",
    "expires_at": "%(until)s",
    "issued_at": "%(now)s",
    "expired_at": "NULL",
}


class Floor:
    """One cycle of all memberships, in eight transactions on two connections."""

    def __init__(self, stage: Stage, members: int, *, plain: bool = False) -> None:
        self.name = "plain_floor" if plain else "floor"
        table = "a plain table" if plain else "the project's own table"
        self.title = f"floor: bare set-based SQL, {table}"
        self._stage = stage
        self._members = members
        self._table = "plain_credits" if plain else "credits"

    def prepare(self) -> None:
        self._club = club_on(self._stage, self.name, self._members)
        if self._table != "credits":
            make_plain(self._stage, self.name)
        first = "SELECT credit_id FROM credits WHERE brand_id = %(brand_id)s LIMIT 1"
        self._like: UUID = self._club.value(first)

    def measure(self) -> Sample:
        now = self._club.next_month()
        self._stage.settle_down(self.name)
        chunks = [_chunk(number) for number in range(CHUNKS)]
        with ThreadPoolExecutor(CONNECTIONS) as pool, self._stage.counting(self.name) as counts:
            connections = [psycopg.connect(self._club.url) for _ in range(CONNECTIONS)]
            statements = _statements(connections[0], self._table)
            began = monotonic()
            works = [
                pool.submit(self._work, connection, statements, chunks[number::CONNECTIONS], now)
                for number, connection in enumerate(connections)
            ]
            done = [sum(counted) for counted in zip(*(work.result() for work in works), strict=True)]
            seconds = monotonic() - began
        for connection in connections:
            connection.close()
        assert done == [self._members, self._members], f"issued and expired {done}"
        return Sample(self._members, seconds, {f"{name}_per_credit": n / self._members for name, n in counts.items()})

    def _work(
        self,
        connection: psycopg.Connection[Any],
        statements: list[sql.Composed],
        chunks: list[tuple[UUID, UUID]],
        now: datetime,
    ) -> tuple[int, int]:
        issued = expired = 0
        for first, last in chunks:
            values = {
                "brand_id": self._club.brand_id,
                "like": self._like,
                "first": first,
                "last": last,
                "now": now,
                "start": now.date(),
                "end": first_of_month(self._club.month + 1),
                "until": datetime.combine(first_of_month(self._club.month + 1), datetime.min.time(), now.tzinfo),
                "before": first_of_month(self._club.month - 1),
                "shared": token_hex(2)[:3].upper(),
            }
            with connection.transaction():
                connection.execute("SELECT set_config('issuance.brand_id', %s, true)", [str(self._club.brand_id)])
                issued += connection.execute(statements[0], values).rowcount
                expired += connection.execute(statements[1], values).rowcount
        return issued, expired


def _statements(connection: psycopg.Connection[Any], table: str) -> list[sql.Composed]:
    columns = [column.name for column in connection.execute("SELECT * FROM credits LIMIT 0").description or ()]
    connection.rollback()
    names = {
        "credits": sql.Identifier(table),
        "columns": sql.SQL(", ").join(map(sql.Identifier, columns)),
        "values": sql.SQL(", ").join(
            sql.SQL(_OWN[name]) if name in _OWN else sql.SQL("t.{}").format(sql.Identifier(name)) for name in columns
        ),
    }
    return [_ISSUE.format(**names), _EXPIRE.format(**names)]


def _chunk(number: int) -> tuple[UUID, UUID]:
    """One of `CHUNKS` equal shares of all ids, which are random."""
    share = 2**128 // CHUNKS
    return UUID(int=number * share), UUID(int=(number + 1) * share - 1)


def make_plain(stage: Stage, database: str) -> None:
    """Puts the credits of a database into a plain table, `plain_credits`, too."""
    with stage.admin(database) as connection:
        connection.execute(PLAIN.read_bytes())
