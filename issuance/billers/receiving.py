"""Receiving: a webhook's signature is checked, and it is kept as it came. Nothing else keeps the biller waiting."""

import hashlib
from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import Connection, Engine

from issuance.billers import billers, deliveries
from issuance.billers.adapter import NotReadable, Unmappable
from issuance.billers.adapters import adapter_of
from issuance.billers.billers import Biller
from issuance.database import look, transaction
from issuance.errors import NotFound
from issuance.members import erased

_WRONG_MODE = {
    True: Unmappable("wrong_mode", "this is of live mode, and the brand is a sandbox"),
    False: Unmappable("wrong_mode", "this is of test mode, and the brand is live"),
}


def receive(
    engine: Engine, looks: Engine, kind: str, biller_id: UUID, body: bytes, headers: Mapping[str, str]
) -> Biller:
    """Keep a webhook as it came; a double is one that is kept already. Headers are named in lower case.

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


def keep(engine: Engine, biller: Biller, body: bytes) -> None:
    """Keep what a biller signed, as it came."""
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
        kept = _without_erased(connection, biller.brand_id, body)
        deliveries.store(connection, biller.brand_id, biller.biller_id, delivery_id, kept, refused)


def _without_erased(connection: Connection, brand_id: UUID, body: bytes) -> bytes:
    """A webhook without the names of people who were erased (SEMANTICS 20): with their random ids, as facts are."""
    known = erased.of(connection, brand_id)
    if known is None:
        return body
    said = body.decode(errors="replace")
    return known.among([said]).body(body)
