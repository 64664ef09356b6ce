# ruff: noqa: E501 - a function is compared with schema.sql letter by letter
"""From 0.1.0 to 0.2.0: people have ids of Issuance's own, and one table says when each membership is looked at.

Every process has to be stopped: 0.1.0 knows people by the brand's ids, in every table that this changes.
"""

from issuance.database.schema.steps import Sql, Steps, kept_apart

revision = "before_0002"
down_revision = "before_0001"

RELEASE = "0.2.0"
BESIDE = False

PEOPLE = Sql(
    "people have ids of their own",
    """
    ALTER TABLE memberships DROP CONSTRAINT memberships_of_member;
    ALTER TABLE ledger_entries DROP CONSTRAINT ledger_entries_of_wallet;
    ALTER TABLE wallets DROP CONSTRAINT wallets_of_member;

    ALTER TABLE members RENAME created_at TO joined_at;
    ALTER TABLE members
        ALTER joined_at DROP NOT NULL,
        ALTER joined_at DROP DEFAULT,
        ADD COLUMN member_id uuid NOT NULL DEFAULT gen_random_uuid(),
        DROP CONSTRAINT members_pkey;
    ALTER TABLE members
        ALTER member_id DROP DEFAULT,
        ADD CONSTRAINT members_pkey PRIMARY KEY (brand_id, member_id),
        ADD CONSTRAINT members_external_user_id_unique UNIQUE (brand_id, external_user_id),
        ADD CONSTRAINT members_archived_have_joined CHECK (archived_at IS NULL OR joined_at IS NOT NULL);
    DROP INDEX members_archived;
    CREATE INDEX members_archived ON members (brand_id, member_id) WHERE archived_at IS NOT NULL;
    """,
    reads="members",
)
# Settling looks them up and makes none: also those of events that wait.
NAMED = Sql(
    "everybody who is named is there",
    """
    INSERT INTO members (brand_id, member_id, external_user_id)
    SELECT brand_id, gen_random_uuid(), external_user_id
      FROM (SELECT brand_id, external_user_id FROM guests
             UNION
            SELECT brand_id, external_user_id FROM redemptions
             UNION
            SELECT brand_id, guest ->> 'external_user_id'
              FROM billing_events, jsonb_array_elements(CASE jsonb_typeof(data -> 'guests')
                                                             WHEN 'array' THEN data -> 'guests' END) AS guest
             WHERE type IN ('membership.signed_up', 'membership.guests_changed')) named
     WHERE external_user_id IS NOT NULL
    ON CONFLICT ON CONSTRAINT members_external_user_id_unique DO NOTHING;
    ANALYZE members;
    """,
    reads="billing_events",
)
MEMBERSHIPS = Sql(
    "memberships name them by it",
    """
    ALTER TABLE memberships ADD COLUMN member_id uuid;
    UPDATE memberships m SET member_id = p.member_id FROM members p
     WHERE p.brand_id = m.brand_id AND p.external_user_id = m.external_user_id;
    DROP INDEX memberships_by_member;
    ALTER TABLE memberships
        ALTER member_id SET NOT NULL,
        DROP COLUMN external_user_id,
        ADD CONSTRAINT memberships_of_member FOREIGN KEY (brand_id, member_id) REFERENCES members;
    CREATE INDEX memberships_by_member ON memberships (brand_id, member_id);
    """,
    reads="memberships",
)
# A place was one on the list that first named the guest: guests of several lists may have shared it. Now it counts all
# guests of an order, as they became known.
GUESTS = Sql(
    "guests name them by it, and have a place each",
    """
    ALTER TABLE guests ADD COLUMN member_id uuid, ALTER place TYPE integer;
    DROP INDEX guests_by_member;
    UPDATE guests g SET member_id = p.member_id FROM members p
     WHERE p.brand_id = g.brand_id AND p.external_user_id = g.external_user_id;
    UPDATE guests g SET place = known.place
      FROM (SELECT g.brand_id, g.membership_id, g.guest_id,
                   row_number() OVER (PARTITION BY g.brand_id, g.membership_id
                                      ORDER BY f.time, f.source, f.event_id, f.nth, g.place, g.guest_id) - 1 AS place
              FROM guests g
              JOIN (SELECT DISTINCT brand_id, membership_id FROM billing_events
                     WHERE type = 'membership.guests_changed') changed USING (brand_id, membership_id)
              LEFT JOIN LATERAL (
                    SELECT e.time, e.source, e.event_id, guest.nth
                      FROM billing_events e, jsonb_array_elements(CASE jsonb_typeof(e.data -> 'guests')
                                    WHEN 'array' THEN e.data -> 'guests' END) WITH ORDINALITY AS guest (said, nth)
                     WHERE e.brand_id = g.brand_id AND e.membership_id = g.membership_id
                       AND guest.said ->> 'guest_id' = g.guest_id::text
                     ORDER BY e.time, e.source, e.event_id LIMIT 1) f ON true) known
     WHERE (known.brand_id, known.membership_id, known.guest_id) = (g.brand_id, g.membership_id, g.guest_id)
       AND known.place <> g.place;
    ALTER TABLE guests
        DROP COLUMN external_user_id,
        ADD CONSTRAINT guests_place_once UNIQUE (brand_id, membership_id, place);
    CREATE INDEX guests_by_member ON guests (brand_id, member_id) WHERE member_id IS NOT NULL;
    """,
    reads="guests",
)
POINTS = Sql(
    "points are theirs by it",
    """
    ALTER TABLE wallets ADD COLUMN member_id uuid;
    UPDATE wallets w SET member_id = p.member_id FROM members p
     WHERE p.brand_id = w.brand_id AND p.external_user_id = w.external_user_id;
    ALTER TABLE wallets DROP COLUMN external_user_id;
    ALTER TABLE wallets
        ADD CONSTRAINT wallets_pkey PRIMARY KEY (brand_id, member_id),
        ADD CONSTRAINT wallets_of_member FOREIGN KEY (brand_id, member_id) REFERENCES members;

    ALTER TABLE ledger_entries ADD COLUMN member_id uuid;
    ALTER TABLE ledger_entries DISABLE TRIGGER ledger_entries_append_only;
    UPDATE ledger_entries l SET member_id = p.member_id FROM members p
     WHERE p.brand_id = l.brand_id AND p.external_user_id = l.external_user_id;
    ALTER TABLE ledger_entries ENABLE TRIGGER ledger_entries_append_only;
    DROP INDEX ledger_entries_by_wallet;
    ALTER TABLE ledger_entries
        ALTER member_id SET NOT NULL,
        DROP COLUMN external_user_id,
        ADD CONSTRAINT ledger_entries_of_wallet FOREIGN KEY (brand_id, member_id) REFERENCES wallets;
    CREATE INDEX ledger_entries_by_wallet ON ledger_entries (brand_id, member_id, created_at, entry_id);

    CREATE OR REPLACE FUNCTION enter_in_wallet() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE wallets
       SET received = received + CASE WHEN NEW.type = 'credit' THEN NEW.amount ELSE 0 END,
           spent = spent - CASE WHEN NEW.type = 'credit' THEN 0 ELSE NEW.amount END
     WHERE brand_id = NEW.brand_id AND member_id = NEW.member_id;
    RETURN NULL;
END $$;
    """,
    reads="ledger_entries",
)
REDEMPTIONS = Sql(
    "redemptions are theirs by it",
    """
    ALTER TABLE redemptions ADD COLUMN member_id uuid;
    UPDATE redemptions r SET member_id = p.member_id FROM members p
     WHERE p.brand_id = r.brand_id AND p.external_user_id = r.external_user_id;
    DROP INDEX redemptions_by_member;
    ALTER TABLE redemptions
        DROP CONSTRAINT redemptions_points_of_member,
        DROP COLUMN external_user_id,
        ADD CONSTRAINT redemptions_points_of_member CHECK (points IS NULL OR (points > 0 AND member_id IS NOT NULL));
    CREATE INDEX redemptions_by_member ON redemptions (brand_id, member_id, created_at, redemption_id);
    UPDATE idempotency_keys k SET caller = 'member ' || p.member_id FROM members p
     WHERE p.brand_id = k.brand_id AND k.caller = 'member ' || p.external_user_id;
    """,
    reads="redemptions",
)
REFERENCES = Sql(
    "who is named is there and stays",
    """
    CREATE FUNCTION refer_to_members() RETURNS trigger LANGUAGE plpgsql
SET enable_nestloop = on SET enable_hashjoin = off SET enable_mergejoin = off  -- by key, not by reading all members
AS $$
BEGIN
    IF EXISTS (SELECT FROM fresh LEFT JOIN members USING (brand_id, member_id)
                WHERE fresh.member_id IS NOT NULL AND members.member_id IS NULL) THEN
        RAISE EXCEPTION '% names somebody who is not there', TG_TABLE_NAME
              USING ERRCODE = 'foreign_key_violation', CONSTRAINT = TG_TABLE_NAME || '_of_member', TABLE = TG_TABLE_NAME;
    END IF;
    RETURN NULL;
END $$;
    CREATE TRIGGER guests_of_member AFTER INSERT ON guests REFERENCING NEW TABLE AS fresh
        FOR EACH STATEMENT EXECUTE FUNCTION refer_to_members();
    CREATE TRIGGER guests_stay_of_members AFTER UPDATE ON guests REFERENCING NEW TABLE AS fresh
        FOR EACH STATEMENT EXECUTE FUNCTION refer_to_members();
    CREATE TRIGGER redemptions_of_member AFTER INSERT ON redemptions REFERENCING NEW TABLE AS fresh
        FOR EACH STATEMENT EXECUTE FUNCTION refer_to_members();
    CREATE TRIGGER redemptions_stay_of_members BEFORE UPDATE OF brand_id, member_id ON redemptions
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
    CREATE TRIGGER members_stay BEFORE DELETE OR UPDATE OF brand_id, member_id ON members
        FOR EACH ROW EXECUTE FUNCTION refuse_change();
    CREATE FUNCTION guests_of(brand uuid, orders uuid[])
RETURNS TABLE (membership_id uuid, place integer, guest_id uuid) LANGUAGE sql VOLATILE ROWS 5000 AS $$
    SELECT g.membership_id, g.place, g.guest_id FROM guests g WHERE g.brand_id = brand AND g.membership_id = ANY(orders)
$$;
    """,
)
# What the biller told is understood anew: stored events say what they mean, and a text was refused once.
FACTS = Sql(
    "facts as billers really tell them",
    """
    ALTER TABLE members ADD COLUMN returned_at timestamptz;
    DROP INDEX members_archived;
    CREATE INDEX members_archived ON members (brand_id, member_id)
        WHERE archived_at IS NOT NULL OR returned_at IS NOT NULL;
    ALTER TABLE credit_rules ADD COLUMN effective_from date;

    ALTER TABLE billing_events
        DROP COLUMN body_hash,
        ADD COLUMN unknown_fields jsonb,
        DROP CONSTRAINT billing_events_type_known,
        ADD CONSTRAINT billing_events_type_known CHECK (type IN (
        'membership.signed_up', 'membership.status_changed', 'membership.billing_date_moved', 'membership.start_moved',
        'membership.type_changed', 'membership.guests_changed',
        'charge.initiated', 'charge.succeeded', 'charge.failed', 'charge.skipped', 'charge.refunded', 'charge.disputed'));
    UPDATE billing_events SET data = data - 'ends_on'
     WHERE type = 'membership.status_changed' AND data -> 'ends_on' = 'null';
    CREATE INDEX billing_events_of_types ON billing_events (brand_id, membership_id)
        WHERE type = 'membership.type_changed';

    ALTER TABLE rejected_events ADD COLUMN body_hash bytea;
    UPDATE rejected_events SET body_hash = sha256(convert_to(body, 'UTF8'));
    DELETE FROM rejected_events r USING rejected_events earlier
     WHERE (earlier.brand_id, earlier.body_hash) = (r.brand_id, r.body_hash) AND earlier.rejected_id < r.rejected_id;
    ALTER TABLE rejected_events
        ALTER body_hash SET NOT NULL,
        ADD CONSTRAINT rejected_events_once UNIQUE (brand_id, body_hash);

    ALTER TABLE memberships
        DROP CONSTRAINT memberships_frequency_known,
        ADD CONSTRAINT memberships_frequency_known CHECK (
        billing_frequency ~ '^P(([1-9]|[1-4][0-9]|5[0-2])W|([1-9]|[12][0-9]|3[0-6])M|[1-3]Y)$');

    DROP INDEX charges_by_membership;
    ALTER TABLE charges
        DROP CONSTRAINT charges_pkey,
        ADD COLUMN pays_for_nothing boolean NOT NULL DEFAULT false,
        DROP CONSTRAINT charges_end_after_start,
        ADD CONSTRAINT charges_end_not_before_start CHECK (period_end >= period_start),
        ADD PRIMARY KEY (brand_id, membership_id, charge_id);
    CREATE INDEX charges_that_pay_for_nothing ON charges (brand_id) WHERE pays_for_nothing;
    """,
    reads="billing_events",
)
# Each membership waits by a row of its own, and is due at once, as the rules have changed: the next sweep lets those who are alike share one.
SCHEDULES = Sql(
    "one table of schedules",
    """
    CREATE TABLE schedules (
        brand_id       uuid NOT NULL,
        schedule_id    uuid NOT NULL,
        shared         boolean NOT NULL DEFAULT false,
        size           integer NOT NULL DEFAULT 1,
        due_at         timestamptz,
        settled_at     timestamptz,
        fingerprint    uuid,
        attempts       integer NOT NULL DEFAULT 0,
        retry_at       timestamptz,
        quarantined_at timestamptz,
        last_error     text,
        CONSTRAINT schedules_size CHECK (size >= 0 AND (shared OR size <= 1)),
        CONSTRAINT schedules_shared_by_settled CHECK (NOT shared OR (settled_at IS NOT NULL AND fingerprint IS NOT NULL
            AND attempts = 0 AND num_nonnulls(retry_at, quarantined_at, last_error) = 0)),
        CONSTRAINT schedules_resting_say_nothing CHECK (shared OR size = 1 OR (attempts = 0
            AND num_nonnulls(due_at, settled_at, fingerprint, retry_at, quarantined_at, last_error) = 0))
    ) WITH (fillfactor = 70);
    CREATE TABLE membership_schedules (
        brand_id      uuid NOT NULL,
        membership_id uuid NOT NULL,
        schedule_id   uuid NOT NULL
    ) WITH (fillfactor = 85);
    INSERT INTO schedules (brand_id, schedule_id, due_at, settled_at, attempts, retry_at, quarantined_at, last_error)
    SELECT brand_id, membership_id,
           CASE WHEN settled_at IS NULL THEN due_at ELSE least(due_at, coalesce(clock_now, clock_timestamp())) END,
           settled_at, attempts, retry_at, quarantined_at, last_error
      FROM dues_known JOIN brands USING (brand_id) ORDER BY brand_id, membership_id;
    INSERT INTO membership_schedules
    SELECT brand_id, membership_id, membership_id FROM dues ORDER BY brand_id, membership_id;
    ALTER TABLE schedules ADD PRIMARY KEY (brand_id, schedule_id);
    ALTER TABLE membership_schedules
        ADD PRIMARY KEY (brand_id, membership_id),
        ADD CONSTRAINT membership_schedules_of_membership FOREIGN KEY (brand_id, membership_id) REFERENCES memberships;
    CREATE INDEX schedules_by_instant ON schedules (brand_id, due_at)
        WHERE due_at IS NOT NULL AND quarantined_at IS NULL;
    CREATE INDEX membership_schedules_shared ON membership_schedules (brand_id, schedule_id, membership_id)
        WHERE schedule_id <> membership_id;
    DROP VIEW dues_known;
    DROP TABLE dues, cohorts;
    """,
    reads="dues",
)

upgrade = Steps(
    PEOPLE,
    NAMED,
    MEMBERSHIPS,
    GUESTS,
    POINTS,
    REDEMPTIONS,
    REFERENCES,
    FACTS,
    SCHEDULES,
    kept_apart("schedules"),
    kept_apart("membership_schedules"),
    Sql("tell the planner", "ANALYZE members, memberships, guests, wallets, ledger_entries, redemptions, schedules"),
)
