"""Refused texts, as they are kept for the operator: one row for one text, however often it comes, before somebody whom
it names was forgotten and after (SEMANTICS 20)."""

import json
from collections.abc import Sequence
from hashlib import sha256
from uuid import UUID

from sqlalchemy import Connection
from uuid_utils.compat import uuid7

from issuance import limits
from issuance.billing.cloud_events import Refused
from issuance.database.statements import Statement
from issuance.engine.rows import as_json, recordset
from issuance.members import erased
from issuance.members.erased import Erased

#: How much of a refused event is kept.
LONGEST_BODY = 64 * 1024

_KEEP = Statement(f"""
    INSERT INTO rejected_events (brand_id, rejected_id, code, message, body, body_hash)
    SELECT :brand_id, new.*
      FROM {recordset(rejected_id="uuid", code="text", message="text", body="text", body_hash="bytea")}
    ON CONFLICT ON CONSTRAINT rejected_events_once DO UPDATE
       SET code = excluded.code, message = excluded.message, received_at = excluded.received_at
""")
# A row that somebody else has locked is left for the next time.
_FORGET_OLDEST = Statement("""
    WITH oldest AS MATERIALIZED (
         SELECT rejected_id FROM rejected_events
          WHERE brand_id = :brand_id
            AND rejected_id < (SELECT latest.rejected_id FROM rejected_events latest WHERE latest.brand_id = :brand_id
                                ORDER BY latest.rejected_id DESC OFFSET :others LIMIT 1)
            FOR UPDATE SKIP LOCKED)
    DELETE FROM rejected_events WHERE brand_id = :brand_id AND rejected_id IN (SELECT rejected_id FROM oldest)
""")
_THERE = Statement("""
    SELECT body_hash FROM rejected_events WHERE brand_id = :brand_id AND body_hash = ANY(CAST(:hashes AS bytea[]))
""")


def keep(
    connection: Connection, brand_id: UUID, refused: Sequence[tuple[str, Refused]], kept_as: bytes | None = None
) -> None:
    """Keep what was refused, the text as it came but for who was erased, and the reason, where the operator sees it:
    once, however often it is refused, and the latest of them. `kept_as`: as what a single text is kept already."""
    if not refused:
        return
    # Before it has named anybody, this transaction holds no lock that erasing waits for.
    known = erased.of(connection, brand_id)
    bodies = [body for body, _ in refused]
    kept = [(body, _hash(body)) for body in bodies] if known is None else _kept(connection, known, bodies)
    rows = {
        (kept_as or body_hash): {
            "rejected_id": uuid7(),
            "code": why.code,
            "message": why.message,
            "body": body[:LONGEST_BODY].replace("\0", "\N{REPLACEMENT CHARACTER}"),
            "body_hash": f"\\x{(kept_as or body_hash).hex()}",
        }
        for (body, body_hash), (_, why) in zip(kept, refused, strict=True)
    }
    in_order = [rows[body_hash] for body_hash in sorted(rows)]
    _KEEP.written(connection, {"brand_id": brand_id, "rows": as_json(in_order)})
    _FORGET_OLDEST.written(connection, {"brand_id": brand_id, "others": limits.current.intake.refused_kept - 1})


def _kept(connection: Connection, known: Erased, bodies: Sequence[str]) -> list[tuple[str, bytes]]:
    """Texts as they are kept where people were erased, and what each is known by: where it is there already without
    names, it is that row."""
    said = [_value(body) for body in bodies]
    names = known.among(said)
    hashes = [[*known.text_hashes(_hash(body)), _hash(body)] for body in bodies]
    parameters = {"brand_id": known.brand_id, "hashes": [one for some in hashes for one in some]}
    there = {bytes(one) for one in _THERE.column(connection, parameters)}
    kept = []
    for body, value, some in zip(bodies, said, hashes, strict=True):
        without = names.document(value)
        as_kept = body if without == value else without if value is body else json.dumps(without)
        new = some[-1] if as_kept is body else some[0]
        kept.append((as_kept, next((one for one in some if one in there), new)))
    return kept


def _value(body: str) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body


def _hash(body: str) -> bytes:
    return sha256(body.encode(errors="replace")).digest()
