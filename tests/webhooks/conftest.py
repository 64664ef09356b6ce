"""A brand of its own for each test."""

from tests.database.conftest import accept, brand_id, engine, rule_id, signed_up, type_id

__all__ = ["accept", "brand_id", "engine", "rule_id", "signed_up", "type_id"]
