"""Asking the biller for what deliveries wait for: outside of any transaction. What it answers is noted."""

from uuid import UUID

from sqlalchemy import Connection, Engine, text

from issuance.billers import billers, deliveries, translation
from issuance.billers.adapter import Askable, CanNotBeAsked, DoesNotSay, Json
from issuance.billers.adapters import adapter_of
from issuance.billers.billers import Biller
from issuance.billers.known import KnownObjects
from issuance.billers.translation import Translated
from issuance.database import transaction
from issuance.log import logger

#: How many objects are asked for at once.
MOST = 25

# The attempt is counted, and committed, before the biller is asked: 10 s, then 1, 6, 36 min … between them.
_CLAIM = text("""
    UPDATE biller_deliveries
       SET attempts = attempts + 1,
           next_at = clock_timestamp() + interval '10 seconds' * power(6, least(attempts, 5))
     WHERE brand_id = :brand_id AND biller_id = :biller_id AND state = 'asking'
       AND waits_for IN (SELECT DISTINCT waits_for FROM biller_deliveries
                          WHERE brand_id = :brand_id AND biller_id = :biller_id AND state = 'asking'
                            AND waits_for IS NOT NULL AND next_at <= clock_timestamp() LIMIT :most)
    RETURNING waits_for
""")
# Brands take turns.
_DUE = text("""
    SELECT brand_id, biller_id
      FROM (SELECT DISTINCT brand_id, biller_id FROM biller_deliveries
             WHERE next_at <= clock_timestamp() AND state = 'asking') due
     ORDER BY row_number() OVER (PARTITION BY brand_id), biller_id LIMIT :most
""")


def due(connection: Connection, *, most: int) -> list[tuple[UUID, UUID]]:
    """The billers, with their brand, that have to be asked for something now."""
    return [(row.brand_id, row.biller_id) for row in connection.execute(_DUE, {"most": most})]


def ask(engine: Engine, brand_id: UUID, biller_id: UUID) -> Translated:
    """Ask a biller for what its deliveries wait for: a bounded number of objects. What it does not answer is asked
    again later."""
    with transaction(engine, brand_id) as connection:
        biller = billers.find(connection, biller_id)
        if biller is None:
            return translation.NOTHING
        which = {"brand_id": brand_id, "biller_id": biller_id, "most": MOST}
        keys = sorted(set(connection.scalars(_CLAIM, which)))
    if not keys or not biller.can_be_asked:
        return translation.NOTHING
    adapter, api_key = adapter_of(biller), biller.api_key
    assert isinstance(adapter, Askable), "it can be asked"
    assert api_key is not None, "it can be asked"
    answers: dict[str, Json] = {}
    with adapter.api(api_key) as asked:
        for key in keys:
            try:
                answers[key] = adapter.ask(asked, key)
            except CanNotBeAsked as refusal:
                logger.warning("biller_not_asked", brand=str(brand_id), biller=str(biller_id), error=str(refusal))
                if not isinstance(refusal, DoesNotSay):
                    break  # the others would fare no better
    return learn(engine, biller, answers) if answers else translation.NOTHING


def learn(engine: Engine, biller: Biller, answers: dict[str, Json]) -> Translated:
    """Note what a biller answered, tell what comes of it, and have what waited for it translated."""
    adapter = adapter_of(biller)
    assert isinstance(adapter, Askable), "it was asked"
    with transaction(engine, biller.brand_id) as connection:
        deliveries.lock(connection, biller.biller_id, wait=True)
        known = KnownObjects(connection, biller)
        told = known.learn(adapter, answers)
        accepted, membership_ids, _, kinds = translation.tell(connection, biller, adapter, told)
        known.write()
        woken = {key for found in told for key in found.wakes}
        deliveries.wake(connection, biller.brand_id, biller.biller_id, woken)
    return Translated(len(answers), accepted, membership_ids, kinds=kinds)
