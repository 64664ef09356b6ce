"""Words by which people are found in the console. Old processes write them too, by triggers."""

from issuance.database.schema.steps import Backfill, Index, Sql, Steps, kept_apart

revision = "before_0015"
down_revision = "before_0014"

RELEASE = "0.3.0"

# As they stand in schema.sql.
_TRIGGERS = r"""
CREATE OR REPLACE FUNCTION words_of(said text) RETURNS SETOF text LANGUAGE sql IMMUTABLE AS $$
    SELECT DISTINCT left(word, 100)
      FROM regexp_split_to_table(regexp_replace(lower(normalize(said, NFKD)), '[\u0300-\u036f]', '', 'g'),
                                 '[\s,;:/()&"''._-]+') AS word
     WHERE word <> ''
$$;
CREATE OR REPLACE FUNCTION words_of(name text, email text) RETURNS SETOF text LANGUAGE sql IMMUTABLE AS $$
    SELECT words_of(name) UNION SELECT left(lower(email), 100) WHERE email <> ''
$$;
CREATE OR REPLACE FUNCTION note_words_of_guests() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM search_words w
         USING (SELECT DISTINCT brand_id, membership_id, word
                  FROM stale, words_of(stale.name, stale.email) AS word) gone
         WHERE w.brand_id = gone.brand_id AND w.word = gone.word AND w.subject_id = gone.membership_id
           AND NOT EXISTS (SELECT FROM guests g, words_of(g.name, g.email) AS word
                            WHERE g.brand_id = gone.brand_id AND g.membership_id = gone.membership_id
                              AND word = gone.word);
    END IF;
    INSERT INTO search_words (brand_id, word, subject_id, of_member)
    SELECT DISTINCT brand_id, word, membership_id, false FROM fresh, words_of(fresh.name, fresh.email) AS word
        ON CONFLICT (brand_id, word, subject_id) DO NOTHING;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION note_words_of_members() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM search_words w
         USING (SELECT brand_id, member_id, word FROM stale, words_of(display_name, email) AS word
                EXCEPT SELECT brand_id, member_id, word FROM fresh, words_of(display_name, email) AS word) gone
         WHERE w.brand_id = gone.brand_id AND w.word = gone.word AND w.subject_id = gone.member_id;
    END IF;
    INSERT INTO search_words (brand_id, word, subject_id, of_member)
    SELECT DISTINCT brand_id, word, member_id, true FROM fresh, words_of(display_name, email) AS word
        ON CONFLICT (brand_id, word, subject_id) DO NOTHING;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER guests_note_words AFTER INSERT ON guests REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION note_words_of_guests();
CREATE OR REPLACE TRIGGER guests_change_words AFTER UPDATE ON guests
    REFERENCING OLD TABLE AS stale NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION note_words_of_guests();
CREATE OR REPLACE TRIGGER members_note_words AFTER INSERT ON members REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION note_words_of_members();
CREATE OR REPLACE TRIGGER members_change_words AFTER UPDATE ON members
    REFERENCING OLD TABLE AS stale NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION note_words_of_members();
"""

upgrade = Steps(
    Sql(
        "words to be found by",
        """
        CREATE TABLE search_words (
            brand_id   uuid NOT NULL,
            word       text COLLATE "C" NOT NULL,
            subject_id uuid NOT NULL,
            of_member  boolean NOT NULL,
            PRIMARY KEY (brand_id, word, subject_id)
        );
        """,
    ),
    kept_apart("search_words"),
    Sql(
        "who is written is found from now on",
        _TRIGGERS,
    ),
    Backfill(
        "guests that are there",
        table="guests",
        key=("brand_id", "membership_id", "guest_id"),
        statement="""
            INSERT INTO search_words (brand_id, word, subject_id, of_member)
            SELECT DISTINCT brand_id, word, membership_id, false FROM guests, words_of(name, email) AS word
             WHERE {range}
                ON CONFLICT (brand_id, word, subject_id) DO NOTHING
        """,
    ),
    Backfill(
        "members that are there",
        table="members",
        key=("brand_id", "member_id"),
        statement="""
            INSERT INTO search_words (brand_id, word, subject_id, of_member)
            SELECT DISTINCT brand_id, word, member_id, true FROM members, words_of(display_name, email) AS word
             WHERE {range}
                ON CONFLICT (brand_id, word, subject_id) DO NOTHING
        """,
    ),
    Index("schedules_quarantined", "schedules", "(brand_id) WHERE quarantined_at IS NOT NULL"),
)
