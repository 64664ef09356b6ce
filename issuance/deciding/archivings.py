"""Guests of whom lists say that they are members, and who are or were archived (SEMANTICS 5, 12)."""

from datetime import datetime
from typing import NamedTuple


class Span(NamedTuple):
    """While lists of guests say something: since an instant (None: since the first list), and until another (None:
    still)."""

    since: datetime | None = None
    until: datetime | None = None

    def holds_at(self, instant: datetime) -> bool:
        """Whether they say so at an instant."""
        return (self.since is None or self.since <= instant) and (self.until is None or instant < self.until)


class GuestArchiving(NamedTuple):
    """When the member that a guest is was archived, or brought back. `place`: the guest's; `span`: while they are that
    member."""

    place: int
    at: datetime
    span: Span = Span()
