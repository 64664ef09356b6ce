"""Members: the people as the brand knows them, by `externalUserID` (SEMANTICS 12)."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Connection, select, update
from uuid_utils.compat import uuid7

from issuance import audit, limits
from issuance.audit import Action
from issuance.database import paging
from issuance.database.fragments import BRANDS_NOW
from issuance.database.statements import Statement
from issuance.database.tables import guests, members, memberships
from issuance.engine import schedules
from issuance.engine.rows import as_json, recordset
from issuance.errors import Invalid, MemberArchived, MemberErased, MemberNotArchived, MemberNotFound
from issuance.fields import Identifier, alike, complaint
from issuance.members import erased
from issuance.members.profiles import MemberProfile
from issuance.tenancy import clock

# A member's first day is a day of the brand's clock, like all days. People for whom this changes nothing are left out,
# because a row that conflicts is locked even if it does not change. A row that conflicts all the same was written after
# the statement began.
_ENSURE = Statement(f"""
    INSERT INTO members AS known (brand_id, member_id, external_user_id, joined_at, updated_at)
    SELECT :brand_id, new.member_id, new.external_user_id, CASE WHEN new.joins THEN present.now END, present.now
      FROM {recordset(member_id="uuid", external_user_id="text", joins="boolean")},
           (SELECT {BRANDS_NOW} AS now FROM brands WHERE brand_id = :brand_id) AS present
     WHERE (SELECT new.joins AND m.joined_at IS NULL FROM members m
             WHERE m.brand_id = :brand_id AND m.external_user_id = new.external_user_id) IS NOT FALSE
    ON CONFLICT ON CONSTRAINT members_external_user_id_unique DO UPDATE
       SET joined_at = excluded.joined_at, updated_at = excluded.updated_at
     WHERE known.joined_at IS NULL AND excluded.joined_at IS NOT NULL
    RETURNING external_user_id, member_id
""")
# A join, because = ANY() compares each member with each name if the planner takes the table for small.
_KNOWN = Statement("""
    SELECT m.external_user_id, m.member_id, m.display_name
      FROM json_array_elements_text(CAST(:names AS json)) AS named (name)
      JOIN members m ON m.brand_id = :brand_id AND m.external_user_id = named.name
     WHERE m.joined_at IS NOT NULL
""")
# In one order, so that nobody waits for each other in a circle.
_HOLD_SOME = Statement("""
    SELECT m.external_user_id, m.member_id
      FROM json_array_elements_text(CAST(:names AS json)) AS named (name)
      JOIN members m ON m.brand_id = :brand_id AND m.external_user_id = named.name
     ORDER BY m.external_user_id
       FOR KEY SHARE OF m
