"""Texts and documents that are kept as they came, or as they were told or answered, and may name a person (SEMANTICS
20): which columns hold them, which rows name somebody, and what an export shows of these.

Facts, guests and members are not among them, because the meaning of their fields is known (`mentions`).
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from issuance.members.names import Names


class Column(NamedTuple):
    """A column that may hold anybody's name, and its table's key beside the brand."""

    table: str
    key: tuple[str, ...]
    name: str
    kind: Literal["text", "json", "bytes"]
    #: The name that an export has for what it says, if it has any of that.
    exported_as: str | None = None

    @property
    def is_known_by_hash(self) -> bool:
        """Whether a hash of the text is kept beside it: a refused text that comes again is still one row
        (`rejected_events_once`)."""
        return (self.table, self.name) == ("rejected_events", "body")

    def said(self, row: Mapping[Any, Any]) -> Any:
        """What stands in a row that was found."""
        return bytes(row["said"]) if self.kind == "bytes" else row["said"]

    def without(self, names: Names, said: Any) -> Any:
        """What was said, without the names."""
        match self.kind:
            case "json":
                return names.document(said)
            case "bytes":
                return names.body(said)
        return names.text(said)


#: Columns where names may stand although the column is not meant for names.
COLUMNS = (
    Column("webhook_events", ("event_id",), "data", "json"),
    Column("deliveries", ("delivery_id", "event_id"), "last_error", "text"),
    Column("rejected_events", ("rejected_id", "body_hash"), "body", "text", "rejected_events"),
    Column("rejected_events", ("rejected_id",), "message", "text"),
    Column("idempotency_keys", ("caller", "key"), "body", "bytes", "answers"),
    Column("biller_deliveries", ("biller_id", "delivery_id"), "body", "bytes", "biller_deliveries"),
    Column("biller_deliveries", ("biller_id", "delivery_id"), "message", "text"),
    Column("biller_deliveries", ("biller_id", "delivery_id"), "waits_for", "text"),
    Column("biller_objects", ("biller_id", "object_id"), "data", "json", "biller_objects"),
    Column("biller_objects", ("biller_id", "object_id"), "object_id", "text"),
    Column("biller_memberships", ("membership_id",), "source_ref", "text"),
    Column("reconciliations", ("run_id",), "position", "json"),
    Column("reconciliations", ("run_id",), "result", "json"),
    Column("reconciliations", ("run_id",), "error", "text"),
    Column("runs", ("run_id",), "reason", "text"),
    Column("redemptions", ("redemption_id",), "offer", "text"),
    Column("redemptions", ("redemption_id",), "reference", "text"),
    Column("ledger_entries", ("entry_id",), "reason", "text"),
    Column("audit_entries", ("entry_id",), "reason", "text"),
    Column("audit_entries", ("entry_id",), "before", "json"),
    Column("audit_entries", ("entry_id",), "after", "json"),
    Column("schedules", ("schedule_id",), "last_error", "text"),
)
#: The columns that an export shows, by their names there.
EXPORTED: Mapping[str, Column] = {column.exported_as: column for column in COLUMNS if column.exported_as is not None}
#: Parts of keys that an export does not show: they say nothing about the person.
_NOT_EXPORTED = {"body_hash", "caller"}
#: Rows that are in memory at once: of what billers sent each may have a megabyte.
_FEW_AT_ONCE = {"yield_per": 10}
# What is looked through, and for what. Of bytes those that are no letters of ASCII are written as numbers.
_IN = {
    "text": ("{0}", "needle"),
    "json": ("CAST({0} AS text)", "needle"),
    "bytes": ("encode({0}, 'escape')", "encode(convert_to(needle, 'UTF8'), 'escape')"),
}
# Both ways, as not every database's lower() knows every letter. Each text is made once, not once a needle.
_FIND = {
    column: text(f"""
        SELECT {", ".join(column.key)}, {column.name} AS said FROM {column.table}
         WHERE brand_id = :brand_id AND {column.name} IS NOT NULL
           AND EXISTS (SELECT FROM (SELECT plain, lower(plain) AS low
                                      FROM (SELECT {within.format(column.name)} OFFSET 0) AS made (plain)
                                    OFFSET 0) AS once,
                              unnest(CAST(:needles AS text[])) AS needle
                        WHERE position({needle} IN plain) > 0 OR position({needle} IN low) > 0)
    """)
    for column in COLUMNS
    for within, needle in [_IN[column.kind]]
}


def found(
    connection: Connection, brand_id: UUID, names: Names, column: Column
) -> Iterator[Sequence[Mapping[Any, Any]]]:
    """Rows of a column that may name them, some at a time: the key, and what is `said`."""
    which = {"brand_id": brand_id, "needles": needles([*names.ids, *names.emails, *names.called, *names.guest_ids])}
    yield from connection.execute(_FIND[column], which, execution_options=_FEW_AT_ONCE).mappings().partitions()


def exported(connection: Connection, brand_id: UUID, names: Names, column: Column) -> Iterator[dict[str, Any]]:
    """The rows of a column that name them, as an export shows these. `said` is the JSON that stands there; None if it
    identifies others too, or if it is no JSON, so that nobody can tell."""
    key = [name for name in column.key if name not in _NOT_EXPORTED]
    for some in found(connection, brand_id, names, column):
        for row in some:
            said = column.said(row)
            if column.without(names, said) == said:
                continue
            document = said if column.kind == "json" else _parsed(said)
            alone = document is not None and names.is_alone_in(document)
            yield {**{name: row[name] for name in key}, "said": document if alone else None}


def needles(words: Iterable[str]) -> list[str]:
    """What names look like in texts and in JSON that is escaped."""
    forms = {
        form for word in words for form in (word, json.dumps(word)[1:-1], json.dumps(word, ensure_ascii=False)[1:-1])
    }
    return sorted({*forms, *(form.lower() for form in forms)} - {""})


def _parsed(said: str | bytes) -> Any:
    try:
        return json.loads(said)
    except (ValueError, RecursionError):
        return None
