"""The restore drill: a database is lost and restored to an earlier instant; then the later events are loaded again."""
