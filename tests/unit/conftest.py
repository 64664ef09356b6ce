"""Fixtures that several modules have."""

from tests.unit.strangers import patience, port, port_behind_proxy

__all__ = ["patience", "port", "port_behind_proxy"]
