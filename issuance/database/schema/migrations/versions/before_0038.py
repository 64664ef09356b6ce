"""Undos are found among a brand's runs.

Old processes only write one more index."""

from issuance.database.schema.steps import Index, Steps

revision = "before_0038"
down_revision = "before_0037"

RELEASE = "0.3.0"

upgrade = Steps(
    Index("runs_undoing", "runs", "(brand_id) WHERE kind = 'undo'"),
)
