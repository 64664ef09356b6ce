"""The words by which people are found are written after them, not with them."""

from issuance.database.schema.steps import Sql, Steps, kept_apart

revision = "before_0016"
down_revision = "before_0015"

RELEASE = "0.3.0"

# As they stand in schema.sql.
_FUNCTIONS = r"""
CREATE OR REPLACE FUNCTION words_of(name text, email text) RETURNS SETOF text LANGUAGE sql IMMUTABLE AS $$
    SELECT DISTINCT left(word, 100)
      FROM unnest(string_to_array(translate(
               CASE WHEN octet_length(name) = length(name) THEN lower(name)
                    ELSE regexp_replace(lower(normalize(name, NFKD)), '[\u0300-\u036f]', '', 'g') END,
               E'\t\n\r\f,;:/()&"''._-', repeat(' ', 16)), ' ') || lower(email)) AS word
     WHERE word <> ''
$$;
CREATE OR REPLACE FUNCTION words_of(said text) RETURNS SETOF text LANGUAGE sql IMMUTABLE AS $$
    SELECT words_of(said, NULL)
$$;
CREATE OR REPLACE FUNCTION note_new_guests() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO search_backlog (brand_id, subject_ids, of_members)
    SELECT brand_id, array_agg(membership_id), false
      FROM (SELECT brand_id, membership_id, (row_number() OVER () - 1) / 500 AS part
              FROM (SELECT DISTINCT brand_id, membership_id FROM fresh WHERE name <> '' OR email <> '') named) parts
     GROUP BY brand_id, part ORDER BY part;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION note_new_members() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO search_backlog (brand_id, subject_ids, of_members)
    SELECT brand_id, array_agg(member_id), true
      FROM (SELECT brand_id, member_id, (row_number() OVER () - 1) / 500 AS part
              FROM fresh WHERE display_name <> '' OR email <> '') parts
     GROUP BY brand_id, part ORDER BY part;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION note_words_of_guests() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM search_words w
     USING (SELECT DISTINCT brand_id, membership_id, word
              FROM stale, words_of(stale.name, stale.email) AS word) gone
     WHERE w.brand_id = gone.brand_id AND w.word = gone.word AND w.subject_id = gone.membership_id
       AND NOT EXISTS (SELECT FROM guests g, words_of(g.name, g.email) AS word
                        WHERE g.brand_id = gone.brand_id AND g.membership_id = gone.membership_id
                          AND word = gone.word);
    INSERT INTO search_words (brand_id, word, subject_id, of_member)
    SELECT DISTINCT brand_id, word, membership_id, false FROM fresh, words_of(fresh.name, fresh.email) AS word
        ON CONFLICT (brand_id, word, subject_id) DO NOTHING;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION note_words_of_members() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM search_words w
     USING (SELECT brand_id, member_id, word FROM stale, words_of(display_name, email) AS word
            EXCEPT SELECT brand_id, member_id, word FROM fresh, words_of(display_name, email) AS word) gone
     WHERE w.brand_id = gone.brand_id AND w.word = gone.word AND w.subject_id = gone.member_id;
    INSERT INTO search_words (brand_id, word, subject_id, of_member)
    SELECT DISTINCT brand_id, word, member_id, true FROM fresh, words_of(display_name, email) AS word
        ON CONFLICT (brand_id, word, subject_id) DO NOTHING;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER guests_note_words AFTER INSERT ON guests REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION note_new_guests();
CREATE OR REPLACE TRIGGER guests_change_words AFTER UPDATE ON guests
    REFERENCING OLD TABLE AS stale NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION note_words_of_guests();
CREATE OR REPLACE TRIGGER members_note_words AFTER INSERT ON members REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION note_new_members();
CREATE OR REPLACE TRIGGER members_change_words AFTER UPDATE ON members
    REFERENCING OLD TABLE AS stale NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION note_words_of_members();
"""

upgrade = Steps(
    Sql(
        "who waits for being found",
        """
        CREATE TABLE search_backlog (
            brand_id    uuid NOT NULL,
            entry_id    bigint GENERATED ALWAYS AS IDENTITY,
            subject_ids uuid[] NOT NULL,
            of_members  boolean NOT NULL,
            PRIMARY KEY (brand_id, entry_id)
        );
        """,
    ),
    kept_apart("search_backlog"),
    Sql("words are written later", _FUNCTIONS),
)
