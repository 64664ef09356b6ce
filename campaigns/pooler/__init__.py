"""A pooler before PostgreSQL: the product through PgBouncer in transaction mode."""
