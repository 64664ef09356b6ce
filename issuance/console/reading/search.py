"""Searching by what was typed: the beginnings of words of names, an e-mail address, an id, a credit's code."""

import re
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from issuance import limits
from issuance.credits.codes import as_kept
from issuance.members import words as words_of_people

#: How many results are shown; who sees that many types one letter more.
MOST = 50
#: How many people with one of several words are looked at: words that half a club has in common are no search.
LOOKED_AT = 50_000
#: Words of a search beyond these are passed over.
MOST_WORDS = 5
#: Letters that no code of ours has, and the letters for which people take them.
_MISREAD = str.maketrans("OIL", "011")
_CODE = re.compile(r"[0-9A-Z]{8,64}")

# The words in what was typed; an address is one word.
_WORDS = text("""
    SELECT word FROM words_of(:typed) AS word WHERE :typed NOT LIKE '%@%'
     UNION SELECT lower(part) FROM regexp_split_to_table(trim(:typed), '\\s+') AS part WHERE :typed LIKE '%@%'
""")
# People who have, for each of the beginnings, a word that begins so. A beginning is a range of the key.
_SUBJECTS = """
    SELECT * FROM (SELECT subject_id, of_member FROM search_words
                    WHERE brand_id = :brand_id AND word >= :word_{n} AND word < :word_{n} || :last
                    ORDER BY word, subject_id LIMIT :looked_at) AS with_word_{n}
"""
_SEARCHES = [
    text(f"{' INTERSECT '.join(_SUBJECTS.format(n=n) for n in range(words))} LIMIT :most")
    for words in range(1, MOST_WORDS + 1)
]
# Whether so many people have a word that not all of them were looked at.
_MANY = text("""
    SELECT EXISTS (SELECT FROM search_words
                    WHERE brand_id = :brand_id AND word >= :word AND word < :word || :last
                    ORDER BY word, subject_id OFFSET :looked_at)
""")
# The guests of the memberships that were found, with what is shown of a person: who they are and what they have. An
# order is found by the words of all its guests; only guests who have some of the words are shown, the most first.
_GUESTS = text("""
    SELECT g.guest_id, g.name, g.email, g.lead_booker, g.removed_at, g.membership_id, g.member_id,
           m.external_user_id, t.name AS membership_type, s.status, s.starts_on
      FROM unnest(CAST(:ids AS uuid[])) AS found (id)
     CROSS JOIN LATERAL (
               SELECT * FROM guests WHERE brand_id = :brand_id AND membership_id = found.id
                ORDER BY removed_at IS NOT NULL, place DESC LIMIT :guests_looked_at) g
     CROSS JOIN LATERAL (
               SELECT count(DISTINCT typed) AS words
                 FROM words_of(g.name, g.email) AS word, unnest(CAST(:words AS text[])) AS typed
                WHERE starts_with(word, typed)) has
      JOIN memberships s USING (brand_id, membership_id)
      JOIN membership_types t USING (brand_id, membership_type_id)
      LEFT JOIN members m ON m.brand_id = g.brand_id AND m.member_id = g.member_id
     WHERE has.words > 0
     ORDER BY has.words DESC, g.name, g.membership_id, g.guest_id LIMIT :most
""")
# Members who were found by a name or an address of their own.
_MEMBERS = text("""
    SELECT member_id, external_user_id, display_name, email, archived_at
      FROM members WHERE brand_id = :brand_id AND member_id = ANY(:ids) AND joined_at IS NOT NULL
     ORDER BY display_name, external_user_id
""")
# What else an id or a code may belong to.
_BY_ID = text("""
    SELECT 'membership' AS kind, membership_id AS id FROM memberships
     WHERE brand_id = :brand_id AND membership_id = CAST(:id AS uuid)
     UNION ALL SELECT 'member', member_id FROM members WHERE brand_id = :brand_id AND member_id = CAST(:id AS uuid)
     UNION ALL SELECT 'run', run_id FROM runs WHERE brand_id = :brand_id AND run_id = CAST(:id AS uuid)
     UNION ALL SELECT 'rule', credit_rule_id FROM credit_rules
     WHERE brand_id = :brand_id AND credit_rule_id = CAST(:id AS uuid)
     UNION ALL SELECT 'credit', credit_id FROM credits WHERE brand_id = :brand_id AND credit_id = CAST(:id AS uuid)
""")
_BY_EXTERNAL_ID = text("""
    SELECT member_id FROM members
     WHERE brand_id = :brand_id AND external_user_id = :typed AND joined_at IS NOT NULL
""")
_BY_CODE = text("SELECT code FROM credits WHERE brand_id = :brand_id AND code = :code")
_BY_OLD_CODE = text("""
    SELECT c.code FROM transfers t JOIN credits c USING (brand_id, credit_id)
     WHERE t.brand_id = :brand_id AND t.code = :code
""")


class Found(NamedTuple):
    """The result of a search: people, or the one object that has the typed id or code (a page of the brand)."""

    guests: list[dict[str, Any]]
    members: list[dict[str, Any]]
    #: The address of the one object, within the brand's pages.
    page: str | None
    more: bool = False


def as_read(typed: str) -> str:
    """A code that was typed with letters that no code has, as the person meant it."""
    return as_kept(typed).translate(_MISREAD)


def find(connection: Connection, brand_id: UUID, typed: str) -> Found:
    """Whom or what `typed` means."""
    page = _one_thing(connection, brand_id, typed.strip())
    if page is not None:
        return Found([], [], page)
    words = sorted(connection.scalars(_WORDS, {"typed": typed}), key=len, reverse=True)[:MOST_WORDS]
    if not words:
        return Found([], [], None)
    words_of_people.write_latest(connection, brand_id)
    which = {f"word_{n}": word for n, word in enumerate(words)}
    asked = {"brand_id": brand_id, "last": "\U0010ffff", "looked_at": LOOKED_AT}
    subjects = connection.execute(_SEARCHES[len(words) - 1], {**asked, "most": MOST + 1, **which}).all()
    more = len(subjects) > MOST or (
        len(words) > 1 and any(connection.scalar(_MANY, {**asked, "word": word}) for word in words)
    )
    ids = [row.subject_id for row in subjects if not row.of_member]
    of_orders = {
        "brand_id": brand_id,
        "ids": ids,
        "words": words,
        "guests_looked_at": limits.current.console.guests_looked_at,
    }
    guests = [dict(row) for row in connection.execute(_GUESTS, {**of_orders, "most": MOST + 1}).mappings()]
    known = {one["member_id"] for one in guests}
    member_ids = [row.subject_id for row in subjects if row.of_member and row.subject_id not in known]
    members = connection.execute(_MEMBERS, {"brand_id": brand_id, "ids": member_ids}).mappings()
    return Found(guests[:MOST], [dict(row) for row in members], None, more or len(guests) > MOST)


def _one_thing(connection: Connection, brand_id: UUID, typed: str) -> str | None:
    try:
        row = connection.execute(_BY_ID, {"brand_id": brand_id, "id": UUID(typed)}).first()
    except ValueError:
        row = None
    if row is not None:
        return f"/{row.kind}s/{row.id}"
    if member_id := connection.scalar(_BY_EXTERNAL_ID, {"brand_id": brand_id, "typed": typed}):
        return f"/members/{member_id}"
    code = as_kept(typed)
    if _CODE.fullmatch(code):
        for meant in dict.fromkeys((code, as_read(code))):
            for statement in (_BY_CODE, _BY_OLD_CODE):
                if found := connection.scalar(statement, {"brand_id": brand_id, "code": meant}):
                    return f"/credits/{found}"
    return None
