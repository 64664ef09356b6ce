"""The words by which people are found, written some moments after the people themselves.

They are written piece by piece, whatever a brand's names weigh, so that brands can take turns.
"""

from collections.abc import Sequence
from itertools import takewhile
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, text

from issuance import limits

#: How many orders or members one statement looks at.
SUBJECTS = 100
#: How many orders or members, and how many entries, are taken together.
TAKEN, ENTRIES = 2_000, 200

# It looks once at each brand, however many of its entries wait.
_BRANDS = text("""
    WITH RECURSIVE waiting AS (
         (SELECT brand_id FROM search_backlog ORDER BY brand_id LIMIT 1)
          UNION ALL
         SELECT (SELECT b.brand_id FROM search_backlog b WHERE b.brand_id > w.brand_id ORDER BY b.brand_id LIMIT 1)
           FROM waiting w WHERE w.brand_id IS NOT NULL)
    SELECT brand_id FROM waiting WHERE brand_id IS NOT NULL ORDER BY random()
""")
_ENTRIES = """
    SELECT entry_id, subject_ids, of_members, after_id
      FROM search_backlog
     WHERE brand_id = :brand_id AND entry_id IN (
               SELECT entry_id
                 FROM (SELECT entry_id, row_number() OVER backlog AS place,
                              sum(cardinality(subject_ids)) OVER backlog AS subjects
                         FROM (SELECT entry_id, subject_ids FROM search_backlog WHERE brand_id = :brand_id
                                ORDER BY entry_id {order} LIMIT :entries) entries
                       WINDOW backlog AS (ORDER BY entry_id {order})) counted
                WHERE place = 1 OR subjects <= :taken)
     ORDER BY entry_id {order}
       FOR UPDATE {locked}
"""
_OLDEST = text(_ENTRIES.format(order="", locked="SKIP LOCKED"))
_LATEST = text(_ENTRIES.format(order="DESC", locked=""))
_ANY = text("SELECT EXISTS (SELECT FROM search_backlog WHERE brand_id = :brand_id)")
_DONE = text("DELETE FROM search_backlog WHERE brand_id = :brand_id AND entry_id = ANY(:entry_ids)")
_LEFT = text("""
    UPDATE search_backlog SET subject_ids = :ids, after_id = :after WHERE brand_id = :brand_id AND entry_id = :entry_id
""")

# Guests of the first order after a given guest, and all guests of the others, as far as there is room. One guest always
# has room.
_OF_GUESTS = text("""
      WITH next AS MATERIALIZED (
           SELECT membership_id, guest_id, name, email FROM guests
            WHERE brand_id = :brand_id AND membership_id = ANY(:ids)
              AND (CAST(:after AS uuid) IS NULL OR (membership_id, guest_id) > (:first, CAST(:after AS uuid)))
            ORDER BY membership_id, guest_id LIMIT :people),
           counted AS MATERIALIZED (
           SELECT *, row_number() OVER guests AS place, sum(octet_length(concat(name, email))) OVER guests AS size
             FROM next WINDOW guests AS (ORDER BY membership_id, guest_id)),
           written AS (
           INSERT INTO search_words (brand_id, word, subject_id, of_member)
           SELECT DISTINCT CAST(:brand_id AS uuid), word, membership_id, false
             FROM counted, words_of(name, email) AS word
            WHERE place = 1 OR size <= :room
            ORDER BY word, membership_id
               ON CONFLICT (brand_id, word, subject_id) DO NOTHING)
    SELECT membership_id, guest_id, size, place = :people OR place < (SELECT max(place) FROM counted) AS more
      FROM counted WHERE place = 1 OR size <= :room ORDER BY place DESC LIMIT 1
""")
_OF_MEMBERS = text("""
      WITH named AS MATERIALIZED (
           SELECT member_id, display_name, email FROM members WHERE brand_id = :brand_id AND member_id = ANY(:ids)),
           written AS (
           INSERT INTO search_words (brand_id, word, subject_id, of_member)
           SELECT DISTINCT CAST(:brand_id AS uuid), word, member_id, true
             FROM named, words_of(display_name, email) AS word
            ORDER BY word, member_id
               ON CONFLICT (brand_id, word, subject_id) DO NOTHING)
    SELECT coalesce(sum(octet_length(concat(display_name, email))), 0) FROM named
""")


