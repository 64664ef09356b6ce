-- Issuance: the one picture of its newest schema. A new database is made of it (issuance schema apply), an older one
-- is brought to it by migrations (issuance schema upgrade); a test holds that both come out the same.
-- Every key begins with brand_id, so that a brand's rows lie together and can be partitioned or
-- distributed by brand. Constraints have names because errors and tests speak of them.
-- Instants are timestamptz; dates are calendar dates in the brand's time zone.

-- Row-level security does not bind superusers, nor whoever has BYPASSRLS. One who applies this leaves what is Issuance's to
-- an ordinary role, and all processes that connect as such a user work as that role. An upgrade begins so too: what a dump
-- brought back belongs to whoever brought it.
RESET ROLE;
DO $$
DECLARE
    theirs text;
    is_super boolean;
BEGIN
    SELECT rolsuper INTO is_super FROM pg_roles WHERE rolname = session_user AND (rolsuper OR rolbypassrls);
    IF NOT FOUND THEN
        RETURN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'issuance_processes') THEN
        CREATE ROLE issuance_processes NOLOGIN;
    END IF;
    IF NOT is_super THEN
        BEGIN
            GRANT issuance_processes TO SESSION_USER;
        EXCEPTION WHEN insufficient_privilege THEN
            NULL; -- who made the role granted it, or SET ROLE says that nobody did
        END;
    END IF;
    EXECUTE format('GRANT CREATE, USAGE ON SCHEMA %I TO issuance_processes', current_schema());
    FOR theirs IN
        SELECT format('TABLE %s', oid::regclass) FROM pg_class
         WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
           AND pg_get_userbyid(relowner) = session_user
           AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')
        UNION ALL
        SELECT format('FUNCTION %s', oid::regprocedure) FROM pg_proc
         WHERE pronamespace = current_schema()::regnamespace AND pg_get_userbyid(proowner) = session_user
           AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
    LOOP
        EXECUTE format('ALTER %s OWNER TO issuance_processes', theirs);
    END LOOP;
    SET ROLE issuance_processes;
END $$;

-- The schema itself -----------------------------------------------------------------------------

