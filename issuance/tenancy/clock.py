"""The brand's clock: what "now" is for it. Live brands follow PostgreSQL's clock, the one that all hosts share."""

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
# it is for whoever wants the brand alone: a row that some hold shared others get at once, whoever waits for it.
_READ_AND_LOCK = Statement(f"""
    WITH gate AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared({_GATE}))
    {_CLOCK.replace("FROM brands", "FROM gate CROSS JOIN brands")} FOR SHARE OF brands
""")
#: The same "now" as a part of a statement that has a parameter `brand_id`: read once, wherever it stands in it.
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
    #: Set by hand, so that time passes only in moves.
    stands_still: bool
    #: The last jump. Whatever fell due before it is decided once, at it (INTERFACE 8).
    woke_at: datetime | None


def read(connection: Connection, brand_id: UUID, *, lock: bool = False) -> BrandClock:
    """The clock of a brand; `lock` keeps it from being moved until the transaction ends. Raises NotFound."""
    found = (_READ_AND_LOCK if lock else _READ).found(connection, {"brand_id": brand_id})
    if not found:
        raise NotFound("There is no such brand.")
    (row,) = found
    return BrandClock(row.now, ZoneInfo(row.timezone), row.sandbox, row.stands_still, row.woke_at)


def once_locked(connection: Connection, brand_id: UUID, clock: BrandClock) -> BrandClock:
    """A clock that was read and locked, as it is now that the transaction holds whatever else it waits for.

    Whoever held that before has read an earlier `now`, so what they wrote lies behind. One that stands still stands.
    """
    return clock if clock.stands_still else read(connection, brand_id)


def real(connection: Connection) -> datetime:
    """Real time, which rules keys, tokens and signatures: PostgreSQL's, since the clocks of hosts may differ."""
    now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
    return now


def lock_alone(connection: Connection, brand_id: UUID) -> None:
    """Wait for the settling under way and keep more of it out until the transaction ends.

    So what is saved now and what is settled come one after the other, also where time stands still. Settling that
    begins meanwhile waits, too. Call it before anything else is locked.
    """
    connection.execute(_PASS_ALONE, {"brand_id": brand_id})
    connection.execute(_LOCK_ALONE, {"brand_id": brand_id})
