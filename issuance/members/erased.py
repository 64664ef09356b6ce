"""Erased: people who were forgotten, of whom only keyed hashes of ids and e-mail addresses are known (SEMANTICS 20).

A transaction that takes in what may name people asks here first. From then until it ends nobody is erased: erasing
waits for such transactions, and works alone. So nothing that names an erased person is written after they were erased.
"""

import base64
import hashlib
import hmac
import json
import secrets as randomness
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, select, text
from sqlalchemy.dialects import postgresql

from issuance.database.statements import Statement
from issuance.database.tables import secrets
from issuance.errors import Invalid
from issuance.members.names import Names, addresses, folded, strings
from issuance.tenancy import idempotency
from issuance.tenancy.sealing import seal, unseal

_KEY_BYTES = 32
_KEY_NAME = "forgetting "
#: Marks the hash of a text that is kept without names.
_OF_TEXT = b"keyed "
#: The most characters of an id or an address.
_LONGEST = 320

_KEY = "hashtextextended('forgetting ' || CAST(:brand_id AS text), 0)"
_LOCK = Statement(f"SELECT pg_advisory_xact_lock_shared({_KEY})")
_LOCK_ALONE = text(f"SELECT pg_advisory_xact_lock({_KEY})")
#: Whether nobody of a brand is being erased at this moment, as a part of a statement with a parameter `brand_id`. If
#: so, nobody is erased until the transaction ends. It never waits.
NOBODY_IS_BEING = text(f"pg_try_advisory_xact_lock_shared({_KEY})")
_ANY = Statement("SELECT EXISTS (SELECT FROM erased_names WHERE brand_id = :brand_id)")
_FOUND = text("""
    SELECT n.name_hash, m.external_user_id
      FROM erased_names n JOIN members m USING (brand_id, member_id)
     WHERE n.brand_id = :brand_id AND n.name_hash = ANY(:hashes)
""")
_NOTE = text("""
    INSERT INTO erased_names (brand_id, name_hash, member_id)
    SELECT :brand_id, unnest(CAST(:hashes AS bytea[])), :member_id
    ON CONFLICT (brand_id, name_hash) DO UPDATE SET member_id = excluded.member_id
""")
_LIFT = text("""
    DELETE FROM erased_names
     WHERE brand_id = :brand_id AND member_id IN (
           SELECT member_id FROM erased_names WHERE brand_id = :brand_id AND name_hash = ANY(:hashes)
            UNION ALL SELECT member_id FROM members WHERE brand_id = :brand_id AND erased_at IS NOT NULL
                                                     AND external_user_id = :named)
    RETURNING member_id
""")
_LISTED = text("""
    SELECT m.brand_id, m.member_id, m.external_user_id, m.erased_at,
           array_agg(encode(n.name_hash, 'hex') ORDER BY n.name_hash) AS name_hashes
      FROM members m JOIN erased_names n USING (brand_id, member_id)
     WHERE m.erased_at IS NOT NULL
     GROUP BY m.brand_id, m.member_id ORDER BY m.brand_id, m.erased_at, m.member_id
""")


class Erased(NamedTuple):
    """A brand's erased people, to ask whether something names them."""

    connection: Connection
    brand_id: UUID
    keys: Sequence[bytes]

    def among(self, documents: Iterable[object]) -> Names:
        """Their names in JSON values: ids that are a whole text, and e-mail addresses anywhere in a text."""
        ids: set[str] = set()
        emails: set[str] = set()
        for said in {one for document in documents for one in strings(document)}:
            if 0 < len(said) <= _LONGEST:
                ids.add(said)
            emails.update(folded(one) for one in addresses(said))
        return self.called(ids, emails)

    def called(self, ids: Iterable[str], emails: Iterable[str]) -> Names:
        """The erased people's, of some ids and folded e-mail addresses."""
        by_hash = {hashed: ("id", one) for one in ids for hashed in self._hashes("id", one)}
        by_hash |= {hashed: ("email", one) for one in emails for hashed in self._hashes("email", one)}
        found: dict[str, dict[str, str]] = {"id": {}, "email": {}}
        if by_hash:
            parameters = {"brand_id": self.brand_id, "hashes": list(by_hash)}
            for row in self.connection.execute(_FOUND, parameters):
                kind, one = by_hash[bytes(row.name_hash)]
                found[kind][one] = row.external_user_id
        return Names(ids=found["id"], emails=found["email"])

    def text_hashes(self, body_hash: bytes) -> list[bytes]:
        """The hashes by which a refused text is known that is kept without their names; the first is to be kept.
        `body_hash`: the hash by which it was known before, which says too much about their names."""
        if len(body_hash) > hashlib.sha256().digest_size:  # another person's names were taken out of it before
            return [body_hash]
        return [_OF_TEXT + hashed for hashed in self._hashes("text", body_hash.hex())]

    def _hashes(self, kind: str, said: str) -> list[bytes]:
        return [hash_of(key, self.brand_id, kind, said) for key in self.keys]


