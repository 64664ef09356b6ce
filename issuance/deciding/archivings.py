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
    """While the member that a guest is was archived: from `at` on, and until they were brought back at `until` (None:
    they are archived still). `place`: the guest's; `span`: while they are that member."""

    place: int
    at: datetime
    until: datetime | None = None
    span: Span = Span()

    def holds_at(self, instant: datetime) -> bool:
        """Whether the guest is archived at an instant."""
        return self.until is None and self.at <= instant and self.span.holds_at(instant)

    def over_since(self, now: datetime) -> datetime | None:
        """When it was over for the guest: the member was brought back, or the guest is somebody else since. None if it
        is not over, or the guest was not that member in it."""
        left = self.span.until if self.span.until is not None and self.span.until <= now else None
        ends = [end for end in (self.until, left) if end is not None]
        is_of_before = self.until is not None and self.span.since is not None and self.until <= self.span.since
        is_of_after = self.span.until is not None and self.span.until <= self.at
        return None if is_of_before or is_of_after else min(ends, default=None)
