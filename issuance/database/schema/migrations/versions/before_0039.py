"""Coupons' former validities are kept: an old period that is made known late goes by the one that the coupon had then.

Old processes note them too, and go by the present one."""

from issuance.database.schema.steps import Sql, Steps, kept_apart

revision = "before_0039"
down_revision = "before_0038"

RELEASE = "0.3.0"

# As it stands in schema.sql.
_NOTE_VALIDITY = """
CREATE OR REPLACE FUNCTION note_validity() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO coupon_validities (brand_id, coupon_id, until, validity)
    SELECT brand_id, OLD.coupon_id, coalesce(clock_now, clock_timestamp()), OLD.validity
      FROM brands WHERE brand_id = OLD.brand_id
        ON CONFLICT (brand_id, coupon_id, until) DO NOTHING;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER coupons_note_validity AFTER UPDATE ON coupons
    FOR EACH ROW WHEN (OLD.validity IS DISTINCT FROM NEW.validity) EXECUTE FUNCTION note_validity();
"""

upgrade = Steps(
    Sql(
        "validities that coupons had",
        """
        CREATE TABLE coupon_validities (
            brand_id  uuid NOT NULL,
            coupon_id text NOT NULL,
            until     timestamptz NOT NULL,
            validity  text,
            PRIMARY KEY (brand_id, coupon_id, until),
            CONSTRAINT coupon_validities_of_coupon FOREIGN KEY (brand_id, coupon_id) REFERENCES coupons
        );
        """,
    ),
    kept_apart("coupon_validities"),
    Sql("they are noted from now on", _NOTE_VALIDITY),
)
