"""Billers that are plugged in: their secrets, which are kept sealed and never shown, and their price maps."""

import secrets as randomness
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, delete, exists, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from uuid_utils.compat import uuid7

from issuance import audit
from issuance.billers.adapter import Price
from issuance.database import paging
from issuance.database.tables import biller_prices, billers, membership_types
from issuance.errors import Conflict, Invalid, NotFound
from issuance.tenancy import sealing

CurrentPeriod = Literal["keep", "switch"]

#: A brand has no more billers than this: each is looked at by the scheduler.
MOST_BILLERS = 20
#: A price map has no more entries than this: it is read whole.
MOST_PRICES = 10_000
#: The kinds that have an API to ask: those whose adapter is `Askable`. What a mapping reads has none.
WITH_API = ("stripe",)
#: How many of a map's entries a list of billers shows.
PRICES_SHOWN = 500
#: That a biller was heard is noted once in so long: a busy one sends many webhooks a second.
HEARD_EVERY = timedelta(minutes=1)


class TooManyBillers(Conflict):
    """A brand has at most 20 billers."""

    code = "too_many_billers"


class TooManyPrices(Conflict):
    """A price map has at most 10,000 entries."""

    code = "too_many_prices"


@dataclass(frozen=True, slots=True)
class Biller:
    """A biller that is plugged in. Its secrets are opened here and are never to be shown."""

    brand_id: UUID
    biller_id: UUID
    kind: str
    sealed: tuple[bytes, ...]
    sealed_api_key: bytes | None
    mapping: dict[str, Any] | None
    #: Whether its brand is a sandbox: webhooks of test mode belong to sandboxes, those of live mode to live brands.
    sandbox: bool
    #: When a webhook came last that it sent by itself, to the minute (real time).
    heard_at: datetime
    #: When it was looked up, by PostgreSQL's clock.
    at: datetime

    @property
    def secrets(self) -> list[bytes]:
        """What its webhooks are signed with."""
        return [_opened(secret) for secret in self.sealed]

    @property
    def can_be_asked(self) -> bool:
        """Whether its kind has an API, and a key was given."""
        return self.sealed_api_key is not None and self.kind in WITH_API

    @property
    def api_key(self) -> str | None:
        """With what it can be asked."""
        return None if self.sealed_api_key is None else _opened(self.sealed_api_key).decode()


class New(NamedTuple):
    """A biller to be plugged in. No secrets: it tells its own once it knows the URL, and nothing that it sends is
    taken before `replace_secrets` gives that."""

    kind: str
    secrets: Sequence[str]
    api_key: str | None = None
    mapping: dict[str, Any] | None = None


# Once for each secret of a process: its key is asked for in the environment each time.
_opened = lru_cache(maxsize=1024)(sealing.unseal)


def create(connection: Connection, brand_id: UUID, new: New) -> UUID:
    """Plug in a biller, and return its id. Raises TooManyBillers, and Invalid for a key if its kind has no API."""
    if new.api_key is not None:
        _has_api(new.kind)
    counted = select(func.count()).select_from(billers).where(billers.c.brand_id == brand_id)
    if (connection.scalar(counted) or 0) >= MOST_BILLERS:
        raise TooManyBillers
    biller_id = uuid7()
    given = new.secrets or [randomness.token_urlsafe(32)]
    connection.execute(
        billers.insert().values(
            brand_id=brand_id,
            biller_id=biller_id,
            kind=new.kind,
            secrets=[sealing.seal(connection, secret.encode()) for secret in given],
            api_key=None if new.api_key is None else sealing.seal(connection, new.api_key.encode()),
            mapping=new.mapping,
        )
    )
    said = {"kind": new.kind, "can_be_asked": new.api_key is not None}
    audit.write(connection, brand_id, "biller.created", biller_id, after=said)
    return biller_id


