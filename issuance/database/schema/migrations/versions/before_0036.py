"""Search words are written a part of an order at a time, and billers' deliveries go by their age.

Old processes write all words of an order at once, whatever was written before: that does no harm."""

from issuance.database.schema.steps import Index, Sql, Steps

revision = "before_0036"
down_revision = "before_0035"

RELEASE = "0.3.0"

# As it stands in schema.sql.
_NOTE = """
CREATE OR REPLACE FUNCTION note_words_of_guests() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM search_words w
     USING (WITH renamed AS MATERIALIZED (
                 SELECT s.brand_id, s.membership_id, s.name, s.email
                   FROM stale s JOIN fresh f USING (brand_id, membership_id, guest_id)
                  WHERE (s.name, s.email) IS DISTINCT FROM (f.name, f.email))
            SELECT brand_id, membership_id, word FROM renamed, words_of(renamed.name, renamed.email) AS word
            EXCEPT
            SELECT g.brand_id, g.membership_id, word
              FROM (SELECT DISTINCT brand_id, membership_id FROM renamed) orders
              JOIN guests g USING (brand_id, membership_id), words_of(g.name, g.email) AS word) gone
     WHERE w.brand_id = gone.brand_id AND w.word = gone.word AND w.subject_id = gone.membership_id;
    INSERT INTO search_words (brand_id, word, subject_id, of_member)
    SELECT DISTINCT brand_id, word, membership_id, false
      FROM fresh f JOIN stale s USING (brand_id, membership_id, guest_id), words_of(f.name, f.email) AS word
     WHERE (s.name, s.email) IS DISTINCT FROM (f.name, f.email)
        ON CONFLICT (brand_id, word, subject_id) DO NOTHING;
    RETURN NULL;
END $$;
"""

upgrade = Steps(
    Sql("how far an order's words are written", "ALTER TABLE search_backlog ADD COLUMN after_id uuid"),
    Sql("only who is called otherwise is looked at", _NOTE),
    Index("biller_deliveries_by_age", "biller_deliveries", "(received_at) WHERE state IN ('translated', 'refused')"),
)