-- Where the schema stands: a row for the last migration whose part *before* was run, one for *after*
-- (issuance schema status). Alembic's table, by Alembic's name.
CREATE TABLE IF NOT EXISTS alembic_version (
    version_num varchar(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

-- How far the part of a migration is that is under way, so that one that is killed goes on where it was.
CREATE TABLE IF NOT EXISTS schema_steps (
    revision text NOT NULL,
    step     integer NOT NULL,
    what     text NOT NULL,
    -- Of a backfill: the key of the last row that is done, how many they are, and what they took.
    position text[],
    rows     bigint NOT NULL DEFAULT 0,
    seconds  double precision NOT NULL DEFAULT 0,
    done_at  timestamptz,
    PRIMARY KEY (revision, step)
);

-- Tenants, keys ---------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS brands (
    brand_id     uuid PRIMARY KEY,
    name         text NOT NULL,
    timezone     text NOT NULL,
    environment  text NOT NULL,
    points_name  text NOT NULL DEFAULT 'points',
    points_symbol text NOT NULL DEFAULT 'pts',
    -- The sandbox clock: NULL follows real time; once set it stands still between moves.
    clock_now    timestamptz,
    -- The last jump: whatever fell due before it is decided once, at it (INTERFACE 8).
    woke_at      timestamptz,
    -- The guard (SEMANTICS 17): at most so many credits of a rule in 24 hours; at most so many times its busiest day.
    guard_max_per_day       integer,
    guard_times_busiest_day numeric,
    created_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT brands_guard_positive CHECK (guard_max_per_day > 0 AND guard_times_busiest_day > 0),
    CONSTRAINT brands_environment_known CHECK (environment IN ('live', 'sandbox')),
    CONSTRAINT brands_clock_only_in_sandbox CHECK (environment = 'sandbox' OR (clock_now IS NULL AND woke_at IS NULL))
);

CREATE TABLE IF NOT EXISTS api_keys (
    brand_id     uuid NOT NULL REFERENCES brands,
    key_id       uuid NOT NULL,
    -- Only the SHA-256 of a key is kept; a key is 256 random bits, so no slow hash is needed.
    key_hash     bytea NOT NULL,
    scopes       text[] NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    revoked_at   timestamptz,
    -- What people call it; the audit names its actor by it.
    name         text,
    -- From then on it is refused: as it was made, or because another takes its place.
    expires_at   timestamptz,
    -- What it begins with, where it was made or used since there is this column.
    prefix       text,
    -- When it expires by itself, as it was made: what takes its place expires then too.
    ends_at      timestamptz,
    -- Of the keys that took one another's place the first: answers to Idempotency-Keys are kept under it. NULL: itself.
    first_key_id uuid,
    PRIMARY KEY (brand_id, key_id),
    CONSTRAINT api_keys_hash_unique UNIQUE (key_hash),
    CONSTRAINT api_keys_first FOREIGN KEY (brand_id, first_key_id) REFERENCES api_keys,
    CONSTRAINT api_keys_prefix_short CHECK (prefix ~ '^[a-z][0-9a-z]{0,15}$'),
    CONSTRAINT api_keys_scopes_known
        CHECK (scopes <@ ARRAY['read', 'write', 'issue', 'tokens', 'admin'] AND cardinality(scopes) > 0)
);
CREATE OR REPLACE FUNCTION keep_own_end() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.ends_at := coalesce(NEW.ends_at, NEW.expires_at);
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER api_keys_keep_own_end BEFORE INSERT ON api_keys FOR EACH ROW EXECUTE FUNCTION keep_own_end();

-- Who acts in this transaction, {kind, id, name}: what it was begun with. NULL: the system, of itself.
CREATE OR REPLACE FUNCTION acting() RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT CAST(nullif(current_setting('issuance.actor', true), '') AS jsonb)
$$;

-- Secrets of this installation, each made once, when it is first needed. They belong to no brand.
CREATE TABLE IF NOT EXISTS secrets (
    name       text PRIMARY KEY,
    value      bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT secrets_long_enough CHECK (octet_length(value) >= 32)
);

-- The first answer to a POST with an Idempotency-Key, written in the transaction that did what it
-- answers: a claim that is not committed makes the next one wait, and is gone if its process dies.
CREATE TABLE IF NOT EXISTS idempotency_keys (
    brand_id     uuid NOT NULL REFERENCES brands,
    -- Whose key it is: an organisation key's id, the first where one took another's place, or a member's own.
    caller       text NOT NULL,
    key          text NOT NULL,
    request_hash bytea NOT NULL,
    -- NULL only inside the transaction that makes the claim. Secrets are left out of the body.
    status       integer,
    body         bytea,
    created_at   timestamptz NOT NULL DEFAULT now(),
    -- What its Location header named.
    location     text,
    PRIMARY KEY (brand_id, caller, key),
    CONSTRAINT idempotency_keys_length CHECK (char_length(key) BETWEEN 1 AND 255)
);
CREATE INDEX IF NOT EXISTS idempotency_keys_by_age ON idempotency_keys (created_at);

-- People ----------------------------------------------------------------------------------------

-- Everybody whom a brand has named, members or not yet. This table alone knows them by the brand's id; all others, and
-- the logs, by Issuance's own.
CREATE TABLE IF NOT EXISTS members (
    brand_id         uuid NOT NULL REFERENCES brands,
    member_id        uuid NOT NULL,
    external_user_id text NOT NULL,
    display_name     text,
    email            text,
    -- '' is no tier: the field is a string wherever it is read.
    tier             text NOT NULL DEFAULT '',
    -- json, not jsonb: given back as it came, order and numbers too.
    attributes       json,
    -- Instants on the brand's clock. NULL: named as a guest of orders only, and no member to anybody.
    joined_at        timestamptz,
    updated_at       timestamptz NOT NULL DEFAULT now(),
    archived_at      timestamptz,
    -- When they were last brought back: what began before it is never given after it.
    returned_at      timestamptz,
    -- How often they were archived: tokens of before the last time are no good when they are back.
    archivings       integer NOT NULL DEFAULT 0,
    -- Whether they kept their points when they were archived; NULL: a version archived them that did not note it.
    balance_retained boolean,
    -- When they were forgotten (SEMANTICS 20); external_user_id is a random one since.
    erased_at        timestamptz,
    -- Grows with each change (count_change).
    revision         integer NOT NULL DEFAULT 1,
    PRIMARY KEY (brand_id, member_id),
    CONSTRAINT members_external_user_id_unique UNIQUE (brand_id, external_user_id),
    CONSTRAINT members_archived_have_joined CHECK (archived_at IS NULL OR joined_at IS NOT NULL),
    CONSTRAINT members_attributes_are_an_object CHECK (json_typeof(attributes) = 'object'),
    CONSTRAINT members_erased_are_archived CHECK (erased_at IS NULL OR (archived_at IS NOT NULL
        AND num_nonnulls(display_name, email, attributes) = 0))
);
-- Receivers of webhooks keep, of what they are told of one object, the highest revision (SEMANTICS 19).
CREATE OR REPLACE FUNCTION count_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.revision := coalesce(OLD.revision, 0) + 1;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER members_count_changes BEFORE UPDATE ON members FOR EACH ROW EXECUTE FUNCTION count_change();
-- Few, and asked about by every settling.
CREATE INDEX IF NOT EXISTS members_archived ON members (brand_id, member_id)
    WHERE archived_at IS NOT NULL OR returned_at IS NOT NULL;

-- What forgotten people were named by, an id or an e-mail address, as a keyed hash: whom facts name so is taken with the
-- random id, until a person lifts it.
CREATE TABLE IF NOT EXISTS erased_names (
    brand_id  uuid NOT NULL,
    name_hash bytea NOT NULL,
    member_id uuid NOT NULL,
    PRIMARY KEY (brand_id, name_hash),
    CONSTRAINT erased_names_of_member FOREIGN KEY (brand_id, member_id) REFERENCES members,
    CONSTRAINT erased_names_hashed CHECK (octet_length(name_hash) = 32)
);
CREATE INDEX IF NOT EXISTS erased_names_by_member ON erased_names (brand_id, member_id);

-- What is promised ------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS membership_types (
    brand_id           uuid NOT NULL REFERENCES brands,
    membership_type_id uuid NOT NULL,
    name               text NOT NULL,
    billing            text NOT NULL,
    created_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (brand_id, membership_type_id),
    CONSTRAINT membership_types_billing_known CHECK (billing IN ('external', 'automatic'))
);

CREATE TABLE IF NOT EXISTS coupons (
    brand_id          uuid NOT NULL REFERENCES brands,
    coupon_id         text NOT NULL,
    name              text NOT NULL,
    description       text NOT NULL DEFAULT '',
    discount_type     text NOT NULL,
    discount_value    numeric NOT NULL,
    discount_currency text,
    validity          text,
    offerings         jsonb NOT NULL DEFAULT '[]',
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (brand_id, coupon_id),
    CONSTRAINT coupons_discount_known CHECK (discount_type IN ('amount', 'percent')),
    CONSTRAINT coupons_discount_in_range CHECK (discount_value >= 0 AND (discount_type = 'amount' OR discount_value <= 100))
);

-- What a coupon's credits are worth, by when they were issued: credit ids grow with time, and those from first_credit_id
-- on have this value. NULL: no amount.
CREATE TABLE IF NOT EXISTS coupon_values (
    brand_id        uuid NOT NULL,
    coupon_id       text NOT NULL,
    first_credit_id uuid NOT NULL,
    value           numeric,
    currency        text,
    PRIMARY KEY (brand_id, coupon_id, first_credit_id),
    CONSTRAINT coupon_values_of_coupon FOREIGN KEY (brand_id, coupon_id) REFERENCES coupons,
    CONSTRAINT coupon_values_has_currency CHECK ((value IS NULL) = (currency IS NULL))
);
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

-- The validities that a coupon had before, each until an instant of the brand's clock: what should have been issued long
-- ago goes by the one that it had when the promise became known. NULL: without end.
CREATE TABLE IF NOT EXISTS coupon_validities (
    brand_id  uuid NOT NULL,
    coupon_id text NOT NULL,
    until     timestamptz NOT NULL,
    validity  text,
    PRIMARY KEY (brand_id, coupon_id, until),
    CONSTRAINT coupon_validities_of_coupon FOREIGN KEY (brand_id, coupon_id) REFERENCES coupons
);
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

-- What members can redeem beside the credits that they hold: for points, for a credit of a coupon, or for nothing.
CREATE TABLE IF NOT EXISTS offers (
    brand_id     uuid NOT NULL REFERENCES brands,
    offer_id     text NOT NULL,
    name         text NOT NULL,
    points_price bigint,
    -- Of which tiers a member must be one; NULL: any, or none.
    tiers        text[],
    coupon_id    text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (brand_id, offer_id),
    CONSTRAINT offers_of_coupon FOREIGN KEY (brand_id, coupon_id) REFERENCES coupons,
    CONSTRAINT offers_price_positive CHECK (points_price > 0),
    CONSTRAINT offers_tiers_are_some CHECK (cardinality(tiers) > 0)
);

CREATE TABLE IF NOT EXISTS credit_rules (
    brand_id       uuid NOT NULL REFERENCES brands,
    credit_rule_id uuid NOT NULL,
    created_at     timestamptz NOT NULL,
    -- The promise is older than the rule: version 1 counts as created at the start of this day (SEMANTICS 4).
    effective_from date,
    -- Set by the deletion, the last version: nothing is issued under a deleted rule.
    deleted_at     timestamptz,
    -- The guard's window: it starts anew where a person approved what was held.
    guard_epoch    integer NOT NULL DEFAULT 0,
    PRIMARY KEY (brand_id, credit_rule_id)
);

-- A version is never changed: it is what credits are stamped with.
CREATE TABLE IF NOT EXISTS rule_versions (
    brand_id             uuid NOT NULL,
    credit_rule_id       uuid NOT NULL,
    version              integer NOT NULL,
    created_at           timestamptz NOT NULL,
    membership_type_id   uuid NOT NULL,
    coupon_id            text NOT NULL,
    coupon_name          text NOT NULL,
    coupon_description   text,
    roll_over            boolean NOT NULL,
    issue_on_signup      boolean NOT NULL,
    multi_use            boolean NOT NULL,
    for_lead_booker_only boolean NOT NULL,
    issuing_frequency    text NOT NULL,
    include_upcoming     boolean NOT NULL,
    deleted              boolean NOT NULL DEFAULT false,
    -- Into how many further periods a credit rolls over at most, and its use at which it is redeemed; NULL: no limit.
    roll_over_limit      integer,
    max_uses             integer,
    -- Who saved it.
    actor                jsonb DEFAULT acting(),
    PRIMARY KEY (brand_id, credit_rule_id, version),
    CONSTRAINT rule_versions_of_rule FOREIGN KEY (brand_id, credit_rule_id) REFERENCES credit_rules,
    CONSTRAINT rule_versions_of_type FOREIGN KEY (brand_id, membership_type_id) REFERENCES membership_types,
    CONSTRAINT rule_versions_of_coupon FOREIGN KEY (brand_id, coupon_id) REFERENCES coupons,
    CONSTRAINT rule_versions_numbered_from_one CHECK (version >= 1),
    CONSTRAINT rule_versions_coupon_name_length CHECK (char_length(coupon_name) BETWEEN 1 AND 120),
    CONSTRAINT rule_versions_frequency_known CHECK (issuing_frequency IN ('billing_cycle', 'P0D', 'P1M', 'P3M', 'P6M', 'P1Y')),
    CONSTRAINT rule_versions_roll_over_limit CHECK (roll_over_limit IS NULL
        OR (roll_over_limit BETWEEN 1 AND 60 AND roll_over AND issuing_frequency <> 'P0D')),
    CONSTRAINT rule_versions_max_uses CHECK (max_uses IS NULL OR (max_uses BETWEEN 2 AND 1000 AND multi_use))
);
CREATE INDEX IF NOT EXISTS rule_versions_by_type ON rule_versions (brand_id, membership_type_id);

-- Facts in --------------------------------------------------------------------------------------

-- The inbox and the memory: an accepted event is a fact for ever. What a membership is owed is
-- computed from these rows, in the order of (time, source, event_id), whenever they arrived.
CREATE TABLE IF NOT EXISTS billing_events (
    brand_id      uuid NOT NULL REFERENCES brands,
    source        text NOT NULL,
    event_id      text NOT NULL,
    type          text NOT NULL,
    time          timestamptz NOT NULL,
    membership_id uuid NOT NULL,
    charge_id     text,
    -- What is understood of it: an event with this source and id that says the same is a double.
    data          jsonb NOT NULL,
    -- What is not: kept and not compared, by the dotted path of the field. NULL, as mostly: there is none.
    unknown_fields jsonb,
    received_at   timestamptz NOT NULL DEFAULT now(),
    -- NULL until the membership was settled with it; an event that is ahead of its sign-up waits so.
    settled_at    timestamptz,
    -- A keyed hash of what it said before somebody whom it names was forgotten, so that it is still known as a double.
    said_hash     bytea,
    CONSTRAINT billing_events_once PRIMARY KEY (brand_id, source, event_id),
    CONSTRAINT billing_events_type_known CHECK (type IN (
        'membership.signed_up', 'membership.status_changed', 'membership.billing_date_moved', 'membership.start_moved',
        'membership.type_changed', 'membership.guests_changed',
        'charge.initiated', 'charge.succeeded', 'charge.failed', 'charge.skipped', 'charge.refunded', 'charge.disputed')),
    CONSTRAINT billing_events_charge_named CHECK ((charge_id IS NOT NULL) = starts_with(type, 'charge.'))
);
CREATE INDEX IF NOT EXISTS billing_events_by_membership ON billing_events (brand_id, membership_id);
-- Was the charge told of before?
CREATE INDEX IF NOT EXISTS billing_events_by_charge ON billing_events (brand_id, charge_id) WHERE charge_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS billing_events_of_types ON billing_events (brand_id, membership_id)
    WHERE type = 'membership.type_changed';
CREATE INDEX IF NOT EXISTS billing_events_unsettled ON billing_events (brand_id, membership_id) WHERE settled_at IS NULL;

-- What was refused, with the reason, until the operator retries or dismisses it. The same text has one row, however
-- often it is refused.
CREATE TABLE IF NOT EXISTS rejected_events (
    brand_id    uuid NOT NULL REFERENCES brands,
    rejected_id uuid NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    code        text NOT NULL,
    message     text NOT NULL,
    -- As it came (a text cut at 64 kB), even where it was no event at all, nor JSON.
    body        text NOT NULL,
    -- The SHA-256 of all of it as it came; where it is kept without somebody who was erased, a keyed hash of that.
    body_hash   bytea NOT NULL,
    PRIMARY KEY (brand_id, rejected_id),
    CONSTRAINT rejected_events_once UNIQUE (brand_id, body_hash)
);

-- Memberships -----------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS memberships (
    brand_id           uuid NOT NULL REFERENCES brands,
    membership_id      uuid NOT NULL,
    membership_type_id uuid NOT NULL,
    member_id          uuid NOT NULL,
    signed_up_at       timestamptz NOT NULL,
    starts_on          date NOT NULL,
    -- As signed up; later moves are events.
    billing_anchor     date NOT NULL,
    billing_frequency  text NOT NULL,
    -- What the last settling found, for lists and filters; decisions work from the events.
    status             text NOT NULL DEFAULT 'upcoming',
    ends_on            date,
    PRIMARY KEY (brand_id, membership_id),
    CONSTRAINT memberships_of_type FOREIGN KEY (brand_id, membership_type_id) REFERENCES membership_types,
    CONSTRAINT memberships_of_member FOREIGN KEY (brand_id, member_id) REFERENCES members,
    CONSTRAINT memberships_anchor_not_before_start CHECK (billing_anchor >= starts_on),
    CONSTRAINT memberships_frequency_known CHECK (
        billing_frequency ~ '^P(([1-9]|[1-4][0-9]|5[0-2])W|([1-9]|[12][0-9]|3[0-6])M|[1-3]Y)$'),
    CONSTRAINT memberships_status_known CHECK (status IN (
        'upcoming', 'active', 'billing', 'needs_attention', 'paused', 'cancelled', 'expired'))
) WITH (fillfactor = 85);
CREATE INDEX IF NOT EXISTS memberships_by_type ON memberships (brand_id, membership_type_id, membership_id);
CREATE INDEX IF NOT EXISTS memberships_by_member ON memberships (brand_id, member_id);

-- The guests of the order behind a membership. One order stands behind one membership and goes by its id.
CREATE TABLE IF NOT EXISTS guests (
    brand_id      uuid NOT NULL,
    membership_id uuid NOT NULL,
    guest_id      uuid NOT NULL,
    -- 0, 1, 2, … in the order in which the order's guests became known. It never changes.
    place         integer NOT NULL,
    name          text NOT NULL,
    email         text,
    -- Who the guest is, where they were named by an external id (guests_of_member).
    member_id     uuid,
    lead_booker   boolean NOT NULL,
    removed_at    timestamptz,
    PRIMARY KEY (brand_id, membership_id, guest_id),
    CONSTRAINT guests_place_once UNIQUE (brand_id, membership_id, place),
    CONSTRAINT guests_of_order FOREIGN KEY (brand_id, membership_id) REFERENCES memberships,
    CONSTRAINT guests_removed_lead_no_more CHECK (NOT (lead_booker AND removed_at IS NOT NULL))
);
CREATE UNIQUE INDEX IF NOT EXISTS guests_one_lead_booker_an_order ON guests (brand_id, membership_id) WHERE lead_booker;
CREATE INDEX IF NOT EXISTS guests_by_member ON guests (brand_id, member_id) WHERE member_id IS NOT NULL;

-- Where each charge stands by its latest fact. A charge is known by its membership and its id: one invoice may pay for
-- several memberships.
CREATE TABLE IF NOT EXISTS charges (
    brand_id        uuid NOT NULL,
    membership_id   uuid NOT NULL,
    charge_id       text NOT NULL,
    state           text NOT NULL,
    period_start    date NOT NULL,
    period_end      date,
    amount          numeric,
    amount_refunded numeric,
    -- It covers no billing boundary and no occurrence of a rule, as the membership's last settling found.
    pays_for_nothing boolean NOT NULL DEFAULT false,
    PRIMARY KEY (brand_id, membership_id, charge_id),
    CONSTRAINT charges_of_membership FOREIGN KEY (brand_id, membership_id) REFERENCES memberships,
    CONSTRAINT charges_state_known CHECK (state IN ('initiated', 'succeeded', 'failed', 'skipped', 'refunded', 'disputed')),
    CONSTRAINT charges_end_not_before_start CHECK (period_end >= period_start),
    CONSTRAINT charges_amounts_not_negative CHECK (amount >= 0 AND amount_refunded >= 0)
);
CREATE INDEX IF NOT EXISTS charges_that_pay_for_nothing ON charges (brand_id) WHERE pays_for_nothing;

-- When memberships next have to be looked at. A membership has a row of its own, under its id, for ever; many that a
-- sweep left with one future share a row instead, and their own ones rest (size 0). Settling locks the row that is in
-- use; it writes only this table and what it issues.
CREATE TABLE IF NOT EXISTS schedules (
    brand_id       uuid NOT NULL,
    schedule_id    uuid NOT NULL,
    shared         boolean NOT NULL DEFAULT false,
    -- How many memberships wait by this row.
    size           integer NOT NULL DEFAULT 1,
    -- NULL: nothing can change without a new fact.
    due_at         timestamptz,
    -- NULL: never settled.
    settled_at     timestamptz,
    -- What that settling left: memberships of one fingerprint have one future until there is news of them. It is about
    -- cost, never about meaning; NULL: like no other.
    fingerprint    uuid,
    -- Counted before the work, so that a membership that kills its worker is counted too (real time).
    attempts       integer NOT NULL DEFAULT 0,
    retry_at       timestamptz,
    quarantined_at timestamptz,
    last_error     text,
    PRIMARY KEY (brand_id, schedule_id),
    CONSTRAINT schedules_size CHECK (size >= 0 AND (shared OR size <= 1)),
    CONSTRAINT schedules_shared_by_settled CHECK (NOT shared OR (settled_at IS NOT NULL AND fingerprint IS NOT NULL
        AND attempts = 0 AND num_nonnulls(retry_at, quarantined_at, last_error) = 0)),
    CONSTRAINT schedules_resting_say_nothing CHECK (shared OR size = 1 OR (attempts = 0
        AND num_nonnulls(due_at, settled_at, fingerprint, retry_at, quarantined_at, last_error) = 0))
) WITH (fillfactor = 70);
-- Few, and asked about by the console's first page.
CREATE INDEX IF NOT EXISTS schedules_quarantined ON schedules (brand_id) WHERE quarantined_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS schedules_by_instant ON schedules (brand_id, due_at)
    WHERE due_at IS NOT NULL AND quarantined_at IS NULL;

-- By which schedule each membership waits: its own, or one that it shares. No foreign key to schedules: it would be
-- asked for each row where thousands come to share one.
CREATE TABLE IF NOT EXISTS membership_schedules (
    brand_id      uuid NOT NULL,
    membership_id uuid NOT NULL,
    schedule_id   uuid NOT NULL,
    PRIMARY KEY (brand_id, membership_id),
    CONSTRAINT membership_schedules_of_membership FOREIGN KEY (brand_id, membership_id) REFERENCES memberships
) WITH (fillfactor = 85);
CREATE INDEX IF NOT EXISTS membership_schedules_shared ON membership_schedules (brand_id, schedule_id, membership_id)
    WHERE schedule_id <> membership_id;

-- Bulk work -------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS runs (
    brand_id           uuid NOT NULL REFERENCES brands,
    run_id             uuid NOT NULL,
    kind               text NOT NULL,
    state              text NOT NULL DEFAULT 'planned',
    credit_rule_id     uuid,
    membership_type_id uuid,
    membership_id      uuid,
    include_upcoming   boolean NOT NULL DEFAULT false,
    from_date          date,
    to_date            date,
    dry_run            boolean NOT NULL DEFAULT false,
    -- Of an approved plan: the dry run that it does.
    plan_id            uuid,
    -- What an undo takes back: the credits of a run, or those of a rule version that were issued at or after an instant.
    undoes_run_id      uuid,
    rule_version       integer,
    issued_from        timestamptz,
    -- It was undone before: only what is taken back now is counted.
    again              boolean NOT NULL DEFAULT false,
    -- What a preview's rule would say if it were saved at an instant (the brand's clock), and how many months it tells.
    rule               jsonb,
    as_of              timestamptz,
    months             integer,
    -- A person's words.
    reason             text,
    total              integer NOT NULL DEFAULT 0,
    created_at         timestamptz NOT NULL DEFAULT now(),
    started_at         timestamptz,
    finished_at        timestamptz,
    -- Who asked for it.
    actor              jsonb DEFAULT acting(),
    -- A manual issue that is narrowed: to these memberships, to guests who are one of these members. NULL: it is not.
    only_memberships   uuid[],
    only_members       uuid[],
    PRIMARY KEY (brand_id, run_id),
    CONSTRAINT runs_kind_known CHECK (kind IN ('sweep', 'issue', 'replay', 'undo', 'preview', 'reconcile')),
    CONSTRAINT runs_state_known CHECK (state IN ('planned', 'running', 'paused', 'finished', 'cancelled')),
    CONSTRAINT runs_issue_names_its_rule CHECK (kind <> 'issue' OR credit_rule_id IS NOT NULL),
    CONSTRAINT runs_replay_names_its_span CHECK (kind <> 'replay' OR (from_date <= to_date)),
    CONSTRAINT runs_plan_once UNIQUE (brand_id, plan_id),
    CONSTRAINT runs_of_plan FOREIGN KEY (brand_id, plan_id) REFERENCES runs,
    CONSTRAINT runs_undo_of_run FOREIGN KEY (brand_id, undoes_run_id) REFERENCES runs,
    CONSTRAINT runs_undo_names_what CHECK (num_nonnulls(undoes_run_id, issued_from) = CASE kind WHEN 'undo' THEN 1 ELSE 0 END
        AND num_nonnulls(rule_version, issued_from) <> 1 AND (issued_from IS NULL OR credit_rule_id IS NOT NULL)),
    CONSTRAINT runs_preview_says CHECK (num_nonnulls(rule, as_of, months) = CASE kind WHEN 'preview' THEN 3 ELSE 0 END),
    CONSTRAINT runs_finished_when_done CHECK ((finished_at IS NOT NULL) = (state IN ('finished', 'cancelled')))
);
-- Several schedulers may overlap: a brand has one sweep at a time whoever plans it.
CREATE UNIQUE INDEX IF NOT EXISTS runs_one_sweep_a_brand ON runs (brand_id) WHERE kind = 'sweep' AND finished_at IS NULL;
CREATE INDEX IF NOT EXISTS runs_unfinished ON runs (brand_id) WHERE finished_at IS NULL;
CREATE INDEX IF NOT EXISTS runs_latest ON runs (brand_id, created_at DESC);
-- Whether an undo found a credit whose use is cancelled: the desk waits for it.
CREATE INDEX IF NOT EXISTS runs_undoing ON runs (brand_id) WHERE kind = 'undo';

-- A run's memberships in ranges of ids. A worker claims a row, does the work and finishes the row in
-- the transaction that did it: whatever dies leaves the batch to be claimed again.
CREATE TABLE IF NOT EXISTS run_batches (
    brand_id    uuid NOT NULL,
    run_id      uuid NOT NULL,
    batch       integer NOT NULL,
    first_id    uuid NOT NULL,
    last_id     uuid NOT NULL,
    size        integer NOT NULL,
    attempts    integer NOT NULL DEFAULT 0,
    claimed_at  timestamptz,
    finished_at timestamptz,
    counts      jsonb NOT NULL DEFAULT '{}',
    -- A dry run's plan: the decisions it would have taken; an undo's: the ids of redeemed credits. And how many they are.
    plan        jsonb,
    planned     integer NOT NULL DEFAULT 0,
    -- So many of the attempts are nothing against the membership at first_id: they ended before it, or by what passes by
    -- itself.
    attempts_before integer NOT NULL DEFAULT 0,
    PRIMARY KEY (brand_id, run_id, batch),
    CONSTRAINT run_batches_of_run FOREIGN KEY (brand_id, run_id) REFERENCES runs
);
CREATE INDEX IF NOT EXISTS run_batches_unfinished ON run_batches (brand_id, run_id, batch) WHERE finished_at IS NULL;

-- Processes of 0.2.0, which may work beside newer ones, take every run for what they know: a dry run of a manual issue for
-- an issue, a narrowed one for everybody's, an undo for an issue more. They are kept from planning these and from their
-- batches.
CREATE OR REPLACE FUNCTION refuse_older_process() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF CAST(substring(current_setting('application_name') FROM '^issuance .* schema ([0-9]+)$') AS integer) < 12
       AND EXISTS (SELECT FROM runs r
                    WHERE (r.brand_id, r.run_id) = (NEW.brand_id, NEW.run_id)
                      AND (r.kind NOT IN ('sweep', 'issue', 'replay') OR (r.kind = 'issue' AND r.dry_run)
                           OR num_nonnulls(r.plan_id, r.only_memberships, r.only_members) > 0)) THEN
        RAISE EXCEPTION 'run % is none that % knows: a newer process works on it',
            NEW.run_id, current_setting('application_name');
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER runs_not_by_older BEFORE UPDATE OF state ON runs
    FOR EACH ROW WHEN (OLD.state = 'planned' AND NEW.state = 'running') EXECUTE FUNCTION refuse_older_process();
CREATE OR REPLACE TRIGGER run_batches_not_by_older BEFORE UPDATE ON run_batches
    FOR EACH ROW EXECUTE FUNCTION refuse_older_process();

-- How many credits a preview's memberships get in each month ahead, without its rule and with it.
CREATE TABLE IF NOT EXISTS run_months (
    brand_id uuid NOT NULL,
    run_id   uuid NOT NULL,
    month    text NOT NULL,
    before   bigint NOT NULL,
    after    bigint NOT NULL,
    PRIMARY KEY (brand_id, run_id, month),
    CONSTRAINT run_months_of_run FOREIGN KEY (brand_id, run_id) REFERENCES runs
);

-- Billers ---------------------------------------------------------------------------------------

-- Who sends a brand's billing by webhooks of their own, such as Stripe; each is read by an adapter (issuance/billers).
CREATE TABLE IF NOT EXISTS billers (
    brand_id      uuid NOT NULL REFERENCES brands,
    biller_id     uuid NOT NULL,
    kind          text NOT NULL,
    -- What their webhooks are signed with: one, or two while one is rotated out. Sealed (tenancy/sealing.py), as api_key is.
    secrets       bytea[] NOT NULL,
    -- With what they can be asked. NULL: they can not.
    api_key       bytea,
    -- How a `mapped` biller's webhooks are read. NULL where the adapter knows by itself.
    mapping       jsonb,
    created_at    timestamptz NOT NULL DEFAULT now(),
    -- Up to when reconcile has looked (real time). NULL: never.
    reconciled_at timestamptz,
    -- When a webhook came last that they sent by themselves, to the minute; until one does, since when one could.
    heard_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (brand_id, biller_id),
    CONSTRAINT billers_id_unique UNIQUE (biller_id),
    CONSTRAINT billers_kind_known CHECK (kind IN ('stripe', 'mapped')),
    CONSTRAINT billers_secrets_one_or_two CHECK (cardinality(secrets) BETWEEN 1 AND 2),
    CONSTRAINT billers_mapped_say_how CHECK ((mapping IS NOT NULL) = (kind = 'mapped'))
);

-- Which membership type a biller's price, or all prices of a product, is sold as.
CREATE TABLE IF NOT EXISTS biller_prices (
    brand_id           uuid NOT NULL,
    biller_id          uuid NOT NULL,
    price              text NOT NULL,
    -- NULL: it is no membership's, and is passed over.
    membership_type_id uuid,
    -- What a change to this price does to the running period (SEMANTICS 18).
    current_period     text NOT NULL DEFAULT 'keep',
    created_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (brand_id, biller_id, price),
    CONSTRAINT biller_prices_of_biller FOREIGN KEY (brand_id, biller_id) REFERENCES billers,
    CONSTRAINT biller_prices_of_type FOREIGN KEY (brand_id, membership_type_id) REFERENCES membership_types,
    CONSTRAINT biller_prices_current_period_known CHECK (current_period IN ('keep', 'switch'))
);

-- A biller's webhooks as they came, written before they are answered. Translating turns them into billing_events.
CREATE TABLE IF NOT EXISTS biller_deliveries (
    brand_id      uuid NOT NULL,
    biller_id     uuid NOT NULL,
    -- The biller's own id of it, so that one that comes twice is there once; a digest of the body where it has none.
    delivery_id   text NOT NULL,
    received_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    body          bytea NOT NULL,
    state         text NOT NULL DEFAULT 'pending',
    -- What it waits for: the biller's id of an object that is not known yet, or a price that nobody mapped.
    waits_for     text,
    -- When to look again without being woken; of one that is asked for, when to ask (real time).
    next_at       timestamptz,
    -- Why it is not translated: a code and a sentence.
    code          text,
    message       text,
    -- Counted before the work, so that one that kills its worker is counted too.
    attempts      bigint NOT NULL DEFAULT 0,
    -- By which version of the adapter.
    adapter       bigint,
    translated_at timestamptz,
    -- The request that brought it, and its place in a trace: what comes of it names them.
    request_id    text,
    traceparent   text,
    PRIMARY KEY (brand_id, biller_id, delivery_id),
    CONSTRAINT biller_deliveries_origin_short CHECK (length(request_id) <= 128 AND length(traceparent) <= 55),
    CONSTRAINT biller_deliveries_of_biller FOREIGN KEY (brand_id, biller_id) REFERENCES billers,
    CONSTRAINT biller_deliveries_state_known
        CHECK (state IN ('pending', 'translated', 'waiting', 'asking', 'unmappable', 'refused')),
    CONSTRAINT biller_deliveries_wait_for_something
        CHECK (state NOT IN ('waiting', 'asking') OR waits_for IS NOT NULL),
    CONSTRAINT biller_deliveries_look_again CHECK ((next_at IS NOT NULL) = (state IN ('waiting', 'asking'))),
    CONSTRAINT biller_deliveries_say_why
        CHECK ((code IS NOT NULL) = (state IN ('waiting', 'asking', 'unmappable', 'refused')))
) WITH (fillfactor = 70);
CREATE INDEX IF NOT EXISTS biller_deliveries_untranslated ON biller_deliveries (brand_id, biller_id, state, received_at)
    WHERE state <> 'translated';
CREATE INDEX IF NOT EXISTS biller_deliveries_waiting ON biller_deliveries (brand_id, biller_id, waits_for)
    WHERE waits_for IS NOT NULL;
CREATE INDEX IF NOT EXISTS biller_deliveries_look_again ON biller_deliveries (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS biller_deliveries_latest ON biller_deliveries (brand_id, biller_id, received_at);
CREATE INDEX IF NOT EXISTS biller_deliveries_by_age ON biller_deliveries (received_at) WHERE state IN ('translated', 'refused');

-- What is known of a biller's objects, as far as later webhooks need it: whose an invoice is, which invoice a payment
-- was for, what was told of a subscription last. It can be made again from the biller.
CREATE TABLE IF NOT EXISTS biller_objects (
    brand_id  uuid NOT NULL,
    biller_id uuid NOT NULL,
    object_id text NOT NULL,
    data      jsonb NOT NULL,
    PRIMARY KEY (brand_id, biller_id, object_id),
    CONSTRAINT biller_objects_of_biller FOREIGN KEY (brand_id, biller_id) REFERENCES billers
) WITH (fillfactor = 70);

-- What a membership is at its biller, such as 'sub_…/si_…'.
CREATE TABLE IF NOT EXISTS biller_memberships (
    brand_id      uuid NOT NULL,
    membership_id uuid NOT NULL,
    biller_id     uuid NOT NULL,
    source_ref    text NOT NULL,
    PRIMARY KEY (brand_id, membership_id),
    CONSTRAINT biller_memberships_of_biller FOREIGN KEY (brand_id, biller_id) REFERENCES billers
);
CREATE INDEX IF NOT EXISTS biller_memberships_by_ref ON biller_memberships (brand_id, source_ref);

-- What a run of the kind reconcile asks a biller for, and how far it is.
CREATE TABLE IF NOT EXISTS reconciliations (
    brand_id  uuid NOT NULL,
    run_id    uuid NOT NULL,
    biller_id uuid NOT NULL,
    -- What was made since then is listed. NULL: everything.
    since     timestamptz,
    -- The lists that are done, and the last object of the one that is under way.
    position  jsonb NOT NULL DEFAULT '{}',
    -- Of a dry run: what would come of it.
    result    jsonb,
    -- What stopped it for now.
    error     text,
    next_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (brand_id, run_id),
    CONSTRAINT reconciliations_of_run FOREIGN KEY (brand_id, run_id) REFERENCES runs,
    CONSTRAINT reconciliations_of_biller FOREIGN KEY (brand_id, biller_id) REFERENCES billers
);

-- Credits ---------------------------------------------------------------------------------------

CREATE TABLE IF NOT EXISTS credits (
    brand_id         uuid NOT NULL,
    credit_id        uuid NOT NULL,
    code             text NOT NULL,
    -- NULL, with rule_version and period_start: a grant, which a person gave under no rule.
    credit_rule_id   uuid,
    rule_version     integer,
    membership_id    uuid NOT NULL,
    -- Who is entitled to it; who holds it says transfer_id.
    guest_id         uuid NOT NULL,
    period_start     date,
    -- NULL for P0D, which has no next turn.
    period_end       date,
    -- 0 is the period's own credit; a manual issue numbers further ones 1, 2, …
    reissue          integer NOT NULL DEFAULT 0,
    coupon_id        text NOT NULL,
    coupon_name      text NOT NULL,
    roll_over        boolean NOT NULL,
    multi_use        boolean NOT NULL,
    valid_from       timestamptz NOT NULL,
    expires_at       timestamptz,
    -- The coupon's share of expires_at, fixed at issue: needed when a billing date moves.
    validity_ends_at timestamptz,
    issued_at        timestamptz NOT NULL,
    -- The run that issued it, and whether that was a manual issue (charge events do not touch those).
    run_id           uuid,
    manual           boolean NOT NULL DEFAULT false,
    uses             integer NOT NULL DEFAULT 0,
    redeemed_at      timestamptz,
    revoked_at       timestamptz,
    -- 'facts': taken back by what happened, and live again if it un-happens; 'operator': until a person reinstates it;
    -- 'archiving': for good.
    revoked_by       text,
    revoked_reason   text,
    -- The sweep's mark; time alone decides whether a credit is expired. At valid_from: it had expired when an archiving
    -- or an undo would have taken it, and no fact makes it live again.
    expired_at       timestamptz,
    -- Redeemed although its charge was taken back later: for the operator to look at.
    flagged_at       timestamptz,
    -- The use at which a multi-use credit is redeemed; NULL: it never is.
    max_uses         integer,
    -- Who revoked it, where it was not the facts.
    revoked_actor    jsonb,
    -- When a person extended it, and until when: no fact makes it expire before that.
    extended_at      timestamptz,
    extended_to      timestamptz,
    -- Its last transfer, which says who holds it; NULL: the guest.
    transfer_id      uuid,
    -- How often it was changed since it was issued, the sweep's mark aside; NULL, as mostly: never. What the API shows
    -- follows from it (issuance/credits/credits.py).
    revision         integer,
    CONSTRAINT credits_pkey PRIMARY KEY (brand_id, credit_id),
    -- Never twice: the idempotency key (SEMANTICS 8). In this order it also finds what all guests have of a period.
    CONSTRAINT credits_once UNIQUE (brand_id, membership_id, credit_rule_id, period_start, reissue, guest_id),
    CONSTRAINT credits_code_unique UNIQUE (brand_id, code),
    CONSTRAINT credits_expire_after_valid CHECK (expires_at > valid_from),
    CONSTRAINT credits_period_forward CHECK (period_end > period_start),
    CONSTRAINT credits_uses_counted CHECK (uses >= 0 AND uses <= CASE WHEN multi_use THEN max_uses ELSE 1 END),
    CONSTRAINT credits_max_uses CHECK (max_uses IS NULL OR (max_uses BETWEEN 2 AND 1000 AND multi_use)),
    CONSTRAINT credits_multi_use_redeemed_at_last CHECK (NOT multi_use
        OR (redeemed_at IS NOT NULL) = coalesce(uses = max_uses, false)),
    CONSTRAINT credits_redeemed_for_good CHECK (redeemed_at IS NULL OR (revoked_at IS NULL AND expired_at IS NULL)),
    CONSTRAINT credits_revoked_says_why CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL) AND (revoked_at IS NULL) = (revoked_by IS NULL)),
    CONSTRAINT credits_revoked_by_known CHECK (revoked_by IN ('facts', 'operator', 'archiving')),
    CONSTRAINT credits_revoked_actor_of_people CHECK (revoked_actor IS NULL OR revoked_by <> 'facts'),
    CONSTRAINT credits_of_a_rule_or_granted CHECK (num_nulls(credit_rule_id, rule_version, period_start) = 0
        OR (num_nulls(credit_rule_id, rule_version, period_start, period_end, run_id) = 5 AND manual AND roll_over AND reissue = 0)),
    CONSTRAINT credits_extended CHECK ((extended_at IS NULL) = (extended_to IS NULL) AND expires_at >= extended_to),
    CONSTRAINT credits_expired_has_expiry CHECK (expired_at IS NULL OR expires_at IS NOT NULL),
    CONSTRAINT credits_reissue_only_by_hand CHECK (reissue = 0 OR (reissue > 0 AND manual))
) WITH (fillfactor = 48);  -- room to mark every row of a page expired in place (HOT), 8 bytes longer than before