def find(connection: Connection, biller_id: UUID, kind: str | None = None) -> Biller | None:
    """The biller with this id, of whatever brand the transaction sees."""
    row = connection.execute(_FIND, {"biller_id": biller_id}).one_or_none()
    if row is None or kind not in (None, row.kind):
        return None
    sealed = tuple(bytes(secret) for secret in row.secrets)
    api_key = None if row.api_key is None else bytes(row.api_key)
    ids = row.brand_id, row.biller_id
    return Biller(*ids, row.kind, sealed, api_key, row.mapping, row.sandbox, row.heard_at, row.at)


def get(connection: Connection, brand_id: UUID, biller_id: UUID) -> Biller:
    """The biller of a brand. Raises NotFound."""
    found = find(connection, biller_id)
    if found is None or found.brand_id != brand_id:
        raise NotFound("There is no such biller.")
    return found


def page(
    connection: Connection, brand_id: UUID, page: int, per_page: int, *, most_prices: int = PRICES_SHOWN
) -> paging.Rows:
    """A page of a brand's billers, the oldest first, with their price maps, of each at most `most_prices` entries, and
    without their secrets."""
    columns = billers.c
    found = (
        select(
            columns.biller_id.label("id"),
            columns.kind,
            columns.created_at,
            columns.reconciled_at,
            columns.heard_at,
            (columns.api_key.is_not(None) & columns.kind.in_(WITH_API)).label("can_be_asked"),
        )
        .where(columns.brand_id == brand_id)
        .order_by(columns.biller_id)
    )
    rows, total = paging.rows_of(connection, found, page, per_page)
    shown: dict[UUID, list[dict[str, Any]]] = {row["id"]: [] for row in rows}
    totals: dict[UUID, int] = {}
    which = {"brand_id": brand_id, "biller_ids": list(shown), "most": most_prices}
    for one in connection.execute(_SHOWN, which).mappings():
        entry = dict(one)
        totals[one["biller_id"]] = entry.pop("total")
        shown[entry.pop("biller_id")].append(entry)
    return [{**row, "prices": shown[row["id"]], "prices_total": totals.get(row["id"], 0)} for row in rows], total


def heard(connection: Connection, biller: Biller) -> None:
    """Note that a biller sent something by itself, if that was not noted a moment ago. Nobody waits for it."""
    if biller.at - biller.heard_at >= HEARD_EVERY:
        connection.execute(_HEARD, {"brand_id": biller.brand_id, "biller_id": biller.biller_id})


def replace_secrets(connection: Connection, brand_id: UUID, biller_id: UUID, secrets: Sequence[str]) -> None:
    """Give a biller other secrets, one or two: a webhook signed with any of them is good. Raises NotFound."""
    known = get(connection, brand_id, biller_id).secrets
    sealed = [sealing.seal(connection, secret.encode()) for secret in secrets]
    connection.execute(update(billers).where(_is(brand_id, biller_id)).values(secrets=sealed))
    if known != [secret.encode() for secret in secrets]:  # else they are sealed anew, and the same
        audit.write(connection, brand_id, "biller.updated", biller_id, after={"secrets": len(secrets)})


def replace_api_key(connection: Connection, brand_id: UUID, biller_id: UUID, api_key: str | None) -> None:
    """Give a biller another API key, or none, after which it is not asked. Deliveries that wait for an answer are then
    translated without it: call `deliveries.retry` in the same transaction. Raises NotFound, and Invalid if its kind has
    no API.
    """
    biller = get(connection, brand_id, biller_id)
    if api_key is None and biller.sealed_api_key is None:
        return
    if api_key is not None:
        _has_api(biller.kind)
    sealed = None if api_key is None else sealing.seal(connection, api_key.encode())
    connection.execute(update(billers).where(_is(brand_id, biller_id)).values(api_key=sealed))
    audit.write(connection, brand_id, "biller.updated", biller_id, after={"can_be_asked": api_key is not None})


