"""How tables say their columns."""

from typing import Any

from sqlalchemy import Column, DateTime, MetaData

metadata = MetaData()

Instant = DateTime(timezone=True)


def key(name: str, kind: Any) -> Column[Any]:
    """A column of the primary key."""
    return Column(name, kind, primary_key=True)


def must(name: str, kind: Any) -> Column[Any]:
    """A column that always says something."""
    return Column(name, kind, nullable=False)


def may(name: str, kind: Any) -> Column[Any]:
    """A column that may say nothing."""
    return Column(name, kind, nullable=True)
