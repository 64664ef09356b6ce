"""Links that let a person in know whether an admin's invitation made them.

What is there, and what old processes make, counts as invited: such a link ends when its person gets a further role."""

from issuance.database.schema.steps import Sql, Steps

revision = "before_0025"
down_revision = "before_0024"

RELEASE = "0.3.0"

upgrade = Steps(
    Sql("links know who made them", "ALTER TABLE sign_in_links ADD COLUMN invited boolean NOT NULL DEFAULT true"),
)
