"""Scrubbing: names are taken out of everything that is kept as it came, or as it was told (SEMANTICS 20).

Facts, guests and members are not among it: `forgetting` knows what their fields mean.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.members import erased
from issuance.members.names import SHORTEST_IN_TEXT, Names
from issuance.tenancy import idempotency

_FORGETTING = text("SET LOCAL issuance.forgetting = 'on'")
_NO_MORE = text("SET LOCAL issuance.forgetting = 'off'")


class _Column(NamedTuple):
    """A column that may hold anybody's name, and its table's key beside the brand."""

    table: str
    key: tuple[str, ...]
    name: str
    kind: Literal["text", "json", "bytes"]

    @property
    def is_known_by_hash(self) -> bool:
        """A refused text is one row however often it comes as it came first (`rejected_events_once`)."""
        return (self.table, self.name) == ("rejected_events", "body")


#: Where names may stand that nobody put there as such.
COLUMNS = (
    _Column("webhook_events", ("event_id",), "data", "json"),
    _Column("deliveries", ("delivery_id", "event_id"), "last_error", "text"),
    _Column("rejected_events", ("rejected_id", "body_hash"), "body", "text"),
    _Column("rejected_events", ("rejected_id",), "message", "text"),
    _Column("idempotency_keys", ("caller", "key"), "body", "bytes"),
    _Column("biller_deliveries", ("biller_id", "delivery_id"), "body", "bytes"),
    _Column("biller_deliveries", ("biller_id", "delivery_id"), "message", "text"),
    _Column("biller_deliveries", ("biller_id", "delivery_id"), "waits_for", "text"),
    _Column("biller_objects", ("biller_id", "object_id"), "data", "json"),
    _Column("biller_objects", ("biller_id", "object_id"), "object_id", "text"),
    _Column("biller_memberships", ("membership_id",), "source_ref", "text"),
    _Column("reconciliations", ("run_id",), "position", "json"),
    _Column("reconciliations", ("run_id",), "result", "json"),
    _Column("reconciliations", ("run_id",), "error", "text"),
    _Column("runs", ("run_id",), "reason", "text"),
    _Column("redemptions", ("redemption_id",), "offer", "text"),
    _Column("redemptions", ("redemption_id",), "reference", "text"),
    _Column("ledger_entries", ("entry_id",), "reason", "text"),
    _Column("audit_entries", ("entry_id",), "reason", "text"),
    _Column("audit_entries", ("entry_id",), "before", "json"),
    _Column("audit_entries", ("entry_id",), "after", "json"),
    _Column("schedules", ("schedule_id",), "last_error", "text"),
)
# Of the many credits, those that a person took back.
_OF_CREDITS = _Column("credits", ("credit_id",), "revoked_reason", "text")
_REASONS = text("""
    SELECT credit_id, revoked_reason AS said FROM credits
     WHERE brand_id = :brand_id AND membership_id = ANY(:membership_ids) AND revoked_actor IS NOT NULL
""")
#: Rows that are in memory at once: of what billers sent each may have a megabyte.
_FEW_AT_ONCE = {"yield_per": 10}
# How a needle is looked for. In texts both ways, as not every database's lower() knows every letter.
_IN = {
    "text": "position(needle IN {0}) > 0 OR position(needle IN lower({0})) > 0",
    "json": "position(needle IN CAST({0} AS text)) > 0 OR position(needle IN lower(CAST({0} AS text))) > 0",
    "bytes": "position(convert_to(needle, 'UTF8') IN {0}) > 0",
}
_FIND = {
    column: text(f"""
        SELECT {", ".join(column.key)}, {column.name} AS said FROM {column.table}
         WHERE brand_id = :brand_id AND {column.name} IS NOT NULL
           AND EXISTS (SELECT FROM unnest(CAST(:needles AS text[])) AS needle
                        WHERE {_IN[column.kind].format(column.name)})
    """)
    for column in COLUMNS
}
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
    """Take names out of whatever the brand keeps; `membership_ids`: the memberships that have to do with them."""
    connection.execute(_FORGETTING)
    # Wherever one stands in a key, though it be in another word: a hash is as good, and nobody else's answer is lost.
    called = _needles([*(one for one in names.ids if len(one) >= SHORTEST_IN_TEXT), *names.emails])
    hashes = erased.hashing_of_keys(connection)
    idempotency.unname(connection, brand_id, called, lambda key: hashes(key)[0])
    for column in COLUMNS:
        for some in _found(connection, brand_id, names, column):
            _rewrite(connection, brand_id, names, column, some)
    parameters = {"brand_id": brand_id, "membership_ids": list(membership_ids)}
    _rewrite(connection, brand_id, names, _OF_CREDITS, connection.execute(_REASONS, parameters).mappings())
    connection.execute(_NO_MORE)


def naming(connection: Connection, brand_id: UUID, names: Names, table: str, name: str) -> Iterator[Mapping[Any, Any]]:
    """The rows of one of the `COLUMNS` that name them: the key, and what is `said`."""
    column = next(one for one in COLUMNS if (one.table, one.name) == (table, name))
    for some in _found(connection, brand_id, names, column):
        for row in some:
            said = bytes(row["said"]) if column.kind == "bytes" else row["said"]
            if _without(names, column, said) != said:
                yield {**row, "said": said}


def _found(
    connection: Connection, brand_id: UUID, names: Names, column: _Column
) -> Iterator[Sequence[Mapping[Any, Any]]]:
    """Rows that may name them, some at once."""
    needles = _needles([*names.ids, *names.emails, *names.called, *names.guest_ids])
    which = {"brand_id": brand_id, "needles": needles}
    yield from connection.execute(_FIND[column], which, execution_options=_FEW_AT_ONCE).mappings().partitions()


def _rewrite(
    connection: Connection, brand_id: UUID, names: Names, column: _Column, rows: Iterable[Mapping[Any, Any]]
) -> None:
    changed: list[dict[str, Any]] = []
    known = erased.of(connection, brand_id) if column.is_known_by_hash else None
    for row in rows:
        said = bytes(row["said"]) if column.kind == "bytes" else row["said"]
        without = _without(names, column, said)
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


def _without(names: Names, column: _Column, said: Any) -> Any:
    match column.kind:
        case "json":
            return names.document(said)
        case "bytes":
            return names.body(said)
    return names.text(said)


def _needles(words: Iterable[str]) -> list[str]:
    """What names look like in texts and in JSON that is escaped."""
    forms = {
        form for word in words for form in (word, json.dumps(word)[1:-1], json.dumps(word, ensure_ascii=False)[1:-1])
    }
    return sorted({*forms, *(form.lower() for form in forms)} - {""})