def of(connection: Connection, brand_id: UUID) -> Erased | None:
    """The erased people; None if there are none. Keeps others from being erased until the transaction ends: call it
    before you lock anything. Waits for erasing that is under way."""
    _LOCK.written(connection, {"brand_id": brand_id})
    # In a statement of its own, so that it sees what it has waited for.
    if _ANY.column(connection, {"brand_id": brand_id}) == [False]:
        return None
    return Erased(connection, brand_id, _keys(connection))


def is_erased(connection: Connection, brand_id: UUID, external_user_id: str) -> bool:
    """Whether an id is an erased person's. Nobody is erased until the transaction ends, as after `of`."""
    erased = of(connection, brand_id)
    return erased is not None and bool(erased.called([external_user_id], []))


def alone(connection: Connection, brand_id: UUID) -> None:
    """Wait for transactions that take in what may name people, and keep others out until this transaction ends."""
    connection.execute(_LOCK_ALONE, {"brand_id": brand_id})


def note(connection: Connection, brand_id: UUID, member_id: UUID, ids: Iterable[str], emails: Iterable[str]) -> None:
    """Remember what a member was called, as hashes."""
    key = _keys(connection)[0] if _keys(connection) else _add(connection, randomness.token_bytes(_KEY_BYTES))
    hashes = {hash_of(key, brand_id, "id", one) for one in ids} | {
        hash_of(key, brand_id, "email", folded(one)) for one in emails
    }
    note_hashes(connection, brand_id, member_id, hashes)


def note_hashes(connection: Connection, brand_id: UUID, member_id: UUID, hashes: Iterable[bytes]) -> None:
    """Remember hashes that another database made; this one has `learnt` their keys."""
    connection.execute(_NOTE, {"brand_id": brand_id, "member_id": member_id, "hashes": sorted(hashes)})


def lift(connection: Connection, brand_id: UUID, called: str) -> UUID | None:
    """Let an erased person be named again by an id or an e-mail address of theirs, or by all of them for the random id.
    Returns the member whose place the random id has; None if nobody was called so."""
    hashes = [
        hashed
        for key in _keys(connection)
        for hashed in (hash_of(key, brand_id, "id", called), hash_of(key, brand_id, "email", folded(called)))
    ]
    gone = connection.scalars(_LIFT, {"brand_id": brand_id, "hashes": hashes, "named": called}).all()
    return None if not gone else UUID(str(gone[0]))


def document(connection: Connection) -> dict[str, Any]:
    """All erasures that this transaction sees, with the keys of their hashes, sealed where a sealing key is given."""
    rows = [dict(row) for row in connection.execute(_LISTED).mappings()]
    keys = [base64.b64encode(seal(connection, key)).decode() for key in _keys(connection)]
    return {"keys": keys if rows else [], "erased": rows}


def learn(connection: Connection, keys: Iterable[str]) -> list[bytes]:
    """Take over the keys of a document. Raises Invalid, SettingsError."""
    try:
        opened = [unseal(base64.b64decode(one, validate=True)) for one in keys]
    except ValueError:
        raise Invalid("These are not the keys of erased names.") from None
    if any(len(key) != _KEY_BYTES for key in opened):
        raise Invalid("These are not the keys of erased names.")
    for key in opened:
        _add(connection, key)
    return opened


def hash_of(key: bytes, brand_id: UUID, kind: str, said: str) -> bytes:
    """The hash, under a key, of an id (`id`), a folded e-mail address (`email`), an event (`event`), a refused text
    (`text`) or an idempotency key (`key`)."""
    return hmac.digest(key, brand_id.bytes + f"{kind}\0{said}".encode(errors="surrogatepass"), hashlib.sha256)


def hashing_of_keys(connection: Connection) -> Callable[[idempotency.Key], list[str]]:
    """What takes the place of an idempotency key that named them; the first is to be used."""
    keys = _keys(connection)
    return lambda key: [hash_of(one, key.brand_id, "key", f"{key.caller}\0{key.key}").hex() for one in keys]


def said_hashes(connection: Connection, brand_id: UUID, said: tuple[object, ...]) -> list[bytes]:
    """The hashes of what an event says (`cloud_events.meaning`); the first is to be kept."""
    whole = json.dumps(said, sort_keys=True, default=_plain)
    return [hash_of(key, brand_id, "event", whole) for key in _keys(connection)]


def _plain(value: object) -> str:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat()
        case Decimal():
            return format(value.normalize(), "f")
    return str(value)


def _keys(connection: Connection) -> list[bytes]:
    """The keys, the one for new hashes first. After a restore there may be several."""
    found = select(secrets.c.value).where(secrets.c.name.startswith(_KEY_NAME, autoescape=True))
    return [unseal(bytes(value)) for value in connection.scalars(found.order_by(secrets.c.created_at, secrets.c.name))]


def _add(connection: Connection, key: bytes) -> bytes:
    made = {"name": _KEY_NAME + hashlib.sha256(key).hexdigest()[:16], "value": seal(connection, key)}
    connection.execute(postgresql.insert(secrets).values(made).on_conflict_do_nothing(constraint="secrets_pkey"))
    return key
