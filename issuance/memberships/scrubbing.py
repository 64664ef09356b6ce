"""Scrubbing: names are taken out of everything that is kept as it came, or as it was told (SEMANTICS 20)."""

import json
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.members import erased
from issuance.members.names import SHORTEST_IN_TEXT, Names
from issuance.memberships import kept_texts
from issuance.memberships.kept_texts import COLUMNS, Column
from issuance.tenancy import idempotency

_FORGETTING = text("SET LOCAL issuance.forgetting = 'on'")
_NO_MORE = text("SET LOCAL issuance.forgetting = 'off'")

# Only of credits that a person took back, not of all.
_OF_CREDITS = Column("credits", ("credit_id",), "revoked_reason", "text")
_REASONS = text("""
    SELECT credit_id, revoked_reason AS said FROM credits
     WHERE brand_id = :brand_id AND membership_id = ANY(:membership_ids) AND revoked_actor IS NOT NULL
""")
_REWRITE = {
    column: text(f"""
        UPDATE {column.table}
           SET {column.name} = {"CAST(:said AS jsonb)" if column.kind == "json" else ":said"}
               {", body_hash = :body_hash" if column.is_known_by_hash else ""}
         WHERE brand_id = :brand_id AND {" AND ".join(f"{name} = :key_{name}" for name in column.key)}
    """)
    for column in (*COLUMNS, _OF_CREDITS)
}


def scrub(connection: Connection, brand_id: UUID, names: Names, membership_ids: Iterable[UUID]) -> None:
    """Take names out of everything that the brand keeps; `membership_ids` are the orders that name them."""
    connection.execute(_FORGETTING)
    # Wherever a name stands in a key, even within another word: a hash serves as well, and nobody else's answer is
    # lost.
    called = kept_texts.needles([*(one for one in names.ids if len(one) >= SHORTEST_IN_TEXT), *names.emails])
    hashes = erased.hashing_of_keys(connection)
    idempotency.unname(connection, brand_id, called, lambda key: hashes(key)[0])
    for column in COLUMNS:
        for some in kept_texts.found(connection, brand_id, names, column):
            _rewrite(connection, brand_id, names, column, some)
    parameters = {"brand_id": brand_id, "membership_ids": list(membership_ids)}
    _rewrite(connection, brand_id, names, _OF_CREDITS, connection.execute(_REASONS, parameters).mappings())
    connection.execute(_NO_MORE)


def _rewrite(
    connection: Connection, brand_id: UUID, names: Names, column: Column, rows: Iterable[Mapping[Any, Any]]
) -> None:
    changed: list[dict[str, Any]] = []
    known = erased.of(connection, brand_id) if column.is_known_by_hash else None
    for row in rows:
        said = column.said(row)
        without = column.without(names, said)
        if without == said:
            continue
        key = {f"key_{name}": row[name] for name in column.key}
        becomes: dict[str, Any] = {"said": json.dumps(without) if column.kind == "json" else without}
        if column.is_known_by_hash:
            assert known is not None, "they were noted before"
            becomes["body_hash"] = known.text_hashes(bytes(row["body_hash"]))[0]
        changed.append({"brand_id": brand_id, **key, **becomes})
    if changed:
        connection.execute(_REWRITE[column], changed)