def put_price(
    connection: Connection,
    brand_id: UUID,
    biller_id: UUID,
    price: str,
    membership_type_id: UUID | None,
    current_period: CurrentPeriod = "keep",
) -> dict[str, Any]:
    """Map a price, or a product with all its prices, to a membership type; None: it is no membership's price, and is
    passed over. Deliveries that wait for it can be translated now: call `deliveries.retry` in the same transaction.
    What was told stays.

    Raises NotFound, Invalid, TooManyPrices.

    """
    get(connection, brand_id, biller_id)
    if membership_type_id is not None and not connection.scalar(
        select(
            exists().where(
                membership_types.c.brand_id == brand_id, membership_types.c.membership_type_id == membership_type_id
            )
        )
    ):
        raise Invalid(fields={"membership_type_id": "is not known"})
    entry = {"price": price, "membership_type_id": membership_type_id, "current_period": current_period}
    was = price_map(connection, brand_id, biller_id).get(price)
    if was == Price(membership_type_id, current_period == "switch"):
        return entry
    put = insert(biller_prices).values(brand_id=brand_id, biller_id=biller_id, **entry)
    connection.execute(
        put.on_conflict_do_update(
            constraint="biller_prices_pkey",
            set_={"membership_type_id": membership_type_id, "current_period": current_period},
        )
    )
    if len(price_map(connection, brand_id, biller_id)) > MOST_PRICES:
        raise TooManyPrices
    audit.write(connection, brand_id, "biller_price.mapped", biller_id, after=entry)
    return entry


def forget_price(connection: Connection, brand_id: UUID, biller_id: UUID, price: str) -> None:
    """Take a price out of the map. What was told of it stays. Raises NotFound."""
    columns = biller_prices.c
    which = (columns.brand_id == brand_id) & (columns.biller_id == biller_id) & (columns.price == price)
    if connection.execute(delete(biller_prices).where(which)).rowcount == 0:
        raise NotFound("There is no such price in the map.")
    audit.write(connection, brand_id, "biller_price.deleted", biller_id, before={"price": price})


def price_map(connection: Connection, brand_id: UUID, biller_id: UUID) -> dict[str, Price]:
    """What each price and product is sold as."""
    rows = connection.execute(_PRICES, {"brand_id": brand_id, "biller_id": biller_id})
    return {row.price: Price(row.membership_type_id, row.current_period == "switch") for row in rows}


_FIND = text("""
    SELECT brand_id, biller_id, kind, secrets, api_key, mapping, environment = 'sandbox' AS sandbox,
           heard_at, clock_timestamp() AS at
      FROM billers JOIN brands USING (brand_id) WHERE biller_id = :biller_id
""")
_HEARD = text("""
    UPDATE billers SET heard_at = clock_timestamp()
     WHERE (brand_id, biller_id) IN (SELECT brand_id, biller_id FROM billers
                                      WHERE brand_id = :brand_id AND biller_id = :biller_id
                                        FOR NO KEY UPDATE SKIP LOCKED)
""")
_SHOWN = text("""
    SELECT biller_id, price, membership_type_id, current_period, total
      FROM (SELECT *, row_number() OVER (PARTITION BY biller_id ORDER BY price) AS place,
                   count(*) OVER (PARTITION BY biller_id) AS total
              FROM biller_prices WHERE brand_id = :brand_id AND biller_id = ANY(CAST(:biller_ids AS uuid[]))) p
     WHERE place <= :most ORDER BY biller_id, price
""")
_PRICES = text("""
    SELECT price, membership_type_id, current_period FROM biller_prices
     WHERE brand_id = :brand_id AND biller_id = :biller_id
""")


def _has_api(kind: str) -> None:
    if kind not in WITH_API:
        raise Invalid(fields={"api_key": "is for billers that can be asked; what a mapping reads has no API"})


def _is(brand_id: UUID, biller_id: UUID) -> Any:
    return (billers.c.brand_id == brand_id) & (billers.c.biller_id == biller_id)
