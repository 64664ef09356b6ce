-- The same shop, as its version 0.3.0 makes it in an empty database.
CREATE TABLE alembic_version (
    version_num varchar(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE schema_steps (
    revision text NOT NULL,
    step     integer NOT NULL,
    what     text NOT NULL,
    position text[],
    rows     bigint NOT NULL DEFAULT 0,
    seconds  double precision NOT NULL DEFAULT 0,
    done_at  timestamptz,
    PRIMARY KEY (revision, step)
);
CREATE TABLE brands (
    brand_id uuid PRIMARY KEY,
    name     text NOT NULL
);
CREATE TABLE tickets (
    brand_id  uuid NOT NULL REFERENCES brands,
    ticket_id uuid NOT NULL,
    number    text NOT NULL,
    -- Filled in batches, so not where 0.1.0 would have put it.
    shown_as  text NOT NULL,
    writes    integer NOT NULL DEFAULT 0,
    PRIMARY KEY (brand_id, ticket_id),
    CONSTRAINT tickets_shown CHECK (char_length(shown_as) > 1)
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX tickets_by_shown ON tickets (brand_id, shown_as);
CREATE TABLE venues (
    brand_id uuid NOT NULL REFERENCES brands,
    venue_id uuid NOT NULL,
    PRIMARY KEY (brand_id, venue_id)
);
DO $$
DECLARE
    of_brands regclass;
    own text := $own$ brand_id = (SELECT nullif(nullif(current_setting('issuance.brand_id', true), ''), '*')::uuid)
                      OR (SELECT current_setting('issuance.brand_id', true) = '*') $own$;
BEGIN
    FOREACH of_brands IN ARRAY '{brands, tickets, venues}'::regclass[] LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', of_brands);
        EXECUTE format('CREATE POLICY of_one_brand ON %s USING (%s) WITH CHECK (%s)', of_brands, own, own);
    END LOOP;
END $$;

-- This picture is that of these migrations. A database that is older keeps what it says of itself.
INSERT INTO alembic_version (version_num)
SELECT revision FROM (VALUES ('before_0003'), ('after_0003')) AS newest (revision) WHERE NOT EXISTS (SELECT FROM alembic_version);
