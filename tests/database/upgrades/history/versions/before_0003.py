"""Tickets keep how they are shown; old processes go on writing them without it."""

from issuance.database.schema.steps import Backfill, Index, Sql, Steps, Validate, kept_apart, not_null

revision = "before_0003"
down_revision = "before_0002"

RELEASE = "0.3.0"

upgrade = Steps(
    Sql("add shown_as", "ALTER TABLE tickets ADD COLUMN shown_as text"),
    Sql(
        "fill it in what is written from now on",
        """
        CREATE FUNCTION show_ticket() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.shown_as := coalesce(NEW.shown_as, 'No ' || NEW.number);
            RETURN NEW;
        END $$;
        CREATE TRIGGER show_ticket BEFORE INSERT OR UPDATE ON tickets FOR EACH ROW EXECUTE FUNCTION show_ticket();
        """,
    ),
    Backfill(
        "fill it in what is there",
        table="tickets",
        key=("brand_id", "ticket_id"),
        # Counted, so that a test sees a row that a batch wrote twice. A % and braces are nothing special.
        statement="""
            UPDATE tickets SET writes = writes + 1
             WHERE {range} AND number NOT LIKE '%{}%'
        """,
    ),
    Sql(
        "what is shown is long enough, from now on",
        "ALTER TABLE tickets ADD CONSTRAINT tickets_shown CHECK (char_length(shown_as) > 1) NOT VALID",
    ),
    Validate("tickets", "tickets_shown"),
    *not_null("tickets", "shown_as"),
    Index("tickets_by_shown", "tickets", "(brand_id, shown_as)", unique=True),
    Sql(
        "venues",
        """
        CREATE TABLE venues (
            brand_id uuid NOT NULL REFERENCES brands,
            venue_id uuid NOT NULL,
            PRIMARY KEY (brand_id, venue_id)
        )
    """,
    ),
    kept_apart("venues"),
)
