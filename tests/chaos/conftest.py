"""The site of tests/faults."""

from tests.faults.fixture import site

__all__ = ["site"]
