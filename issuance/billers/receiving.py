"""Receiving: a webhook's signature is checked, and the webhook is kept as it came. The biller waits for nothing
else."""

import hashlib
from collections.abc import Mapping
from time import monotonic
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from issuance import limits
from issuance.billers import billers, deliveries
from issuance.billers.adapter import NotReadable, Unmappable
from issuance.billers.adapters import adapter_of
from issuance.billers.billers import Biller
from issuance.database import look, transaction
from issuance.errors import IssuanceError, NotFound
from issuance.members import erased

#: Seconds for which this process remembers whether a brand has room: to count takes a second where there is much.
ROOM_IS_KNOWN_FOR = 60.0
#: Until when that is remembered, and whether the brand has room, by brand.
_rooms: dict[UUID, tuple[float, bool]] = {}


class TooMuchSetAside(IssuanceError):
    """Too much of what this brand's billers sent is not translated: 2 GB. Map it, and send this again later."""

    code = "too_much_set_aside"
    status = 429
    retry_after = 600


# Beside its body a row has its names and indexes.
_SET_ASIDE = text("""
    SELECT coalesce(sum(octet_length(body) + 1000), 0) FROM biller_deliveries
     WHERE brand_id = :brand_id AND state IN ('waiting', 'asking', 'unmappable', 'refused')
""")
_WRONG_MODE = {
    True: Unmappable("wrong_mode", "this is of live mode, and the brand is a sandbox"),
    False: Unmappable("wrong_mode", "this is of test mode, and the brand is live"),
}


def receive(
    engine: Engine, looks: Engine, kind: str, biller_id: UUID, body: bytes, headers: Mapping[str, str]
) -> Biller:
    """Keep a webhook as it came; one that is kept already is not kept twice. Headers are named in lower case.

    Raises NotFound, BadSignature. Call `hints.translate` after it.

    """
    biller = find(looks, kind, biller_id)
    verify(biller, body, headers)
    keep(engine, biller, body)
    return biller


def find(looks: Engine, kind: str, biller_id: UUID) -> Biller:
    """The biller that a webhook is addressed to. Raises NotFound."""
    with look(looks) as connection:
        biller = billers.find(connection, biller_id, kind)
    if biller is None:
        raise NotFound("There is no such biller.")
    return biller


def verify(biller: Biller, body: bytes, headers: Mapping[str, str]) -> None:
    """Raises BadSignature if the biller has not signed this."""
    adapter_of(biller).verify(body, headers, biller.secrets, biller.at)


def keep(engine: Engine, biller: Biller, body: bytes, *, fetched: bool = False) -> None:
    """Keep a webhook as it came. `fetched`: the biller was asked for it, and has sent nothing. Raises
    TooMuchSetAside."""
    refused: Unmappable | None = None
    try:
        notice = adapter_of(biller).parse(body)
        delivery_id = notice.delivery_id
        if "\x00" in delivery_id:
            raise NotReadable("its id has a character that can not be stored")
        if notice.live is not None and notice.live is biller.sandbox:
            refused = _WRONG_MODE[notice.live]
    except NotReadable as refusal:
        delivery_id, refused = f"sha256:{hashlib.sha256(body).hexdigest()}", Unmappable(refusal.code, str(refusal))
    with transaction(engine, biller.brand_id) as connection:
        if not _has_room(connection, biller.brand_id):
            raise TooMuchSetAside
        kept = _without_erased(connection, biller.brand_id, body)
        deliveries.store(connection, biller.brand_id, biller.biller_id, delivery_id, kept, refused)
        if not fetched:
            billers.heard(connection, biller)


def _has_room(connection: Connection, brand_id: UUID) -> bool:
    """Whether fewer bytes of a brand's webhooks than may be were set aside a moment ago."""
    until, room = _rooms.get(brand_id, (0.0, True))
    if until < monotonic():
        room = int(connection.scalar(_SET_ASIDE, {"brand_id": brand_id}) or 0) < limits.current.billers.set_aside
        _rooms[brand_id] = monotonic() + ROOM_IS_KNOWN_FOR, room
    return room


def _without_erased(connection: Connection, brand_id: UUID, body: bytes) -> bytes:
    """A webhook without the names of people who were erased (SEMANTICS 20): it has their random ids, as facts have."""
    known = erased.of(connection, brand_id)
    if known is None:
        return body
    said = body.decode(errors="replace")
    return known.among([said]).body(body)