-- What credits refer to is there and stays: credits_of_guest and credits_of_version, the two foreign keys of
-- this table, asked once a statement instead of once a row, without locking what is referred to.
CREATE OR REPLACE FUNCTION credits_refer() RETURNS trigger LANGUAGE plpgsql
SET enable_nestloop = on SET enable_hashjoin = off SET enable_mergejoin = off  -- by key, not by reading all guests
AS $$
BEGIN
    IF EXISTS (SELECT FROM fresh LEFT JOIN guests USING (brand_id, membership_id, guest_id)
                WHERE guests.guest_id IS NULL) THEN
        RAISE EXCEPTION 'a credit names a guest who is not there'
              USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'credits_of_guest', TABLE = 'credits';
    END IF;
    IF EXISTS (SELECT FROM (SELECT DISTINCT brand_id, credit_rule_id, rule_version AS version FROM fresh) named
                 LEFT JOIN rule_versions v USING (brand_id, credit_rule_id, version)
                WHERE v.version IS NULL AND named.credit_rule_id IS NOT NULL) THEN
        RAISE EXCEPTION 'a credit names a rule version that is not there'
              USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'credits_of_version', TABLE = 'credits';
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER credits_refer AFTER INSERT ON credits REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION credits_refer();
-- The guests of some orders. A function, because its ROWS tells the planner what it can't know of an array: so it joins
-- them by hashing, also right after an import. VOLATILE, so that it is not inlined.
CREATE OR REPLACE FUNCTION guests_of(brand uuid, orders uuid[])
RETURNS TABLE (membership_id uuid, place integer, guest_id uuid) LANGUAGE sql VOLATILE ROWS 5000 AS $$
    SELECT g.membership_id, g.place, g.guest_id FROM guests g WHERE g.brand_id = brand AND g.membership_id = ANY(orders)
