"""What a law is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

#: Offenders that one look at a law returns at most: the first hundred say what is wrong.
MOST_OFFENDERS = 100

Offender = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Law:
    """A law by its number in SEMANTICS 14.

    `find` yields, for a brand, a batch of offenders after each step of the work, empty ones too, so
    that whoever waits can be shown progress.
    """

    number: int
    name: str
    sentence: str
    find: Callable[[Connection, UUID], Iterator[list[Offender]]]
