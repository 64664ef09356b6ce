"""The liability by month: movements that credits' own columns do not say, and what coupons' credits are worth.

Old processes go on without both: what they take back meanwhile shows in the month in which it was, not in the one in
which it became known.
"""

from issuance.database.schema.steps import Backfill, Sql, Steps, kept_apart

revision = "before_0020"
down_revision = "before_0019"

RELEASE = "0.3.0"

# As it stands in schema.sql.
_NOTE_VALUE = """
CREATE OR REPLACE FUNCTION note_value() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    since uuid := '00000000-0000-0000-0000-000000000000';
    is_amount boolean := NEW.discount_type = 'amount' AND NEW.discount_currency IS NOT NULL;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF (OLD.discount_type, OLD.discount_value, OLD.discount_currency)
           IS NOT DISTINCT FROM (NEW.discount_type, NEW.discount_value, NEW.discount_currency) THEN
            RETURN NULL;
        END IF;
        -- The least UUIDv7 of this millisecond.
        since := lpad(to_hex(CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)), 12, '0')
                 || '70008000000000000000';
    END IF;
    INSERT INTO coupon_values (brand_id, coupon_id, first_credit_id, value, currency)
    VALUES (NEW.brand_id, NEW.coupon_id, since, CASE WHEN is_amount THEN NEW.discount_value END,
            CASE WHEN is_amount THEN NEW.discount_currency END)
        ON CONFLICT (brand_id, coupon_id, first_credit_id)
        DO UPDATE SET value = excluded.value, currency = excluded.currency;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER coupons_note_value AFTER INSERT OR UPDATE ON coupons
    FOR EACH ROW EXECUTE FUNCTION note_value();
"""

upgrade = Steps(
    Sql(
        "movements of credits, and what they are worth",
        """
        CREATE TABLE credit_movements (
            brand_id    uuid NOT NULL,
            movement_id uuid NOT NULL,
            credit_id   uuid NOT NULL,
            kind        text NOT NULL,
            at          timestamptz NOT NULL,
            -- squawk-ignore prefer-bigint-over-int
            number      integer NOT NULL,
            PRIMARY KEY (brand_id, movement_id),
            CONSTRAINT credit_movements_of_credit FOREIGN KEY (brand_id, credit_id) REFERENCES credits,
            CONSTRAINT credit_movements_kind_known CHECK (kind IN ('redeemed', 'expired', 'revoked', 'restored')),
            CONSTRAINT credit_movements_number_some CHECK (number <> 0)
        );
        CREATE OR REPLACE TRIGGER credit_movements_append_only BEFORE UPDATE OR DELETE ON credit_movements
            FOR EACH ROW EXECUTE FUNCTION refuse_change();
        CREATE TABLE coupon_values (
            brand_id        uuid NOT NULL,
            coupon_id       text NOT NULL,
            first_credit_id uuid NOT NULL,
            value           numeric,
            currency        text,
            PRIMARY KEY (brand_id, coupon_id, first_credit_id),
            CONSTRAINT coupon_values_of_coupon FOREIGN KEY (brand_id, coupon_id) REFERENCES coupons,
            CONSTRAINT coupon_values_has_currency CHECK ((value IS NULL) = (currency IS NULL))
        );
        """,
    ),
    kept_apart("credit_movements"),
    kept_apart("coupon_values"),
    Sql("values are noted from now on", _NOTE_VALUE),
    Backfill(
        "coupons that are there",
        table="coupons",
        key=("brand_id", "coupon_id"),
        statement="""
            INSERT INTO coupon_values (brand_id, coupon_id, first_credit_id, value, currency)
            SELECT brand_id, coupon_id, '00000000-0000-0000-0000-000000000000',
                   CASE WHEN discount_type = 'amount' AND discount_currency IS NOT NULL THEN discount_value END,
                   CASE WHEN discount_type = 'amount' THEN discount_currency END
              FROM coupons WHERE {range}
                ON CONFLICT (brand_id, coupon_id, first_credit_id) DO NOTHING
        """,
    ),
)
