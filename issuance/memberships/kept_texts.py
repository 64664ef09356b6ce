"""What is kept as it came, or was answered, and names a person (SEMANTICS 20): refused events, what billers sent and
know, first answers to idempotency keys. Erasing finds the same.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from issuance.members.names import Names
from issuance.memberships import scrubbing

#: By the name that an export has for it: the column that may name anybody, and what of its key says which one it is.
PLACES: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "rejected_events": ("rejected_events", "body", ("rejected_id",)),
    "biller_deliveries": ("biller_deliveries", "body", ("biller_id", "delivery_id")),
    "biller_objects": ("biller_objects", "data", ("biller_id", "object_id")),
    "answers": ("idempotency_keys", "body", ("key",)),
}


def of(connection: Connection, brand_id: UUID, names: Names, place: str) -> Iterator[dict[str, Any]]:
    """What of a place names them. `said` is the JSON that it is, or None: it says of others who they are too, or it is
    no JSON, of which nobody could tell."""
    table, column, key = PLACES[place]
    for row in scrubbing.naming(connection, brand_id, names, table, column):
        said = row["said"] if column == "data" else _parsed(row["said"])
        alone = said is not None and names.is_alone_in(said)
        yield {**{name: row[name] for name in key}, "said": said if alone else None}


def _parsed(said: str | bytes) -> Any:
    try:
        return json.loads(said)
    except (ValueError, RecursionError):
        return None
