"""Brands: the tenants."""

from typing import Any
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, select
from uuid_utils.compat import uuid7

from issuance import audit
from issuance.database.tables import brands
from issuance.errors import Invalid
from issuance.fields import Body, Name, TimeZone, complaint
from issuance.tenancy import keys


class NewBrand(Body):
    """`timezone` is an IANA name; every date of the brand is read in it."""

    name: Name
    timezone: TimeZone


#: The name of the key with which a brand is made.
FIRST_KEY = "first key"
_NEW_BRAND = TypeAdapter(NewBrand)


def create(connection: Connection, *, name: str, timezone: str, sandbox: bool) -> tuple[UUID, str]:
    """A new brand and its first key, which has every scope. Raises Invalid."""
    try:
        brand = _NEW_BRAND.validate_python({"name": name, "timezone": timezone})
    except ValidationError as error:
        fields = {str(wrong["loc"][0]): complaint(wrong) for wrong in error.errors()}
        raise Invalid("; ".join(f"{field}: {message}" for field, message in fields.items()), fields=fields) from None
    brand_id = uuid7()
    environment = "sandbox" if sandbox else "live"
    connection.execute(
        brands.insert().values(brand_id=brand_id, name=brand.name, timezone=brand.timezone, environment=environment)
    )
    _, key = keys.make(connection, brand_id, keys.SCOPES, FIRST_KEY)
    said = {**brand.model_dump(), "environment": environment}
    audit.write(connection, brand_id, "brand.created", brand_id, after=said)
    return brand_id, key


def page(connection: Connection) -> list[dict[str, Any]]:
    """All brands, the oldest first."""
    columns = brands.c
    rows = connection.execute(
        select(columns.brand_id, columns.name, columns.environment, columns.timezone, columns.created_at).order_by(
            columns.created_at, columns.brand_id
        )
    )
    return [dict(row) for row in rows.mappings()]
