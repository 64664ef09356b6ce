"""Translating: deliveries that are pending become billing events, in the order in which things happened.

One transaction at a time works on a biller's deliveries, so that what is known of its objects has one writer. What was
told stays: an event whose id is in the inbox is not told again, whatever a later delivery would make of it.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError, OperationalError

from issuance import limits, origins, tracing
from issuance.billers import attempts, billers, deliveries, untold
from issuance.billers.adapter import Adapter, Notice, NotReadable, Translation, Unmappable, weight_of
from issuance.billers.adapters import adapter_of
from issuance.billers.billers import Biller
from issuance.billers.deliveries import Became, Delivery
from issuance.billers.known import KnownObjects
from issuance.billing import events
from issuance.billing.events import Batch, Intake, Remark
from issuance.database import is_away, transaction
from issuance.engine.bisection import is_transient
from issuance.engine.rows import as_json
from issuance.log import logger
from issuance.origins import NOWHERE, Each, Origin

#: How many deliveries one transaction translates.
BATCH = 500

_TOLD = text("""
    SELECT event_id FROM billing_events
     WHERE brand_id = :brand_id AND source = :source AND event_id = ANY(CAST(:ids AS text[]))
""")
_NAME = text("""
    INSERT INTO biller_memberships (brand_id, membership_id, biller_id, source_ref)
    SELECT :brand_id, new.membership_id, :biller_id, new.source_ref
      FROM json_to_recordset(CAST(:rows AS json)) AS new (membership_id uuid, source_ref text)
    ON CONFLICT ON CONSTRAINT biller_memberships_pkey DO NOTHING
