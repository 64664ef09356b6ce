"""Coupons: the templates that credits are made from. Changing one never rewrites credits that are out."""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic.config import JsonDict
from pydantic_core import to_json
from sqlalchemy import Connection, Select, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from issuance import audit
from issuance.database import paging
from issuance.database.tables import coupons
from issuance.deciding.frequency import parse_validity
from issuance.errors import Conflict, Invalid, NotFound
from issuance.fields import Body, Description, Name, PlainJson

_ID = re.compile(r"[A-Za-z0-9._~:@-]{1,100}", re.ASCII)


#: The pattern of a validity in the API document: one unit of a century at most, or several that can not be more
#: together. It leaves out some that nobody writes.
SHOWN_VALIDITY = (
    r"^P(?=.*[1-9])((\d{1,2}|100)Y"
    r"|(\d{1,3}|1[01]\d{2}|1200)M"
    r"|(\d{1,3}|[1-4]\d{3}|5[01]\d{2}|520\d|521[0-7])W"
    r"|(\d{1,4}|[12]\d{4}|3[0-5]\d{3}|36[0-4]\d{2}|365[01]\d|3652[0-5])D"
    r"|([1-4]?\dY)?([12]?\d{1,2}M)?([1-5]?\d{1,2}W)?([1-4]?\d{1,3}D)?)$"
)
_Shown = Field(json_schema_extra={"pattern": SHOWN_VALIDITY})


def _validity(text: str) -> str:
    parse_validity(text)
    return text


#: A page has up to a hundred coupons.
LONGEST_OFFERINGS = 8 * 1024


def _short(offerings: list[Any]) -> list[Any]:
    if len(to_json(offerings)) > LONGEST_OFFERINGS:
        raise ValueError(f"must have at most {LONGEST_OFFERINGS} bytes as JSON")
    return offerings


_MOST = 1_000_000_000
_KEY = [coupons.c.brand_id, coupons.c.coupon_id]
#: What of a coupon no entry of the audit needs to say.
_NOT_SAID = ("id", "coupon_id", "created_at", "updated_at")
#: What the validators of a discount refuse, as the API document says it.
_OF_EACH_TYPE: JsonDict = {
    "if": {"properties": {"type": {"const": "percent"}}},
    "then": {"properties": {"currency": {"type": "null"}, "value": {"maximum": 100}}},
}


class Discount(Body):
    """What a redemption takes off: an amount of money, or a percentage."""

    model_config = ConfigDict(json_schema_extra=_OF_EACH_TYPE)

    type: Literal["amount", "percent"]
    value: Annotated[
        StrictInt | float,
        Field(ge=0, le=_MOST, allow_inf_nan=False),
        WithJsonSchema({"type": "number", "minimum": 0, "maximum": _MOST}),
    ]
    #: ISO 4217, for an amount only; null: the currency is not known, so that the liability counts its credits and does
    #: not value them.
    currency: Annotated[StrictStr, Field(pattern=r"^[A-Z]{3}$")] | None = None

    @field_validator("value", mode="before")
    @classmethod
    def _is_number(cls, value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError("must be a number")
        return value

    @field_validator("value")
    @classmethod
    def _at_most_all(cls, value: float, info: ValidationInfo) -> float:
        if info.data.get("type") == "percent" and value > 100:
            raise ValueError("must be at most 100 percent")
        return value

    @field_validator("currency")
    @classmethod
    def _of_no_percentage(cls, currency: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("type") == "percent" and currency is not None:
            raise ValueError("a percentage has no currency")
        return currency


class CouponBody(Body):
    """A coupon as it is to be. `validity` is how long a credit lives, an ISO 8601 duration of whole years, months,
    weeks and days, at most a century; null: without end."""

    name: Name
    description: Description = ""
    discount: Discount
    validity: Annotated[StrictStr, AfterValidator(_validity), _Shown] | None = Field(None, examples=["P60D"])
    offerings: Annotated[
        list[PlainJson],
        AfterValidator(_short),
        Field(default_factory=list, max_length=500, description=f"At most {LONGEST_OFFERINGS} bytes of JSON"),
    ]


def put(
    connection: Connection, brand_id: UUID, coupon_id: str, coupon: CouponBody, *, new: bool = False
) -> dict[str, Any]:
    """Create the coupon or replace what it says; one that says so already stays as it is.

    Raises Invalid for an id that addresses and logs could not hold, and Conflict for a `new` one that is there.
    """
    if not _ID.fullmatch(coupon_id):
        raise Invalid(fields={"coupon_id": "must be 1 to 100 letters, digits and ._~:@-"})
    values = {
        "name": coupon.name,
        "description": coupon.description,
        "discount_type": coupon.discount.type,
        "discount_value": Decimal(str(coupon.discount.value)),
        "discount_currency": coupon.discount.currency,
        "validity": coupon.validity,
        "offerings": coupon.offerings,
    }
    saved = insert(coupons).values(brand_id=brand_id, coupon_id=coupon_id, **values)
    is_new = saved.on_conflict_do_nothing(index_elements=_KEY).returning(coupons.c.coupon_id)
    if connection.execute(is_new).one_or_none() is not None:
        made = get(connection, brand_id, coupon_id)
        said = audit.changed({}, made, but=_NOT_SAID).after
        audit.write(connection, brand_id, "coupon.created", coupon_id, after=said)
        return made
    if new:
        raise Conflict(f"There is a coupon {coupon_id} already: change that one.")
    before = get(connection, brand_id, coupon_id, lock=True)
    differs = or_(*(coupons.c[name].is_distinct_from(saved.excluded[name]) for name in values))
    connection.execute(
        saved.on_conflict_do_update(index_elements=_KEY, set_={**values, "updated_at": func.now()}, where=differs)
    )
    after = get(connection, brand_id, coupon_id)
    was, is_now = audit.changed(before, after, but=_NOT_SAID)
    if is_now:
        audit.write(connection, brand_id, "coupon.updated", coupon_id, before=was, after=is_now)
    return after


def get(connection: Connection, brand_id: UUID, coupon_id: str, *, lock: bool = False) -> dict[str, Any]:
    """One coupon; with `lock` nobody changes it until the transaction ends. Raises NotFound."""
    one = _all(brand_id).where(coupons.c.coupon_id == coupon_id)
    row = connection.execute(one.with_for_update() if lock else one).mappings().one_or_none()
    if row is None:
        raise NotFound("There is no such coupon.")
    return _shaped(dict(row))


def page(connection: Connection, brand_id: UUID, page: int, per_page: int, *, but: tuple[str, ...] = ()) -> paging.Rows:
    """A page of the brand's coupons, by id. `but`: the fields that nobody asks for."""
    rows, total = paging.rows_of(connection, _all(brand_id, but).order_by(coupons.c.coupon_id), page, per_page)
    return [_shaped(row) for row in rows], total


def is_known(connection: Connection, brand_id: UUID, coupon_id: str) -> bool:
    return connection.execute(_all(brand_id).where(coupons.c.coupon_id == coupon_id)).one_or_none() is not None


def _all(brand_id: UUID, but: tuple[str, ...] = ()) -> Select[Any]:
    columns = [column for column in coupons.c if column.name not in ("brand_id", *but)]
    return select(coupons.c.coupon_id.label("id"), *columns).where(coupons.c.brand_id == brand_id)


def _shaped(row: dict[str, Any]) -> dict[str, Any]:
    value = row.pop("discount_value")
    row["discount"] = {
        "type": row.pop("discount_type"),
        "value": int(value) if value == int(value) else float(value),
        "currency": row.pop("discount_currency"),
    }
    return row