$$;
-- But for names that are forgotten.
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND current_setting('issuance.forgetting', true) = 'on' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% of % is refused: it is append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE OR REPLACE TRIGGER credits_keep_their_keys
    BEFORE UPDATE OF brand_id, membership_id, guest_id, credit_rule_id, rule_version ON credits
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();  -- for each row it would lock every row that expires
-- A change of a credit that its own statement did not count. AFTER, for a trigger BEFORE each row would lock every row that
-- expires; and all that can change but expired_at, for what expires in bulk is not counted row by row.
CREATE OR REPLACE FUNCTION count_change_of_credit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE credits SET revision = coalesce(revision, 0) + 1 WHERE (brand_id, credit_id) = (NEW.brand_id, NEW.credit_id);
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER credits_count_changes
    AFTER UPDATE OF code, period_end, valid_from, expires_at, validity_ends_at, uses, redeemed_at, revoked_at, revoked_by,
                    revoked_reason, revoked_actor, flagged_at, extended_at, extended_to, transfer_id ON credits
    FOR EACH ROW
    WHEN (NEW.revision IS NOT DISTINCT FROM OLD.revision AND
          (OLD.code, OLD.period_end, OLD.valid_from, OLD.expires_at, OLD.validity_ends_at, OLD.uses, OLD.redeemed_at,
           OLD.revoked_at, OLD.revoked_by, OLD.revoked_reason, OLD.revoked_actor, OLD.flagged_at, OLD.extended_at,
           OLD.extended_to, OLD.transfer_id) IS DISTINCT FROM
          (NEW.code, NEW.period_end, NEW.valid_from, NEW.expires_at, NEW.validity_ends_at, NEW.uses, NEW.redeemed_at,
           NEW.revoked_at, NEW.revoked_by, NEW.revoked_reason, NEW.revoked_actor, NEW.flagged_at, NEW.extended_at,
           NEW.extended_to, NEW.transfer_id))
    EXECUTE FUNCTION count_change_of_credit();