""")


class Translated(NamedTuple):
    """What one batch came to. `kinds`: how many facts of each kind were told."""

    deliveries: int
    accepted: int
    #: The memberships to settle after the commit.
    membership_ids: list[UUID]
    #: Whether the biller is to be asked for something.
    asks: bool = False
    kinds: Mapping[str, int] = MappingProxyType({})
    #: The requests that brought the deliveries, and those for which the memberships are settled.
    of_deliveries: Each = MappingProxyType({})
    of_memberships: Each = MappingProxyType({})


NOTHING = Translated(0, 0, [])


class Told(NamedTuple):
    """What the inbox made of the events: how many it took, the memberships to settle after the commit, what it refused,
    and how many facts of each kind it took."""

    accepted: int
    membership_ids: list[UUID]
    refused: Sequence[Remark]
    kinds: Mapping[str, int]


class NotTaken(Exception):
    """The inbox refuses an event that a delivery came to."""

    def __init__(self, why: Remark) -> None:
        super().__init__(why.message)
        self.code = why.code


def translate(engine: Engine, brand_id: UUID, biller_id: UUID, *, most: int = BATCH, wait: bool = False) -> Translated:
    """Translate the deliveries of a biller that have waited longest. Does nothing where somebody else does it, unless
    this is to `wait` for them. If that fails, the batch is halved until the
    deliveries to blame are alone, and those are set apart. A failure that passes by itself, such as a full disk or a
    lock, uses no attempt up."""
    with transaction(engine, brand_id) as connection:
        if not deliveries.lock(connection, biller_id, wait=wait):
            return NOTHING
        ids = attempts.claim(connection, brand_id, biller_id, most=most)
        if not ids:
            attempts.set_apart(connection, brand_id, biller_id, adapter=_version_of(connection, biller_id))
            return NOTHING
    try:
        return _halved(engine, brand_id, biller_id, ids)
    except DBAPIError as error:
        if is_transient(error):
            with transaction(engine, brand_id) as connection:
                attempts.put_off(connection, brand_id, biller_id, ids)
        raise


def _halved(engine: Engine, brand_id: UUID, biller_id: UUID, ids: Sequence[str]) -> Translated:
    try:
        return _translate(engine, brand_id, biller_id, ids)
    except Exception as error:
        if isinstance(error, OperationalError) or is_away(error) or is_transient(error):
            raise  # the database is not there, or was too busy: no delivery is to blame
        if len(ids) == 1:
            return _set_apart(engine, brand_id, biller_id, ids[0], error)
    half = len(ids) // 2
    done = [_halved(engine, brand_id, biller_id, part) for part in (ids[:half], ids[half:])]
    return Translated(
        sum(part.deliveries for part in done),
        sum(part.accepted for part in done),
        sorted({one for part in done for one in part.membership_ids}, key=lambda one: one.int),
        any(part.asks for part in done),
        sum((Counter(part.kinds) for part in done), Counter[str]()),
        _merged(*(part.of_deliveries for part in done)),
        _merged(*(part.of_memberships for part in done)),
    )


def _merged(*parts: Each) -> Each:
    merged: dict[str, tuple[Origin, ...]] = {}
    for part in parts:
        for one, its in part.items():
            merged[one] = origins.together(merged.get(one, ()), its)
    return merged


def _set_apart(engine: Engine, brand_id: UUID, biller_id: UUID, delivery_id: str, error: Exception) -> Translated:
    """Note why a delivery can not be translated: because of what it says, or because of a defect of the adapter."""
    said = {"brand": str(brand_id), "delivery": delivery_id, "error": type(error).__name__}
    if isinstance(error, (NotReadable, NotTaken)):
        logger.warning("delivery_not_readable", **said)
        why = Unmappable(error.code if isinstance(error, NotTaken) else "malformed", str(error))
    else:
        logger.exception("delivery_not_translated", **said)
        why = Unmappable("error", f"it could not be translated: {type(error).__name__}")
    with transaction(engine, brand_id) as connection:
        failed = deliveries.became_of(delivery_id, None, why)
        deliveries.mark(connection, brand_id, biller_id, [failed], adapter=_version_of(connection, biller_id))
    return Translated(1, 0, [])


def _version_of(connection: Connection, biller_id: UUID) -> int:
    biller = billers.find(connection, biller_id)
    return 0 if biller is None else adapter_of(biller).version


def _translate(engine: Engine, brand_id: UUID, biller_id: UUID, ids: Sequence[str]) -> Translated:
    with transaction(engine, brand_id) as connection:
        deliveries.lock(connection, biller_id, wait=True)
        biller = billers.get(connection, brand_id, biller_id)
        pending = deliveries.read(connection, brand_id, biller_id, ids)
        came = {one.delivery_id: (origins.here() if one.origin == NOWHERE else one.origin,) for one in pending}
        with (
            origins.working_for_each(came),
            tracing.spans("translate", brand=str(brand_id), deliveries=len(pending)),
        ):
            return work_on(connection, biller, pending)


def work_on(connection: Connection, biller: Biller, pending: Sequence[Delivery]) -> Translated:
    """Translate deliveries that are held, in this transaction, and note what they became."""
    adapter, known = adapter_of(biller), KnownObjects(connection, biller)
    notices: list[tuple[Notice, Delivery]] = []
    became: list[Became] = []
    listed = [one for one in pending if untold.is_untold(one)]
    if listed and biller.can_be_asked:
        untold.ask_anew(connection, biller, listed)
    became += [Became(one.delivery_id, "translated") for one in listed]
    for delivery in (one for one in pending if not untold.is_untold(one)):
        try:
            notices.append((adapter.parse(delivery.body), delivery))
        except NotReadable as refusal:
            became.append(Became(delivery.delivery_id, "refused", None, refusal.code, str(refusal)))
    known.load({needed for notice, _ in notices for needed in notice.needs})
    told: list[Translation] = []
    due: list[Each] = []
    received: dict[str, datetime] = {}
    weight, most = 0, limits.current.billers.told
    for notice, delivery in sorted(notices, key=lambda one: (one[0].at, one[0].rank, one[0].delivery_id)):
        found = adapter.translate(notice, known, patient=not delivery.overdue)
        if found.wait is not None:
            found.wakes.discard(found.wait.key)  # or it would be looked at for ever
        weight += weight_of(found.events, most)
        if weight > most:
            raise NotReadable(f"it tells more than {most} characters")
        told.append(found)
        came = origins.all_of(delivery.delivery_id)
        due.append({str(event["data"].get("membership_id")): came for event in found.events})
        if delivery.received_at is not None:
            received |= {event["id"]: delivery.received_at for event in found.events}
        became.append(deliveries.became_of(delivery.delivery_id, found.wait, found.unmappable))
    accepted, membership_ids, refused, kinds = tell(connection, biller, adapter, told, received=received)
    for remark in refused:
        raise NotTaken(remark)  # nothing of it stands, so that it is told whole once it can be
    known.write()
    deliveries.mark(connection, biller.brand_id, biller.biller_id, became, adapter=adapter.version)
    # After the mark, so that deliveries of this very batch that wait for what it has made known are looked at again
    # too.
    woken = {key for found in told for key in found.wakes}
    deliveries.wake(connection, biller.brand_id, biller.biller_id, woken)
    asks = any(one.state == "asking" for one in became)
    return Translated(len(pending), accepted, membership_ids, asks, kinds, origins.each(), _merged(*due))


def tell(
    connection: Connection,
    biller: Biller,
    adapter: Adapter,
    told: Sequence[Translation],
    take: Callable[[Batch], Intake] | None = None,
    *,
    received: Mapping[str, datetime] = MappingProxyType({}),
) -> Told:
    """Give the inbox those events of translations that were not told before. `take`: another way into the inbox.
    `received`: when some of the events came, by their ids; the others come now."""
    fresh: dict[str, dict[str, Any]] = {}
    for found in told:
        for event in found.events:
            fresh.setdefault(event["id"], event)
    if not fresh:
        return Told(0, [], [], {})
    which = {"brand_id": biller.brand_id, "source": adapter.source, "ids": list(fresh)}
    for event_id in connection.scalars(_TOLD, which):
        del fresh[event_id]
    batch = events.read(list(fresh.values()))
    for index, one in batch.parsed.items():
        batch.parsed[index] = replace(one, received_at=received.get(one.event_id))
    intake = events.take(connection, biller.brand_id, batch) if take is None else take(batch)
    refs = {membership_id: ref for found in told for membership_id, ref in found.refs.items()}
    if refs:
        rows = [
            {"membership_id": str(one), "source_ref": ref}
            for one, ref in sorted(refs.items(), key=lambda it: it[0].int)
        ]
        connection.execute(_NAME, {"brand_id": biller.brand_id, "biller_id": biller.biller_id, "rows": as_json(rows)})
    refusals = {remark.index for remark in intake.rejected}
    kinds = Counter(event["type"] for index, event in enumerate(fresh.values()) if index not in refusals)
    return Told(intake.accepted, intake.membership_ids, intake.rejected, kinds)