""")
_ID: TypeAdapter[str] = TypeAdapter(Identifier)


class Known(NamedTuple):
    """What an order needs to know of a member."""

    member_id: UUID
    display_name: str | None


class Archived(NamedTuple):
    """A member who is archived: whether this is new, whether anything about them changed, and whether they keep their
    points (None: an earlier version did not note it)."""

    member_id: UUID
    is_news: bool
    is_changed: bool
    balance_retained: bool | None


class _Locked(NamedTuple):
    member_id: UUID
    archived_at: datetime | None
    erased_at: datetime | None
    balance_retained: bool | None


def ensure(
    connection: Connection, brand_id: UUID, joining: Iterable[str], named: Iterable[str] = ()
) -> dict[str, UUID]:
    """Make members of those `joining` who are not members yet, and a record for each of those `named` who have none.

    A person who is only named is not a member until they join. An archived member stays archived. Returns the
    `member_id` of those for whom this changed something.

    """
    joins = {**dict.fromkeys(named, False), **dict.fromkeys(joining, True)}
    if not joins:
        return {}
    # In one order, so that nobody waits for each other in a circle.
    rows = [{"member_id": uuid7(), "external_user_id": name, "joins": joins[name]} for name in sorted(joins)]
    changed = _ENSURE.found(connection, {"brand_id": brand_id, "rows": as_json(rows)})
    return {row.external_user_id: row.member_id for row in changed}


def ensure_held(
    connection: Connection, brand_id: UUID, joining: Collection[str], named: Collection[str]
) -> dict[str, UUID]:
    """`ensure`, and keep all of them from being archived until the transaction ends. Returns the `member_id` of each.

    Waits for archiving that is under way.

    """
    people = {*joining, *named}
    changed = ensure(connection, brand_id, joining, named)
    if len(changed) == len(people):
        return changed  # new, as most are: nobody archives what is not committed yet
    held = _HOLD_SOME.found(connection, {"brand_id": brand_id, "names": as_json(list(people))})
    return {row.external_user_id: row.member_id for row in held}


def upsert(
    connection: Connection, brand_id: UUID, external_user_id: str, profile: MemberProfile, *, revive: bool = True
) -> tuple[dict[str, Any], list[UUID]]:
    """Create or change a member. Returns the member, and the memberships to settle.

    An archived member comes back. With `revive` false this raises MemberArchived, and the audit gets no entry: so it is
    when a member token is minted. Memberships that signed up while the member was archived, and others' orders with
    them, count from now on; memberships that the archiving ended stay ended until the biller says otherwise. Raises
    Invalid, and MemberErased for somebody who was forgotten.


    """
    try:
        _ID.validate_python(external_user_id)
    except ValidationError as error:
        wrong = complaint(error.errors()[0])
        raise Invalid(f"externalUserID: {wrong}", fields={"externalUserID": wrong}) from None
    if erased.is_erased(connection, brand_id, external_user_id):
        raise MemberErased
    is_new = bool(ensure(connection, brand_id, [external_user_id]))
    locked = _lock(connection, brand_id, external_user_id)
    now = clock.read(connection, brand_id).now  # read after the archiving that this has waited for
    if locked.erased_at is not None:
        raise MemberErased
    was_archived = locked.archived_at is not None
    if was_archived and not revive:
        raise MemberArchived
    named = profile.model_dump(exclude_unset=True, exclude={"external_user_id"})
    if "tier" in named:
        named["tier"] = named["tier"] or ""
    before = get(connection, brand_id, external_user_id)
    differs = {name: value for name, value in named.items() if not alike(value, before[name])}
    if differs or was_archived:
        changed = {**differs, "updated_at": now}
        if was_archived:
            changed |= {"archived_at": None, "returned_at": now}
        connection.execute(update(members).where(*_one(brand_id, external_user_id)).values(changed))
    if revive and (differs or is_new or was_archived):
        done: Action = "member.created" if is_new else "member.returned" if was_archived else "member.updated"
        # Names, not values: an entry is for ever, and a person may be forgotten (SEMANTICS 20).
        audit.write(connection, brand_id, done, locked.member_id, after={"fields": sorted(differs)})
    woken = orders_with(connection, brand_id, locked.member_id) if was_archived else []
    schedules.wake(connection, brand_id, woken, now)
    return get(connection, brand_id, external_user_id), woken


def get(connection: Connection, brand_id: UUID, external_user_id: str) -> dict[str, Any]:
    """One member, archived or not. Raises MemberNotFound."""
    columns = members.c
    row = connection.execute(
        select(
            columns.external_user_id,
            columns.display_name,
            columns.tier,
            columns.email,
            columns.attributes,
            columns.joined_at.label("created_at"),
            columns.archived_at,
            columns.revision,
        ).where(*_one(brand_id, external_user_id))
    ).one_or_none()
    if row is None:
        raise MemberNotFound
    return dict(row._mapping)


def page(connection: Connection, brand_id: UUID, page: int, per_page: int) -> paging.Rows:
    """A page of the brand's members, the latest first, archived ones too. They are counted up to a bound."""
    shown = (members.c[name] for name in ("external_user_id", "display_name", "tier", "email", "archived_at"))
    found = select(*shown, members.c.joined_at.label("created_at")).where(
        members.c.brand_id == brand_id, members.c.joined_at.is_not(None)
    )
    latest = found.order_by(members.c.member_id.desc())
    return paging.rows_of(connection, latest, page, per_page, most=limits.current.database.counted)


def id_of(connection: Connection, brand_id: UUID, external_user_id: str) -> UUID:
    """A member's `member_id`, archived or not. Raises MemberNotFound."""
    member_id: UUID | None = connection.scalar(select(members.c.member_id).where(*_one(brand_id, external_user_id)))
    if member_id is None:
        raise MemberNotFound
    return member_id


