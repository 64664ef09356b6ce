"""The words by which people are found, written some moments after the people themselves."""

from uuid import UUID

from sqlalchemy import Connection, Select, delete, select, text

from issuance.database.tables import search_backlog as backlog

#: How many entries are worked off at a time; each has some hundred people.
MOST = 4

_OF_GUESTS = text("""
    INSERT INTO search_words (brand_id, word, subject_id, of_member)
    SELECT DISTINCT g.brand_id, word, g.membership_id, false
      FROM guests g, words_of(g.name, g.email) AS word
     WHERE g.brand_id = :brand_id AND g.membership_id = ANY(:ids)
     ORDER BY word, membership_id
        ON CONFLICT (brand_id, word, subject_id) DO NOTHING
""")
_OF_MEMBERS = text("""
    INSERT INTO search_words (brand_id, word, subject_id, of_member)
    SELECT m.brand_id, word, m.member_id, true
      FROM members m, words_of(m.display_name, m.email) AS word
     WHERE m.brand_id = :brand_id AND m.member_id = ANY(:ids)
     ORDER BY word, member_id
        ON CONFLICT (brand_id, word, subject_id) DO NOTHING
""")


def write_oldest(connection: Connection) -> None:
    """Write the words of the people of any brand who have waited longest. Entries that somebody else works on are
    passed over."""
    oldest = select(backlog.c.brand_id, backlog.c.entry_id).order_by(backlog.c.entry_id).limit(MOST)
    _write(connection, oldest.with_for_update(skip_locked=True))


def write_latest(connection: Connection, brand_id: UUID) -> None:
    """Write the words of a brand's latest people, so that a search right after a sign-up finds it."""
    latest = select(backlog.c.brand_id, backlog.c.entry_id).where(backlog.c.brand_id == brand_id)
    _write(connection, latest.order_by(backlog.c.entry_id.desc()).limit(MOST).with_for_update())


def write_all(connection: Connection, brand_id: UUID) -> None:
    """Write the words of all people of a brand who wait. Waits for others who are writing some."""
    while connection.scalar(select(backlog.c.entry_id).where(backlog.c.brand_id == brand_id).limit(1)) is not None:
        write_latest(connection, brand_id)


def _write(connection: Connection, which: Select[tuple[UUID, int]]) -> None:
    chosen = which.cte("chosen").prefix_with("MATERIALIZED")
    taken = (
        delete(backlog)
        .where(backlog.c.brand_id == chosen.c.brand_id, backlog.c.entry_id == chosen.c.entry_id)
        .returning(backlog.c.brand_id, backlog.c.subject_ids, backlog.c.of_members)
    )
    for entry in connection.execute(taken).all():
        statement = _OF_MEMBERS if entry.of_members else _OF_GUESTS
        connection.execute(statement, {"brand_id": entry.brand_id, "ids": entry.subject_ids})
