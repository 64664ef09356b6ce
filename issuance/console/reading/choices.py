"""Choices: what the selects of forms offer, by name. What is chosen already is always offered."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, TextClause, text

from issuance import limits

_COUPONS = text("""
    SELECT coupon_id AS id, name FROM coupons
     WHERE brand_id = :brand_id
       AND coupon_id IN ((SELECT coupon_id FROM coupons WHERE brand_id = :brand_id ORDER BY coupon_id LIMIT :most)
                         UNION ALL SELECT unnest(CAST(:chosen AS text[])))
     ORDER BY lower(name), coupon_id
""")
_TYPES = text("""
    SELECT membership_type_id AS id, name FROM membership_types
     WHERE brand_id = :brand_id
       AND membership_type_id IN ((SELECT membership_type_id FROM membership_types WHERE brand_id = :brand_id
                                    ORDER BY created_at, membership_type_id LIMIT :most)
                                  UNION ALL SELECT unnest(CAST(:chosen AS uuid[])))
     ORDER BY created_at, membership_type_id
""")


@dataclass(frozen=True, slots=True)
class Choices:
    """What a select offers, each with `id` and `name`, and whether there is more."""

    rows: list[dict[str, Any]]
    more: bool


def coupons(connection: Connection, brand_id: UUID, chosen: Collection[str] = ()) -> Choices:
    """The brand's coupons, by name."""
    return _read(connection, brand_id, _COUPONS, chosen)


def types(connection: Connection, brand_id: UUID, chosen: Collection[UUID] = ()) -> Choices:
    """The brand's membership types, the oldest first."""
    return _read(connection, brand_id, _TYPES, chosen)


def _read(connection: Connection, brand_id: UUID, statement: TextClause, chosen: Collection[object]) -> Choices:
    most = limits.current.console.choices
    asked = {"brand_id": brand_id, "most": most + 1, "chosen": list(chosen)}
    rows = [dict(row) for row in connection.execute(statement, asked).mappings()]
    return Choices(rows, len(rows) > most)
