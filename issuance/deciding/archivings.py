"""Guests who are members that are or were archived, while lists say that they are (SEMANTICS 5, 12)."""

from datetime import datetime
from typing import NamedTuple


class Span(NamedTuple):
    """From when on lists of guests say something (None: the first one did), and before when (None: they still do)."""

    since: datetime | None = None
    until: datetime | None = None

    def holds_at(self, instant: datetime) -> bool:
        """Whether they say so at an instant."""
        return (self.since is None or self.since <= instant) and (self.until is None or instant < self.until)


class GuestArchiving(NamedTuple):
    """When the member was archived, or brought back, who a guest is. `place`: the guest's; `span`: while they are that
    member."""

    place: int
    at: datetime
    span: Span = Span()