#: The orders or members that are left, the guest of the first order after whom to go on, and how much room (bytes).
_Rest = tuple[list[UUID], UUID | None, int]


def waiting(connection: Connection) -> list[UUID]:
    """The brands whose people wait for their words, in any order."""
    return list(connection.scalars(_BRANDS))


def write_oldest(connection: Connection, brand_id: UUID) -> bool:
    """Write the words of some people of a brand who have waited longest, and return whether there were any. Entries
    that somebody else works on are passed over."""
    return _write(connection, brand_id, connection.execute(_OLDEST, _taken(brand_id)).all())


def write_latest(connection: Connection, brand_id: UUID) -> None:
    """Write the words of a brand's latest people, so that a search right after a sign-up finds it."""
    _write(connection, brand_id, connection.execute(_LATEST, _taken(brand_id)).all())


def write_all(connection: Connection, brand_id: UUID) -> None:
    """Write the words of all people of a brand who wait. Waits for others who are writing some."""
    while connection.scalar(_ANY, {"brand_id": brand_id}):
        write_latest(connection, brand_id)


def _taken(brand_id: UUID) -> dict[str, Any]:
    return {"brand_id": brand_id, "entries": ENTRIES, "taken": TAKEN}


def _write(connection: Connection, brand_id: UUID, entries: Sequence[Row[Any]]) -> bool:
    """Write words of the first of some entries and of those that can be taken with it."""
    if not entries:
        return False
    first, *others = entries
    taken, room = [first], limits.current.members.words_bytes
    write = _members if first.of_members else _guests
    # Those of the first before those of the others, whose place among them all may be anywhere.
    left, after, room = write(connection, brand_id, sorted(first.subject_ids), first.after_id, room)
    if not left and first.after_id is None:
        taken += takewhile(lambda one: one.of_members == first.of_members and one.after_id is None, others)
        more = {subject_id for one in taken for subject_id in one.subject_ids}.difference(first.subject_ids)
        left, after, _ = write(connection, brand_id, sorted(more), None, room)
    done = [one.entry_id for one in taken]
    if left:
        done.remove(first.entry_id)
        which = {"brand_id": brand_id, "entry_id": first.entry_id, "ids": left, "after": after}
        connection.execute(_LEFT, which)
    connection.execute(_DONE, {"brand_id": brand_id, "entry_ids": done})
    return True


def _guests(connection: Connection, brand_id: UUID, ids: list[UUID], after: UUID | None, room: int) -> _Rest:
    """Write the words of the guests of orders, as far as there is room."""
    while ids and room > 0:
        some = ids[:SUBJECTS]
        which = {
            "brand_id": brand_id,
            "ids": some,
            "first": some[0],
            "after": after,
            "room": room,
            "people": limits.current.members.words_guests,
        }
        last = connection.execute(_OF_GUESTS, which).one_or_none()
        if last is None or not last.more:
            ids, after = ids[len(some) :], None
        else:
            ids, after = ids[ids.index(last.membership_id) :], last.guest_id
        room -= 0 if last is None else last.size
    return ids, after, room


def _members(connection: Connection, brand_id: UUID, ids: list[UUID], _: UUID | None, room: int) -> _Rest:
    """Write the words of members, as far as there is room."""
    while ids and room > 0:
        some, ids = ids[:SUBJECTS], ids[SUBJECTS:]
        room -= connection.scalar(_OF_MEMBERS, {"brand_id": brand_id, "ids": some}) or 0
    return ids, None, room