CREATE OR REPLACE TRIGGER guests_stay BEFORE DELETE OR UPDATE OF brand_id, membership_id, guest_id ON guests
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE OR REPLACE TRIGGER rule_versions_stay BEFORE DELETE OR UPDATE OF brand_id, credit_rule_id, version ON rule_versions
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- A credit goes to another holder, under a new code. What it is owed for stays with the guest who was entitled to it.
CREATE TABLE IF NOT EXISTS transfers (
    brand_id       uuid NOT NULL,
    transfer_id    uuid NOT NULL,
    credit_id      uuid NOT NULL,
    -- The one that it had until then.
    code           text NOT NULL,
    -- To a guest of an order, or to a member.
    membership_id  uuid,
    guest_id       uuid,
    member_id      uuid,
    transferred_at timestamptz NOT NULL,
    actor          jsonb DEFAULT acting(),
    PRIMARY KEY (brand_id, transfer_id),
    CONSTRAINT transfers_code_once UNIQUE (brand_id, code),
    CONSTRAINT transfers_of_credit FOREIGN KEY (brand_id, credit_id) REFERENCES credits,
    CONSTRAINT transfers_to_guest FOREIGN KEY (brand_id, membership_id, guest_id) REFERENCES guests,
    CONSTRAINT transfers_to_member FOREIGN KEY (brand_id, member_id) REFERENCES members,
    CONSTRAINT transfers_to_somebody CHECK (num_nulls(membership_id, guest_id) <> 1 AND (guest_id IS NULL) <> (member_id IS NULL))
);
CREATE INDEX IF NOT EXISTS transfers_by_member ON transfers (brand_id, member_id) WHERE member_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS transfers_by_guest ON transfers (brand_id, membership_id, guest_id) WHERE guest_id IS NOT NULL;
CREATE OR REPLACE TRIGGER transfers_append_only BEFORE UPDATE OR DELETE ON transfers
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Movements of credits that their own columns do not say, for they were taken back, restored or moved since
-- (issuance/deciding/movements.py): what a month's liability was stays so. Not a row a credit.
CREATE TABLE IF NOT EXISTS credit_movements (
    brand_id    uuid NOT NULL,
    movement_id uuid NOT NULL,
    credit_id   uuid NOT NULL,
    kind        text NOT NULL,
    -- On the brand's clock.
    at          timestamptz NOT NULL,
    -- 1, or -1 where the columns say one too many then.
    number      integer NOT NULL,
    PRIMARY KEY (brand_id, movement_id),
    CONSTRAINT credit_movements_of_credit FOREIGN KEY (brand_id, credit_id) REFERENCES credits,
    CONSTRAINT credit_movements_kind_known CHECK (kind IN ('redeemed', 'expired', 'revoked', 'restored')),
    CONSTRAINT credit_movements_number_some CHECK (number <> 0)
);
CREATE OR REPLACE TRIGGER credit_movements_append_only BEFORE UPDATE OR DELETE ON credit_movements
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Guards ----------------------------------------------------------------------------------------

