"""The calendar against two oracles: PostgreSQL's own interval arithmetic, and one written from scratch."""
