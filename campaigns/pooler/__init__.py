"""A pooler before PostgreSQL: the product, and the whole suite, through PgBouncer in transaction mode."""
