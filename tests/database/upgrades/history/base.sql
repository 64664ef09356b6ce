-- A small shop of tickets, as its version 0.1.0 made it.
CREATE TABLE brands (
    brand_id uuid PRIMARY KEY,
    name     text NOT NULL
);
CREATE TABLE tickets (
    brand_id  uuid NOT NULL REFERENCES brands,
    ticket_id uuid NOT NULL,
    code      text NOT NULL,
    spent     boolean NOT NULL DEFAULT false,
    writes    integer NOT NULL DEFAULT 0,
    PRIMARY KEY (brand_id, ticket_id)
) WITH (fillfactor = 85);
CREATE INDEX tickets_spent ON tickets (brand_id, spent);
DO $$
DECLARE
    of_brands regclass;
    own text := $own$ brand_id = (SELECT nullif(nullif(current_setting('issuance.brand_id', true), ''), '*')::uuid)
                      OR (SELECT current_setting('issuance.brand_id', true) = '*') $own$;
BEGIN
    FOREACH of_brands IN ARRAY '{brands, tickets}'::regclass[] LOOP
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', of_brands);
        EXECUTE format('CREATE POLICY of_one_brand ON %s USING (%s) WITH CHECK (%s)', of_brands, own, own);
    END LOOP;
END $$;
