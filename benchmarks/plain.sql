-- The table of credits as one writes it first: the same columns, checks and keys, a foreign key a row, pages filled to
-- the brim, brands not kept apart. Run by a superuser, for whom row-level security does not count.
CREATE TABLE plain_credits (LIKE credits INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
INSERT INTO plain_credits SELECT * FROM credits;
ALTER TABLE plain_credits
    ADD PRIMARY KEY (brand_id, credit_id),
    ADD UNIQUE (brand_id, membership_id, credit_rule_id, guest_id, period_start, reissue),
    ADD UNIQUE (brand_id, code),
    ADD FOREIGN KEY (brand_id, credit_rule_id, rule_version) REFERENCES rule_versions,
    ADD FOREIGN KEY (brand_id, membership_id, guest_id) REFERENCES guests;
GRANT ALL ON plain_credits TO PUBLIC;