-- How many credits of a rule went out when, a row a transaction, of brands that have a guard. A worker reserves what it
-- is about to issue in a transaction of its own; the one that issues it confirms the number.
CREATE TABLE IF NOT EXISTS guard_portions (
    brand_id       uuid NOT NULL REFERENCES brands,
    portion_id     uuid NOT NULL,
    credit_rule_id uuid NOT NULL,
    epoch          integer NOT NULL,
    issued_at      timestamptz NOT NULL,
    number         integer NOT NULL,
    reserved       boolean NOT NULL DEFAULT false,
    -- A person let them out: no limit counts them.
    let_out        boolean NOT NULL DEFAULT false,
    PRIMARY KEY (brand_id, portion_id),
    CONSTRAINT guard_portions_count CHECK (number > 0)
);
CREATE INDEX IF NOT EXISTS guard_portions_by_instant ON guard_portions (brand_id, credit_rule_id, issued_at);

-- What the busiest day allows a rule on a date, worked out once; NULL: it says nothing of this rule.
CREATE TABLE IF NOT EXISTS guard_limits (
    brand_id       uuid NOT NULL REFERENCES brands,
    credit_rule_id uuid NOT NULL,
    day            date NOT NULL,
    most           integer,
    PRIMARY KEY (brand_id, credit_rule_id, day)
);

-- A rule that a guard holds, until a person speaks.
CREATE TABLE IF NOT EXISTS held_rules (
    brand_id       uuid NOT NULL REFERENCES brands,
    credit_rule_id uuid NOT NULL,
    since          timestamptz NOT NULL,
    -- The limit that was reached.
    most           integer NOT NULL,
    PRIMARY KEY (brand_id, credit_rule_id),
    CONSTRAINT held_rules_of_rule FOREIGN KEY (brand_id, credit_rule_id) REFERENCES credit_rules
);

