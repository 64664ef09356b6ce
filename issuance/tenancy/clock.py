"""The brand's clock: what "now" is for it. Live brands follow PostgreSQL's clock, which all hosts share."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, bindparam, func, literal_column, select, text

from issuance.database.fragments import BRANDS_NOW
from issuance.database.statements import Statement
from issuance.database.tables import brands
from issuance.errors import NotFound

_CLOCK = f"""
    SELECT timezone, environment = 'sandbox' AS sandbox, clock_now IS NOT NULL AS stands_still, woke_at,
           {BRANDS_NOW} AS now
      FROM brands WHERE brand_id = :brand_id
"""
_READ = Statement(_CLOCK)
_GATE = "hashtextextended('alone ' || CAST(CAST(:brand_id AS uuid) AS text), 0)"
# Settling a sandbox brand locks its clock until it commits, so that a move of the clock waits for it. The gate before
# that is for who wants the brand alone: a row with shared locks is shared with newcomers at once, even if somebody
# waits to have it alone.
_READ_AND_LOCK = Statement(f"""
    WITH gate AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared({_GATE}))
    {_CLOCK.replace("FROM brands", "FROM gate CROSS JOIN brands")} FOR SHARE OF brands
""")
#: The same "now" as a part of a statement with a parameter `brand_id`: it is read once, wherever it stands.
NOW = select(
    select(literal_column(BRANDS_NOW, brands.c.clock_now.type).label("now"))
    .where(brands.c.brand_id == bindparam("brand_id"))
    .cte("clock")
    .c.now
).scalar_subquery()
_PASS_ALONE = text(f"SELECT pg_advisory_xact_lock({_GATE})")
_LOCK_ALONE = text("SELECT FROM brands WHERE brand_id = :brand_id FOR NO KEY UPDATE")


@dataclass(frozen=True, slots=True)
class BrandClock:
    """What time it is for a brand. `now` and `woke_at` are instants (UTC); dates are in `zone`."""

    now: datetime
    zone: ZoneInfo
    sandbox: bool
    #: Whether it was set by hand, so that time passes only in moves.
    stands_still: bool
    #: The instant of the last jump. What fell due before it is decided once, at that instant (INTERFACE 8).
    woke_at: datetime | None


def read(connection: Connection, brand_id: UUID, *, lock: bool = False) -> BrandClock:
    """The clock of a brand; `lock` keeps it from being moved until the transaction ends. Raises NotFound."""
    found = (_READ_AND_LOCK if lock else _READ).found(connection, {"brand_id": brand_id})
    if not found:
        raise NotFound("There is no such brand.")
    (row,) = found
    return BrandClock(row.now, ZoneInfo(row.timezone), row.sandbox, row.stands_still, row.woke_at)


def once_locked(connection: Connection, brand_id: UUID, clock: BrandClock) -> BrandClock:
    """A clock that was read and locked, as it is now that the transaction has all its other locks.

    Who held those locks before has read an earlier `now`, so what they wrote lies in the past. A clock that stands
    still is unchanged.


    """
    return clock if clock.stands_still else read(connection, brand_id)


def real(connection: Connection) -> datetime:
    """Real time, by which keys, tokens and signatures expire: PostgreSQL's, because the clocks of hosts may differ."""
    now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return now


def lock_alone(connection: Connection, brand_id: UUID) -> None:
    """Wait for settling under way, and keep more of it out until the transaction ends.

    So what is saved and what is settled come one after the other, even if time stands still. Settling that begins
    meanwhile waits too. Call it before you lock anything else.


    """
    connection.execute(_PASS_ALONE, {"brand_id": brand_id})
    connection.execute(_LOCK_ALONE, {"brand_id": brand_id})
