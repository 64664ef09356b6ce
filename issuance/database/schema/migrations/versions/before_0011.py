"""The operator's people, their roles and their sessions (INTERFACE 12). Old processes do not know them."""

from issuance.database.schema.steps import Sql, Steps, kept_apart

revision = "before_0011"
down_revision = "before_0010"

RELEASE = "0.3.0"

upgrade = Steps(
    Sql(
        "people and their sessions",
        """
        CREATE TABLE people (
            person_id     uuid PRIMARY KEY,
            email         text NOT NULL,
            password_hash text,
            created_at    timestamptz NOT NULL DEFAULT now(),
            signed_in_at  timestamptz,
            CONSTRAINT people_email_unique UNIQUE (email),
            CONSTRAINT people_email_in_lower_case CHECK (email = lower(email))
        );
        CREATE TABLE roles (
            brand_id   uuid NOT NULL REFERENCES brands,
            person_id  uuid NOT NULL,
            role       text NOT NULL,
            created_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (brand_id, person_id),
            CONSTRAINT roles_of_person FOREIGN KEY (person_id) REFERENCES people,
            CONSTRAINT roles_known CHECK (role IN ('viewer', 'desk', 'manager', 'admin'))
        );
        -- squawk-ignore require-concurrent-index-creation
        CREATE INDEX roles_by_person ON roles (person_id);
        CREATE TABLE sessions (
            session_hash bytea PRIMARY KEY,
            person_id    uuid NOT NULL,
            created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
            seen_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
            CONSTRAINT sessions_of_person FOREIGN KEY (person_id) REFERENCES people
        );
        -- squawk-ignore require-concurrent-index-creation
        CREATE INDEX sessions_by_person ON sessions (person_id);
        CREATE TABLE sign_in_links (
            link_hash  bytea PRIMARY KEY,
            person_id  uuid NOT NULL,
            expires_at timestamptz NOT NULL,
            CONSTRAINT sign_in_links_of_person FOREIGN KEY (person_id) REFERENCES people
        );
        CREATE TABLE sign_in_failures (
            email_hash bytea PRIMARY KEY,
            -- squawk-ignore prefer-bigint-over-int
            failures   integer NOT NULL,
            failed_at  timestamptz NOT NULL
        );
        """,
    ),
    kept_apart("roles"),
)
