"""How commands reach PostgreSQL and the queue, and find the brand that an id belongs to."""

import getpass
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer
from sqlalchemy import Connection, Engine, text

from issuance import database
from issuance.audit import Actor
from issuance.errors import Invalid, NotFound
from issuance.settings import settings

if TYPE_CHECKING:
    from dramatiq import Broker

BrandOption = Annotated[
    UUID | None, typer.Option("--brand", metavar="ID", help="The brand, if there is more than one.")
]

#: The message if there is no brand at all.
NONE_YET = "There is no brand yet. Create one: issuance brands create --name NAME --timezone ZONE"

_BRANDS_OF = {
    "credit rule": text("SELECT brand_id FROM credit_rules WHERE credit_rule_id = :id"),
    "membership type": text("SELECT brand_id FROM membership_types WHERE membership_type_id = :id"),
    "membership": text("SELECT brand_id FROM memberships WHERE membership_id = :id"),
    "run": text("SELECT brand_id FROM runs WHERE run_id = :id"),
    "key": text("SELECT brand_id FROM api_keys WHERE key_id = :id"),
    "biller": text("SELECT brand_id FROM billers WHERE biller_id = :id"),
}
_ANY_BRANDS = text("SELECT brand_id FROM brands ORDER BY created_at LIMIT 2")
_IS_BRAND = text("SELECT true FROM brands WHERE brand_id = :brand_id")


def engine() -> Engine:
    """The engine of DATABASE_URL."""
    return database.engine_for(settings().database_url)


def broker() -> "Broker":
    """The broker of REDIS_URL."""
    from issuance import hints  # late: most commands ask nobody

    return hints.broker_for(settings().redis_url)


@contextmanager
def transaction(brand_id: UUID | None = None) -> Iterator[Connection]:
    """One unit of work on DATABASE_URL, on behalf of who gave the command: commits at its end."""
    with database.transaction(engine(), brand_id, _commander().acting()) as connection:
        yield connection


@cache
def _commander() -> Actor:
    """Who gives the commands: a user of this machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.getuid())
    return Actor("command", name=f"{user}@{socket.gethostname()}")


def brand_of(noun: str, id: UUID, brand_id: UUID | None = None) -> UUID:  # noqa: A002 - the word is `id`
    """The brand of a credit rule, membership type, membership, run, key or biller. Raises NotFound, Invalid.

    Membership ids are the biller's, so two brands may have the same one: then `brand_id` decides.
    """
    with transaction() as connection:
        brand_ids: list[UUID] = list(connection.execute(_BRANDS_OF[noun], {"id": id}).scalars())
    if brand_id is not None:
        brand_ids = [found for found in brand_ids if found == brand_id]
    if not brand_ids:
        raise NotFound(f"There is no {noun} {id}.")
    if len(brand_ids) > 1:
        raise Invalid(f"More than one brand has a {noun} {id}. Say which: --brand ID")
    return brand_ids[0]


def only_brand(brand_id: UUID | None) -> UUID:
    """`brand_id` if there is such a brand; if none is given, the only brand that exists. Raises NotFound, Invalid."""
    with transaction() as connection:
        if brand_id is not None:
            if connection.execute(_IS_BRAND, {"brand_id": brand_id}).one_or_none() is None:
                raise NotFound(f"There is no brand {brand_id}.")
            return brand_id
        brand_ids: list[UUID] = list(connection.execute(_ANY_BRANDS).scalars())
    if not brand_ids:
        raise NotFound(NONE_YET)
    if len(brand_ids) > 1:
        raise Invalid("There is more than one brand. Say which: --brand ID (issuance brands list shows them)")
    return brand_ids[0]
