"""Restoring: after a backup was brought back, people who were erased since are erased again (SEMANTICS 20).

A document of erasures, which is kept beside backups, has only keyed hashes, so everybody who is there is hashed and
compared.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import Connection, text

from issuance.errors import Invalid
from issuance.fields import complaint
from issuance.members import erased
from issuance.members.names import Names, folded
from issuance.memberships import archiving, forgetting, scrubbing

#: How many people one statement reads.
_BATCH = 5000

_MEMBERS = text("""
    SELECT member_id AS id, external_user_id, email FROM members
     WHERE brand_id = :brand_id AND member_id > :after AND erased_at IS NULL ORDER BY member_id LIMIT :most
""")
_ADDRESSES = text("""
    SELECT DISTINCT email FROM guests WHERE brand_id = :brand_id AND email IS NOT NULL
""")
_BRAND = text("SELECT EXISTS (SELECT FROM brands WHERE brand_id = :brand_id)")
# A person who was only named as a guest is erased like a member.
_JOIN = text("""
    UPDATE members SET joined_at = :at WHERE brand_id = :brand_id AND member_id = :member_id AND joined_at IS NULL
""")
# People who came after the backup: nothing of them is there, and events that name them find an archived member.
_STAND_IN = text("""
    INSERT INTO members (brand_id, member_id, external_user_id, joined_at, archived_at, archivings, updated_at)
    VALUES (:brand_id, :member_id, :external_user_id, :at, :at, 0, :at)
    ON CONFLICT ON CONSTRAINT members_external_user_id_unique DO NOTHING
""")

# A forgotten guest has the random id as name.
_FORGOTTEN_GUESTS = text("""
    SELECT g.guest_id, m.external_user_id
      FROM members m JOIN guests g ON g.brand_id = m.brand_id AND g.name = m.external_user_id
     WHERE m.brand_id = :brand_id AND m.erased_at IS NOT NULL
""")


class _Erasure(BaseModel):
    """One person who was erased, as the document has them."""

    model_config = ConfigDict(extra="ignore")

    brand_id: UUID
    member_id: UUID
    external_user_id: str
    erased_at: datetime
    name_hashes: list[str] = Field(min_length=1)

    def hashes(self) -> set[bytes]:
        return {bytes.fromhex(one) for one in self.name_hashes}


class _Document(BaseModel):
    """All erasures, and the keys of their hashes."""

    model_config = ConfigDict(extra="ignore")

    keys: list[str]
    erased: list[_Erasure]


class Found(NamedTuple):
    """Somebody who is in the database and was erased."""

    member_id: UUID
    external_user_id: str


def read(document: object) -> _Document:
    """A document of erasures, as `erased.document` makes it. Raises Invalid."""
    try:
        return _Document.model_validate(document)
    except ValidationError as error:
        wrong = error.errors()[0]
        place = ".".join(map(str, wrong["loc"]))
        raise Invalid(f"This is no document of erasures: {place}: {complaint(wrong)}") from None


def apply(connection: Connection, document: _Document, brand_id: UUID) -> tuple[int, list[UUID]]:
    """Erase again the people of a document, in one brand. Returns how many they are, and the memberships to settle.

    People who are not archived any more are archived first. Call it in a transaction on that brand. Raises Invalid.


    """
    theirs = [one for one in document.erased if one.brand_id == brand_id]
    if not theirs or not connection.scalar(_BRAND, {"brand_id": brand_id}):
        return 0, []
    forgetting.hold(connection, brand_id)
    keys = erased.learn(connection, document.keys)
    hashed = {one: erasure for erasure in theirs for one in erasure.hashes()}
    addresses = _addresses(connection, brand_id, keys, hashed)
    woken: list[UUID] = []
    there = dict(_there(connection, brand_id, keys, hashed))
    for erasure in theirs:
        place = erasure.external_user_id
        who = {"brand_id": brand_id, "at": erasure.erased_at}
        found = there.get(erasure.member_id)
        if found is None:
            stand_in = {**who, "member_id": erasure.member_id, "external_user_id": place}
            found = Found(erasure.member_id, place)
            connection.execute(_STAND_IN, stand_in)
        else:
            connection.execute(_JOIN, {**who, "member_id": found.member_id})
            removed = archiving.archive(connection, brand_id, found.external_user_id, retain_balance=False)
            woken += removed.membership_ids
        emails = addresses.get(erasure.member_id, [])
        again = forgetting.erase(connection, brand_id, found.external_user_id, place=place, addresses=emails)
        woken += again.membership_ids
        erased.note_hashes(connection, brand_id, found.member_id, erasure.hashes())
    _scrub_again(connection, brand_id)
    return len(theirs), sorted(set(woken), key=lambda one: one.int)


def _scrub_again(connection: Connection, brand_id: UUID) -> None:
    """Take out names of forgotten guests that an older erasure has left."""
    guests = connection.execute(_FORGOTTEN_GUESTS, {"brand_id": brand_id})
    places = {str(guest_id): place for guest_id, place in guests}
    if places:
        scrubbing.scrub(connection, brand_id, Names(guest_ids=places), [])


def _there(
    connection: Connection, brand_id: UUID, keys: Sequence[bytes], hashed: Mapping[bytes, _Erasure]
) -> Iterator[tuple[UUID, Found]]:
    """Those who are in the database, by the member that they were when they were erased."""
    after = UUID(int=0)
    while True:
        parameters = {"brand_id": brand_id, "after": after, "most": _BATCH}
        rows = connection.execute(_MEMBERS, parameters).all()
        for row in rows:
            for key in keys:
                erasure = hashed.get(erased.hash_of(key, brand_id, "id", row.external_user_id))
                if erasure is not None:
                    yield erasure.member_id, Found(row.id, row.external_user_id)
        if len(rows) < _BATCH:
            return
        after = rows[-1].id


def _addresses(
    connection: Connection, brand_id: UUID, keys: Sequence[bytes], hashed: Mapping[bytes, _Erasure]
) -> dict[UUID, list[str]]:
    """The e-mail addresses of guests that belong to people who were erased."""
    found: dict[UUID, list[str]] = {}
    for email in connection.scalars(_ADDRESSES, {"brand_id": brand_id}):
        for key in keys:
            erasure = hashed.get(erased.hash_of(key, brand_id, "email", folded(email)))
            if erasure is not None:
                found.setdefault(erasure.member_id, []).append(email)
    return found
