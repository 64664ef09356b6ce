"""What the last look at each law said of a brand, kept for the figures that operators watch."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import Connection, text

_KEEP = text("""
    INSERT INTO verdicts (brand_id, law, offenders) SELECT :brand_id, * FROM unnest(CAST(:laws AS integer[]),
                                                                                    CAST(:offenders AS integer[]))
    ON CONFLICT (brand_id, law) DO UPDATE SET offenders = excluded.offenders, checked_at = clock_timestamp()
""")


def keep(connection: Connection, brand_id: UUID, offenders: Mapping[int, int]) -> None:
    """Keep how many offenders each law had, by its number."""
    counts = {"laws": list(offenders), "offenders": list(offenders.values())}
    connection.execute(_KEEP, {"brand_id": brand_id, **counts})
