"""What reconciling found and could not tell (INTERFACE 7). It is kept beside the webhooks that could not be translated,
once for each reason. When the reason may be gone, the biller is asked again.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError
from sqlalchemy import Connection, text

from issuance.billers import deliveries, starting
from issuance.billers.adapter import Json, Translation
from issuance.billers.billers import Biller
from issuance.billers.deliveries import Delivery
from issuance.members import erased

_PREFIX = "reconcile:"
_LONGEST_ID = 200
# What is pending stays pending.
_KEEP = text("""
    INSERT INTO biller_deliveries AS d
           (brand_id, biller_id, delivery_id, body, state, code, message, waits_for, adapter)
    VALUES (:brand_id, :biller_id, :delivery_id, :body, 'unmappable', :code, :message, :waits_for, :adapter)
    ON CONFLICT ON CONSTRAINT biller_deliveries_pkey
    DO UPDATE SET body = excluded.body, state = excluded.state, code = excluded.code, message = excluded.message,
                  waits_for = excluded.waits_for, adapter = excluded.adapter, translated_at = NULL
     WHERE d.state <> 'pending'
""")
# A run that has not begun will see what was mended.
_PLANNED = text("""
    SELECT FROM runs r JOIN reconciliations c USING (brand_id, run_id)
     WHERE c.brand_id = :brand_id AND c.biller_id = :biller_id AND r.state = 'planned' AND NOT r.dry_run
       AND (c.since IS NULL OR c.since <= CAST(:since AS timestamptz))
""")


class _Kept(BaseModel):
    """What is kept of an object: what the biller said, and since when the run looked."""

    model_config = ConfigDict(extra="forbid")

    since: AwareDatetime | None
    object: dict[str, Any]


def keep(
    connection: Connection,
    biller: Biller,
    page: Sequence[Json],
    told: Sequence[Translation],
    since: datetime | None,
    *,
    adapter: int,
) -> Counter[str]:
    """Keep why objects of a page could not be told, and count them by code. `since`: since when the run looks."""
    counted: Counter[str] = Counter()
    kept: dict[str, tuple[Json, Translation]] = {}
    for body, found in zip(page, told, strict=True):
        if found.unmappable is not None:
            counted[found.unmappable.code] += 1
            about = found.unmappable.key or str(body["id"])
            kept.setdefault(f"{_PREFIX}{found.unmappable.code}:{about}"[:_LONGEST_ID], (body, found))
    known = erased.of(connection, biller.brand_id) if kept else None
    for delivery_id, (body, found) in sorted(kept.items()):
        raw = _Kept(since=since, object=body).model_dump_json()
        of = raw.encode() if known is None else known.among([raw]).body(raw.encode())
        assert found.unmappable is not None, "it is kept for that"
        code, message, waits_for = found.unmappable
        row = {"delivery_id": delivery_id, "body": of, "code": code, "adapter": adapter}
        cut = deliveries.cut(message, waits_for)
        ids = {"brand_id": biller.brand_id, "biller_id": biller.biller_id}
        connection.execute(_KEEP, {**ids, **row, **cut})
    return counted


def is_untold(delivery: Delivery) -> bool:
    """Whether reconciling found this, and no webhook brought it. A biller's webhook may have such an id too."""
    if not delivery.delivery_id.startswith(_PREFIX):
        return False
    try:
        return bool(_Kept.model_validate_json(delivery.body))
    except ValidationError:
        return False


def ask_anew(connection: Connection, biller: Biller, kept: Sequence[Delivery]) -> None:
    """Start a run that reconciles once more what could not be told, unless such a run is about to begin."""
    said = [_Kept.model_validate_json(delivery.body).since for delivery in kept]
    since = None if None in said else min(instant for instant in said if instant is not None)
    which = {"brand_id": biller.brand_id, "biller_id": biller.biller_id, "since": since}
    if connection.execute(_PLANNED, which).first() is None:
        reason = "What could not be told may be now."
        starting.start(connection, biller.brand_id, biller.biller_id, since, reason=reason)
