"""Brands have offers of their own, and a redemption knows the one that was named.

Old processes go on without them: what they redeem names no offer.
"""

from issuance.database.schema.steps import Index, Sql, Steps, Validate, kept_apart

revision = "before_0007"
down_revision = "before_0006"

RELEASE = "0.3.0"

upgrade = Steps(
    Sql(
        "offers",
        """
        CREATE TABLE offers (
            brand_id     uuid NOT NULL REFERENCES brands,
            offer_id     text NOT NULL,
            name         text NOT NULL,
            points_price bigint,
            tiers        text[],
            coupon_id    text,
            created_at   timestamptz NOT NULL DEFAULT now(),
            updated_at   timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (brand_id, offer_id),
            CONSTRAINT offers_of_coupon FOREIGN KEY (brand_id, coupon_id) REFERENCES coupons,
            CONSTRAINT offers_price_positive CHECK (points_price > 0),
            CONSTRAINT offers_tiers_are_some CHECK (cardinality(tiers) > 0)
        );
        """,
    ),
    kept_apart("offers"),
    Sql(
        "redemptions name their offer",
        """
        ALTER TABLE redemptions ADD COLUMN offer_id text;
        -- squawk-ignore ban-drop-constraint
        ALTER TABLE redemptions DROP CONSTRAINT redemptions_of_credit_or_points;
        ALTER TABLE redemptions ADD CONSTRAINT redemptions_of_something CHECK (num_nonnulls(credit_id, points) < 2
            AND num_nonnulls(credit_id, points, offer_id) > 0 AND num_nonnulls(credit_id, member_id) > 0) NOT VALID;
        """,
    ),
    Validate("redemptions", "redemptions_of_something"),
    Index(
        "redemptions_one_open_of_offer",
        "redemptions",
        "(brand_id, member_id, offer_id) WHERE offer_id IS NOT NULL AND status NOT IN ('COMPLETED', 'CANCELED')",
        unique=True,
    ),
)
