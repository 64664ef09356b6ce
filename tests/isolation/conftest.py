"""Brands of their own for each test."""

from tests.database.conftest import brand_id, engine

__all__ = ["brand_id", "engine"]
