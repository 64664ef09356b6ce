"""Compares the calendar with two oracles: PostgreSQL's interval arithmetic, and a calendar written from scratch."""