def lock(connection: Connection, brand_id: UUID, external_user_id: str) -> UUID:
    """Keep a member from being archived until the transaction ends. Returns their `member_id`.

    Raises MemberNotFound, MemberArchived.

    """
    locked = _lock(connection, brand_id, external_user_id, shared=True)
    if locked.archived_at is not None:
        raise MemberArchived
    return locked.member_id


def archive(connection: Connection, brand_id: UUID, external_user_id: str, *, retain_balance: bool = False) -> Archived:
    """Mark a member as archived, now on the brand's clock. If they are archived already, only one thing can change:
    that they retain no balance after all.

    `archiving` does the rest. Nobody signs the member up, names, credits or spends until the transaction ends.
    Raises MemberNotFound.

    """
    locked = _lock(connection, brand_id, external_user_id)
    is_news = locked.archived_at is None
    archived: dict[str, Any] = {"balance_retained": retain_balance}
    if is_news:
        now = clock.read(connection, brand_id).now
        archived |= {"archived_at": now, "updated_at": now, "archivings": members.c.archivings + 1}
    is_changed = is_news or (not retain_balance and locked.balance_retained is not False)
    if is_changed:
        connection.execute(update(members).where(*_one(brand_id, external_user_id)).values(archived))
    stands = retain_balance if is_changed else locked.balance_retained
    return Archived(locked.member_id, is_news, is_changed, stands)


class Forgotten(NamedTuple):
    """A member who was forgotten: the random id by which they can be read, and since when."""

    member_id: UUID
    external_user_id: str
    erased_at: datetime


def hold_to_erase(connection: Connection, brand_id: UUID, external_user_id: str) -> UUID | Forgotten:
    """Let nobody else do anything to an archived member until the transaction ends. Returns their `member_id`, or what
    became of them if they are erased already. Raises MemberNotFound, MemberNotArchived."""
    locked = _lock(connection, brand_id, external_user_id)
    if locked.erased_at is not None:
        return Forgotten(locked.member_id, external_user_id, locked.erased_at)
    if locked.archived_at is None:
        raise MemberNotArchived
    return locked.member_id


def erase(connection: Connection, brand_id: UUID, forgotten: Forgotten) -> None:
    """Leave nothing of an archived member except the random id."""
    gone = {"display_name": None, "email": None, "attributes": None}
    now_known_by = {"external_user_id": forgotten.external_user_id, "erased_at": forgotten.erased_at}
    one = (members.c.brand_id == brand_id, members.c.member_id == forgotten.member_id)
    connection.execute(update(members).where(*one).values({**gone, **now_known_by, "updated_at": forgotten.erased_at}))


def orders_with(connection: Connection, brand_id: UUID, member_id: UUID) -> list[UUID]:
    """The ids of a member's memberships and of those in which they are a guest, in order."""
    own, elsewhere = (
        select(table.c.membership_id).where(table.c.brand_id == brand_id, table.c.member_id == member_id)
        for table in (memberships, guests)
    )
    return sorted(connection.scalars(own.union(elsewhere)))


def known(connection: Connection, brand_id: UUID, external_user_ids: Sequence[str]) -> dict[str, Known]:
    """The members among `external_user_ids`."""
    if not external_user_ids:
        return {}
    found = _KNOWN.found(connection, {"brand_id": brand_id, "names": as_json(external_user_ids)})
    return {row.external_user_id: Known(row.member_id, row.display_name) for row in found}


def _lock(connection: Connection, brand_id: UUID, external_user_id: str, *, shared: bool = False) -> _Locked:
    # Shared locks go beside each other and beside changes of the profile, not beside archiving.
    columns = (members.c[name] for name in _Locked._fields)
    found = select(*columns).where(*_one(brand_id, external_user_id))
    row = connection.execute(found.with_for_update(read=shared, key_share=shared)).one_or_none()
    if row is None:
        raise MemberNotFound
    return _Locked(*row)


def _one(brand_id: UUID, external_user_id: str) -> tuple[Any, Any, Any]:
    """The row of a member. Raises MemberNotFound for what can be no id."""
    if "\x00" in external_user_id:
        raise MemberNotFound  # PostgreSQL would not even look
    columns = members.c
    # A person who was only named as a guest is no member.
    return columns.brand_id == brand_id, columns.external_user_id == external_user_id, columns.joined_at.is_not(None)
