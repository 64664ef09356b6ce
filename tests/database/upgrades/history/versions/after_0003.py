"""Nobody writes tickets without shown_as any more, or reads spent."""

from issuance.database.schema.steps import DropIndex, Sql, Steps

revision = "after_0003"
down_revision = "after_0001"

upgrade = Steps(
    Sql("show_ticket goes", "DROP TRIGGER show_ticket ON tickets; DROP FUNCTION show_ticket()"),
    DropIndex("tickets_spent"),
    Sql("spent goes", "ALTER TABLE tickets DROP COLUMN spent"),
)
