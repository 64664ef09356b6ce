"""Settle memberships again on paper: a settled membership has nothing to issue and nothing to take back."""

from collections.abc import Iterator
from uuid import UUID

from sqlalchemy import Connection, text

from issuance import clock
from issuance.deciding.settlement import Settlement, settle
from issuance.settling.loading import BY_IDS_UNLOCKED, Membership, load, load_rules

BATCH = 1000

# Those that are due, or set apart, are the business of law 9.
SETTLED = text("""
    SELECT membership_id
      FROM dues
     WHERE brand_id = :brand_id AND membership_id > :after AND settled_at IS NOT NULL AND quarantined_at IS NULL
       AND (due_at IS NULL OR due_at > :now)
     ORDER BY membership_id
     LIMIT :batch
""")


def resettle(connection: Connection, brand_id: UUID) -> Iterator[list[tuple[Membership, Settlement]]]:
    """Batches of a brand's settled memberships, each with what settling it once more would do. Writes nothing."""
    brand_clock = clock.read(connection, brand_id)
    after = UUID(int=0)
    while True:
        which = {"brand_id": brand_id, "after": after, "now": brand_clock.now, "batch": BATCH}
        ids = list(connection.execute(SETTLED, which).scalars())
        if not ids:
            return
        after = ids[-1]
        memberships = load(connection, brand_id, brand_clock.zone, BY_IDS_UNLOCKED, ids=ids)
        rules = load_rules(connection, brand_id, memberships, hold=False)
        yield [
            (
                membership,
                settle(
                    membership.facts_at(brand_clock.now, membership.credits),
                    rules[membership.row.membership_type_id],
                    brand_clock.now,
                    membership.settled_at,
                ),
            )
            for membership in memberships
            if not membership.has_news(brand_clock.now)
        ]