-- A credit that a guard holds or held, by its key; what was approved and refused stays as a record.
CREATE TABLE IF NOT EXISTS held_credits (
    brand_id       uuid NOT NULL,
    membership_id  uuid NOT NULL,
    credit_rule_id uuid NOT NULL,
    period_start   date NOT NULL,
    reissue        integer NOT NULL,
    guest_id       uuid NOT NULL,
    -- When it would have gone out (the brand's clock).
    held_at        timestamptz NOT NULL,
    manual         boolean NOT NULL,
    state          text NOT NULL DEFAULT 'waiting',
    -- The manual issue that asked for it.
    run_id         uuid,
    PRIMARY KEY (brand_id, membership_id, credit_rule_id, period_start, reissue, guest_id),
    CONSTRAINT held_credits_of_guest FOREIGN KEY (brand_id, membership_id, guest_id) REFERENCES guests,
    CONSTRAINT held_credits_of_rule FOREIGN KEY (brand_id, credit_rule_id) REFERENCES credit_rules,
    CONSTRAINT held_credits_state_known CHECK (state IN ('waiting', 'approved', 'refused', 'lapsed'))
);
CREATE INDEX IF NOT EXISTS held_credits_waiting ON held_credits (brand_id, credit_rule_id) WHERE state = 'waiting';

-- One use of a credit, of points, or of an offer that costs nothing.
CREATE TABLE IF NOT EXISTS redemptions (
    brand_id         uuid NOT NULL REFERENCES brands,
    redemption_id    uuid NOT NULL,
    credit_id        uuid,
    points           bigint,
    -- Who redeems (redemptions_of_member); a guest without an external id is nobody here.
    member_id        uuid,
    -- What it is for, and when, in the brand's own words; '' is nothing said.
    offer            text NOT NULL DEFAULT '',
    start_at         timestamptz,
    end_at           timestamptz,
    reference        text,
    status           text NOT NULL DEFAULT 'SUBMITTED',
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL DEFAULT now(),
    -- The offer that was named: of the brand's by its id, which may be gone since, or a credit by its code.
    offer_id         text,
    -- Grows with each change (count_change).
    revision         integer NOT NULL DEFAULT 1,
    PRIMARY KEY (brand_id, redemption_id),
    CONSTRAINT redemptions_of_credit FOREIGN KEY (brand_id, credit_id) REFERENCES credits,
    CONSTRAINT redemptions_of_something CHECK (num_nonnulls(credit_id, points) < 2
        AND num_nonnulls(credit_id, points, offer_id) > 0 AND num_nonnulls(credit_id, member_id) > 0),
    CONSTRAINT redemptions_points_of_member CHECK (points IS NULL OR (points > 0 AND member_id IS NOT NULL)),
    CONSTRAINT redemptions_end_after_start CHECK (end_at >= start_at),
    CONSTRAINT redemptions_status_known CHECK (status IN (
        'SUBMITTED', 'OPEN', 'AWAITING_VENDOR', 'AWAITING_CUSTOMER', 'PURCHASED', 'COMPLETED', 'CANCELED'))
);
CREATE INDEX IF NOT EXISTS redemptions_by_credit ON redemptions (brand_id, credit_id);
CREATE INDEX IF NOT EXISTS redemptions_latest ON redemptions (brand_id, created_at, redemption_id);
CREATE INDEX IF NOT EXISTS redemptions_by_member ON redemptions (brand_id, member_id, created_at, redemption_id);
CREATE OR REPLACE TRIGGER redemptions_count_changes BEFORE UPDATE ON redemptions
    FOR EACH ROW EXECUTE FUNCTION count_change();
-- A member books an offer once at a time.
CREATE UNIQUE INDEX IF NOT EXISTS redemptions_one_open_of_offer ON redemptions (brand_id, member_id, offer_id)
    WHERE offer_id IS NOT NULL AND status NOT IN ('COMPLETED', 'CANCELED');

-- Guests and redemptions name people who are there and stay: guests_of_member and redemptions_of_member, asked once a
-- statement. A foreign key would lock the person, whom archiving locks before orders and credits: settling and
-- redeeming, which lock those first, would wait for it in a circle.
CREATE OR REPLACE FUNCTION refer_to_members() RETURNS trigger LANGUAGE plpgsql
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
CREATE OR REPLACE TRIGGER guests_of_member AFTER INSERT ON guests REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION refer_to_members();
CREATE OR REPLACE TRIGGER guests_stay_of_members AFTER UPDATE ON guests REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION refer_to_members();
CREATE OR REPLACE TRIGGER redemptions_of_member AFTER INSERT ON redemptions REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION refer_to_members();
CREATE OR REPLACE TRIGGER redemptions_stay_of_members BEFORE UPDATE OF brand_id, member_id ON redemptions
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE OR REPLACE TRIGGER members_stay BEFORE DELETE OR UPDATE OF brand_id, member_id ON members
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Points ----------------------------------------------------------------------------------------

-- What a member's ledger adds up to. Its row is the lock that one change at a time holds; only the
-- ledger writes it (enter_in_wallet).
CREATE TABLE IF NOT EXISTS wallets (
    brand_id  uuid NOT NULL,
    member_id uuid NOT NULL,
    received  bigint NOT NULL DEFAULT 0,
    -- Spent and forfeited, less what was refunded.
    spent     bigint NOT NULL DEFAULT 0,
    -- Grows with each change (count_change).
    revision  bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (brand_id, member_id),
    CONSTRAINT wallets_of_member FOREIGN KEY (brand_id, member_id) REFERENCES members,
    CONSTRAINT wallets_never_negative CHECK (spent >= 0 AND received >= spent),
    -- Beyond 2^53 a JSON number is not exact in every client.
    CONSTRAINT wallets_exact CHECK (received <= 9007199254740991)
) WITH (fillfactor = 70);
CREATE OR REPLACE TRIGGER wallets_count_changes BEFORE UPDATE ON wallets FOR EACH ROW EXECUTE FUNCTION count_change();

-- Append-only: the balance is the sum of the amounts.
CREATE TABLE IF NOT EXISTS ledger_entries (
    brand_id         uuid NOT NULL,
    entry_id         uuid NOT NULL,
    member_id        uuid NOT NULL,
    type             text NOT NULL,
    amount           bigint NOT NULL,
    reason           text,
    redemption_id    uuid,
    created_at       timestamptz NOT NULL,
    actor            jsonb DEFAULT acting(),
    PRIMARY KEY (brand_id, entry_id),
    CONSTRAINT ledger_entries_of_wallet FOREIGN KEY (brand_id, member_id) REFERENCES wallets,
    CONSTRAINT ledger_entries_of_redemption FOREIGN KEY (brand_id, redemption_id) REFERENCES redemptions,
    CONSTRAINT ledger_entries_type_known CHECK (type IN ('credit', 'spend', 'refund', 'forfeit')),
    CONSTRAINT ledger_entries_signed CHECK (CASE WHEN type IN ('credit', 'refund') THEN amount > 0 ELSE amount < 0 END),
    CONSTRAINT ledger_entries_name_their_redemption CHECK ((redemption_id IS NOT NULL) = (type IN ('spend', 'refund'))),
    -- A redemption spends once and is refunded once.
    CONSTRAINT ledger_entries_once UNIQUE (brand_id, redemption_id, type)
);
CREATE INDEX IF NOT EXISTS ledger_entries_by_wallet
    ON ledger_entries (brand_id, member_id, created_at, entry_id);

CREATE OR REPLACE FUNCTION enter_in_wallet() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE wallets
       SET received = received + CASE WHEN NEW.type = 'credit' THEN NEW.amount ELSE 0 END,
           spent = spent - CASE WHEN NEW.type = 'credit' THEN 0 ELSE NEW.amount END
     WHERE brand_id = NEW.brand_id AND member_id = NEW.member_id;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER ledger_entries_enter_in_wallet AFTER INSERT ON ledger_entries
    FOR EACH ROW EXECUTE FUNCTION enter_in_wallet();

CREATE OR REPLACE TRIGGER ledger_entries_append_only BEFORE UPDATE OR DELETE ON ledger_entries
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Webhooks --------------------------------------------------------------------------------------

-- Where a brand's programs want to be told, and of what.
CREATE TABLE IF NOT EXISTS webhooks (
    brand_id        uuid NOT NULL REFERENCES brands,
    webhook_id      uuid NOT NULL,
    url             text NOT NULL,
    events          text[] NOT NULL,
    -- Each delivery is signed with it: no list shows it and no log. Encrypted where a key is given (docs/security.md).
    signing_secret  bytea NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    disabled_at     timestamptz,
    disabled_reason text,
    -- The first failure since something was last delivered.
    failing_since   timestamptz,
    -- One worker at a time delivers to a webhook; one that does not answer rests, so that it holds up no other.
    claimed_until   timestamptz,
    -- The secret before this one signs too, until then.
    former_secret   bytea,
    former_until    timestamptz,
    -- How long before their expiry credits are told as expiring, and since when (the brand's clock).
    leads           text[],
    leads_since     timestamptz,
    PRIMARY KEY (brand_id, webhook_id),
    CONSTRAINT webhooks_former_secret_ends CHECK ((former_secret IS NULL) = (former_until IS NULL)),
    CONSTRAINT webhooks_events_known CHECK (cardinality(events) > 0 AND events <@ ARRAY[
        'credit.issued', 'credit.expired', 'credit.redeemed', 'credit.revoked', 'credit.restored', 'credit.skipped',
        'credit.extended', 'credit.transferred', 'credit.updated', 'credit.expiring',
        'redemption.created', 'redemption.updated', 'wallet.credited', 'member.archived', 'rule.held', 'run.finished']),
    CONSTRAINT webhooks_leads_with_expiring CHECK ((leads IS NOT NULL) = ('credit.expiring' = ANY(events))
        AND (leads IS NULL) = (leads_since IS NULL) AND cardinality(leads) > 0),
    CONSTRAINT webhooks_secret_long_enough CHECK (octet_length(signing_secret) >= 24),
    CONSTRAINT webhooks_disabled_says_why CHECK ((disabled_at IS NULL) = (disabled_reason IS NULL))
);

-- The outbox: written in the transaction that made it so, where a webhook listens to it. In parts by the month (below).
CREATE TABLE IF NOT EXISTS webhook_events (
    brand_id    uuid NOT NULL REFERENCES brands,
    event_id    uuid NOT NULL,
    type        text NOT NULL,
    -- On the brand's clock.
    occurred_at timestamptz NOT NULL,
    data        jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    -- The trace that it came from, as W3C writes a place in one. NULL where nobody traces.
    traceparent text,
    -- The request that it came from. NULL where none did.
    request_id  text,
    PRIMARY KEY (brand_id, event_id),
    CONSTRAINT webhook_events_traceparent_short CHECK (length(traceparent) <= 55),
    CONSTRAINT webhook_events_request_id_short CHECK (length(request_id) <= 128)
) PARTITION BY RANGE (event_id);

-- An event's way to one webhook. Times are real ones, on sandbox brands too. In the part of its event's month, whose
-- foreign key leads to that month's events.
CREATE TABLE IF NOT EXISTS deliveries (
    brand_id     uuid NOT NULL,
    delivery_id  uuid NOT NULL,
    webhook_id   uuid NOT NULL,
    event_id     uuid NOT NULL,
    state        text NOT NULL DEFAULT 'pending',
    -- Counted before each attempt, so that one that kills its worker is counted too.
    attempts     integer NOT NULL DEFAULT 0,
    next_at      timestamptz DEFAULT now(),
    attempted_at timestamptz,
    last_status  integer,
    last_error   text,
    delivered_at timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (brand_id, delivery_id, event_id),
    CONSTRAINT deliveries_once UNIQUE (brand_id, webhook_id, event_id),
    CONSTRAINT deliveries_to_webhook FOREIGN KEY (brand_id, webhook_id) REFERENCES webhooks ON DELETE CASCADE,
    CONSTRAINT deliveries_state_known CHECK (state IN ('pending', 'delivered', 'failed')),
    CONSTRAINT deliveries_pending_has_its_time CHECK ((next_at IS NOT NULL) = (state = 'pending')),
    CONSTRAINT deliveries_delivered_when CHECK ((delivered_at IS NOT NULL) = (state = 'delivered'))
) PARTITION BY RANGE (event_id);
CREATE INDEX IF NOT EXISTS deliveries_due ON deliveries (brand_id, webhook_id, next_at) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS deliveries_by_event ON deliveries (brand_id, event_id);

-- Who did it ------------------------------------------------------------------------------------

-- What an actor changed, when and why (SEMANTICS 16): written in the transaction that changed it, never changed itself.
-- In parts by the month, which a person's command may detach (issuance audit detach).
CREATE TABLE IF NOT EXISTS audit_entries (
    brand_id   uuid NOT NULL REFERENCES brands,
    entry_id   uuid NOT NULL,
    -- Real time, and the brand's.
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    brand_time timestamptz NOT NULL,
    actor      jsonb NOT NULL DEFAULT coalesce(acting(), '{"kind": "system", "id": null, "name": null}'),
    -- noun.verb: the noun is the subject's kind.
    action     text NOT NULL,
    subject_id text NOT NULL,
    reason     text,
    -- What differs: no secrets, no codes, no personal data of members.
    before     jsonb,
    after      jsonb,
    request_id text DEFAULT nullif(current_setting('issuance.request_id', true), ''),
    PRIMARY KEY (brand_id, entry_id),
    CONSTRAINT audit_entries_actor_known CHECK (actor ->> 'kind' IN ('key', 'member', 'person', 'biller', 'system', 'command')),
    CONSTRAINT audit_entries_action_names_its_noun CHECK (action ~ '^[a-z]+(_[a-z]+)*[.][a-z]+(_[a-z]+)*$')
) PARTITION BY RANGE (entry_id);
CREATE INDEX IF NOT EXISTS audit_entries_by_subject ON audit_entries (brand_id, subject_id, entry_id);
CREATE OR REPLACE TRIGGER audit_entries_append_only BEFORE UPDATE OR DELETE ON audit_entries
    FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- Search ----------------------------------------------------------------------------------------

-- The words by which people find somebody: those of a guest's or a member's name, and e-mail addresses. In one order of
-- bytes, so that the beginning of a word is a range, whatever the database's language; >= and < leak nothing, so
-- row-level security lets them use the key, as it would not let LIKE or a full-text search.
CREATE TABLE IF NOT EXISTS search_words (
    brand_id   uuid NOT NULL,
    word       text COLLATE "C" NOT NULL,
    -- A membership, for its guests; or a member.
    subject_id uuid NOT NULL,
    of_member  boolean NOT NULL,
    PRIMARY KEY (brand_id, word, subject_id)
);

-- The words of somebody's name and the address as a whole: in lower case and without accents, whatever stands between.
-- Most names are plain ASCII, and one look at a row's text is much quicker than a regular expression.
CREATE OR REPLACE FUNCTION words_of(name text, email text) RETURNS SETOF text LANGUAGE sql IMMUTABLE AS $$
    SELECT DISTINCT left(word, 100)
      FROM unnest(string_to_array(translate(
               CASE WHEN octet_length(name) = length(name) THEN lower(name)
                    ELSE regexp_replace(lower(normalize(name, NFKD)), '[\u0300-\u036f]', '', 'g') END,
               E'\t\n\r\f,;:/()&"''._-', repeat(' ', 16)), ' ') || lower(email)) AS word
     WHERE word <> ''
$$;
-- Those of what somebody typed.
CREATE OR REPLACE FUNCTION words_of(said text) RETURNS SETOF text LANGUAGE sql IMMUTABLE AS $$
    SELECT words_of(said, NULL)
$$;
-- Who was written and whose words are not: some hundred of a statement in a row. Words are written later, by the scheduler
-- or by whoever searches, since for each of thousands who sign up at once they would cost as much as the sign-up.
CREATE TABLE IF NOT EXISTS search_backlog (
    brand_id    uuid NOT NULL,
    entry_id    bigint GENERATED ALWAYS AS IDENTITY,
    subject_ids uuid[] NOT NULL,
    of_members  boolean NOT NULL,
    -- Of the first of them the guests up to this one are written.
    after_id    uuid,
    PRIMARY KEY (brand_id, entry_id)
);

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
-- Who is called otherwise is found by that from the commit on. An order may have had thousands of guests: they are looked
-- through once for a statement, and only where somebody's name is another.
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

-- The operator's people --------------------------------------------------------------------------

-- Who signs in to the console. They belong to no brand; their roles do.
CREATE TABLE IF NOT EXISTS people (
    person_id     uuid PRIMARY KEY,
    -- In lower case.
    email         text NOT NULL,
    -- argon2id, with its salt and cost; NULL: none was chosen.
    password_hash text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    signed_in_at  timestamptz,
    -- Their account with the operator's identity provider; NULL: they did not come by it yet.
    oidc_issuer   text,
    oidc_subject  text,
    CONSTRAINT people_email_unique UNIQUE (email),
    CONSTRAINT people_email_in_lower_case CHECK (email = lower(email)),
    CONSTRAINT people_account_whole CHECK ((oidc_issuer IS NULL) = (oidc_subject IS NULL))
);
CREATE UNIQUE INDEX IF NOT EXISTS people_by_account ON people (oidc_issuer, oidc_subject);

CREATE TABLE IF NOT EXISTS roles (
    brand_id   uuid NOT NULL REFERENCES brands,
    person_id  uuid NOT NULL,
    role       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (brand_id, person_id),
    CONSTRAINT roles_of_person FOREIGN KEY (person_id) REFERENCES people,
    CONSTRAINT roles_known CHECK (role IN ('viewer', 'desk', 'manager', 'admin'))
);
CREATE INDEX IF NOT EXISTS roles_by_person ON roles (person_id);

-- Browsers that are signed in. Only the SHA-256 of what they show is kept, as with keys: it is 256 random bits.
CREATE TABLE IF NOT EXISTS sessions (
    session_hash bytea PRIMARY KEY,
    person_id    uuid NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- What people call it, such as "Firefox on Linux".
    browser      text,
    CONSTRAINT sessions_of_person FOREIGN KEY (person_id) REFERENCES people
);
CREATE INDEX IF NOT EXISTS sessions_by_person ON sessions (person_id);

-- Links that let a person in once.
CREATE TABLE IF NOT EXISTS sign_in_links (
    link_hash  bytea PRIMARY KEY,
    person_id  uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    -- By a brand's admin, not by whoever runs Issuance: it ends when its person gets a further role.
    invited    boolean NOT NULL DEFAULT true,
    CONSTRAINT sign_in_links_of_person FOREIGN KEY (person_id) REFERENCES people
);

-- Wrong passwords in a row, by the SHA-256 of the address that was typed, whether or not it is anybody's.
CREATE TABLE IF NOT EXISTS sign_in_failures (
    email_hash bytea PRIMARY KEY,
    failures   integer NOT NULL,
    failed_at  timestamptz NOT NULL
);

-- What was last found -----------------------------------------------------------------------------

-- What the last `issuance check` said of each law, for the figures that operators watch (real time).
CREATE TABLE IF NOT EXISTS verdicts (
    brand_id   uuid NOT NULL REFERENCES brands,
    law        integer NOT NULL,
    offenders  integer NOT NULL,
    checked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (brand_id, law)
);

-- The queue's leavings --------------------------------------------------------------------------

-- A queue message that could not be read: kept for the operator, its neighbours go on.
CREATE TABLE IF NOT EXISTS quarantined_messages (
    message_id  uuid PRIMARY KEY,
    queue       text NOT NULL,
    body        bytea NOT NULL,
    error       text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now()
);

-- The processes ----------------------------------------------------------------------------------

-- Each process says every few seconds that it lives, and what it has counted. Those that are gone are added up in one
-- row for each kind, so that nothing that was counted is lost. Not logged: it is worth nothing after a crash.
CREATE UNLOGGED TABLE IF NOT EXISTS heartbeats (
    process_id         uuid PRIMARY KEY,
    kind               text NOT NULL,
    queues             text[] NOT NULL DEFAULT '{}',
    host               text NOT NULL,
    pid                integer NOT NULL,
    version            text NOT NULL,
    started_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    beat_at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    connections_in_use integer NOT NULL DEFAULT 0,
    broker_away        boolean NOT NULL DEFAULT false,
    -- What it has counted: pairs of a sample's name with its labels, and a number that only grows.
    counted            jsonb NOT NULL DEFAULT '[]',
    CONSTRAINT heartbeats_kind_known CHECK (kind IN ('web', 'scheduler', 'worker')),
    CONSTRAINT heartbeats_queues_of_workers CHECK ((kind = 'worker') = (cardinality(queues) > 0))
);

-- Brands apart ----------------------------------------------------------------------------------

-- A transaction sees and writes the rows of the brand that its setting issuance.brand_id names, of all
-- brands where that is '*', of none where it names nothing. The owner is bound too (FORCE).
CREATE OR REPLACE FUNCTION keep_apart(rows_of_brands regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    -- In sub-selects, so that a statement asks once and not for each row.
    own text := $own$ brand_id = (SELECT nullif(nullif(current_setting('issuance.brand_id', true), ''), '*')::uuid)
                      OR (SELECT current_setting('issuance.brand_id', true) = '*') $own$;
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', rows_of_brands);
    EXECUTE format('DROP POLICY IF EXISTS of_one_brand ON %s', rows_of_brands);
    EXECUTE format('CREATE POLICY of_one_brand ON %s USING (%s) WITH CHECK (%s)', rows_of_brands, own, own);
END $$;

-- Months ----------------------------------------------------------------------------------------

-- The outbox, its deliveries and the audit are in parts by the month (UTC) in which an id was made, as a UUIDv7 says, so
-- that an old month goes in a moment. `…_earlier` has what is older than the first month, `…_other` the ids of months
-- that have no part. The scheduler makes the months ahead (issuance/database/months.py).

-- The least UUIDv7 of a day, in UTC.
CREATE OR REPLACE FUNCTION least_id(day date) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT CAST(rpad(lpad(to_hex(CAST(least(greatest(extract(epoch FROM day), 0) * 1000, 281474976710655) AS bigint)),
                          12, '0'), 32, '0') AS uuid)
$$;
-- The parts of a table but `…_other`, in their order, with the least id of each and that of what follows it. `…_earlier`
-- has no least one.
CREATE OR REPLACE FUNCTION parts_of(whole regclass) RETURNS TABLE (part name, since uuid, until uuid)
    LANGUAGE sql STABLE AS $$
    SELECT c.relname, CAST(substring(bounds FROM 'FROM \(''(.{36})''\)') AS uuid),
           CAST(substring(bounds FROM 'TO \(''(.{36})''\)') AS uuid)
      FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid, pg_get_expr(c.relpartbound, c.oid) AS bounds
     WHERE inhparent = whole AND bounds <> 'DEFAULT'
     ORDER BY 3
$$;
CREATE OR REPLACE FUNCTION make_part(whole text, suffix text, bounds text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    part text := whole || '_' || suffix;
BEGIN
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', part, whole);
    PERFORM keep_apart(CAST(part AS regclass));
    IF whole = 'deliveries' THEN
        -- Of one month alone, so that the two parts go without a look at other rows.
        EXECUTE format('ALTER TABLE %I ADD CONSTRAINT deliveries_of_event
                            FOREIGN KEY (brand_id, event_id) REFERENCES %I', part, 'webhook_events_' || suffix);
    END IF;
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I %s', whole, part, bounds);
END $$;
-- Makes the part of the month that begins with a day, one at a time; whether it was missing.
CREATE OR REPLACE FUNCTION make_month(whole text, first date) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$
DECLARE
    begins uuid := least_id(first);
    ends uuid := least_id(CAST(first + interval '1 month' AS date));
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('issuance months'));
    IF EXISTS (SELECT FROM parts_of(CAST(whole AS regclass)) AS there
                WHERE coalesce(there.since < ends, true) AND there.until > begins) THEN
        RETURN false;
    END IF;
    PERFORM make_part(whole, to_char(first, 'YYYY_MM'), format('FOR VALUES FROM (%L) TO (%L)', begins, ends));
    RETURN true;
END $$;
-- Drops the two parts of the outbox that are called so, of a month that is over.
CREATE OR REPLACE FUNCTION drop_month(suffix text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM parts_of('webhook_events') WHERE part = 'webhook_events_' || suffix
                      AND until <= least_id(CAST(clock_timestamp() AT TIME ZONE 'UTC' AS date))) THEN
        RAISE EXCEPTION 'no month of the outbox that is over is called %', suffix;
    END IF;
    EXECUTE format('DROP TABLE %I, %I', 'deliveries_' || suffix, 'webhook_events_' || suffix);
END $$;
-- Who may make and drop months need not own the tables: both work as their owner, where these tables are and nowhere
-- else, for those alone to whom they are granted (docs/installing.md).
DO $$
DECLARE
    theirs regprocedure;
BEGIN
    FOREACH theirs IN ARRAY ARRAY['make_month(text, date)', 'drop_month(text)']::regprocedure[] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', theirs, current_schema());
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', theirs);
    END LOOP;
END $$;
DO $$
DECLARE
    whole text;
    this date := date_trunc('month', now() AT TIME ZONE 'UTC');
BEGIN
    FOREACH whole IN ARRAY ARRAY['audit_entries', 'webhook_events', 'deliveries'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM parts_of(CAST(whole AS regclass)));
        PERFORM make_part(whole, 'earlier', format('FOR VALUES FROM (MINVALUE) TO (%L)', least_id(this)));
        PERFORM make_part(whole, 'other', 'DEFAULT');
        PERFORM make_month(whole, CAST(this + ahead * interval '1 month' AS date)) FROM generate_series(0, 2) AS ahead;
    END LOOP;
END $$;

-- Last of all, so that every table above that has a brand_id is covered; the schema is Issuance's own.
DO $$
DECLARE
    of_brands regclass;
BEGIN
    FOR of_brands IN
        SELECT c.oid FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'brand_id' AND NOT a.attisdropped
         WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
           AND NOT (c.relrowsecurity AND c.relforcerowsecurity
                    AND EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid AND polname = 'of_one_brand'))
    LOOP
        PERFORM keep_apart(of_brands);
    END LOOP;
END $$;

-- This picture is that of these migrations. A database that is older keeps what it says of itself.
INSERT INTO alembic_version (version_num)
SELECT revision FROM (VALUES ('before_0039'), ('after_0001')) AS newest (revision) WHERE NOT EXISTS (SELECT FROM alembic_version);
