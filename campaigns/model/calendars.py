"""The boundaries of one membership (SEMANTICS 2), and what a moved billing date does to them (7)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from datetime import date, datetime

from campaigns.model.times import local_date, mean_days, midnight, plus, plus_months, series, steps
from campaigns.model.words import Fact

#: P0D rides on billing periods, so its calendar is theirs.
BILLED = ("billing_cycle", "P0D")


class Calendar:
    """Boundaries by the sign-up's terms and some moves, from `starts_on` to well past `until`."""

    def __init__(
        self, timezone: str, starts_on: date, anchor: date, frequency: str, moves: Iterable[Fact], until: date
    ) -> None:
        self.timezone, self.starts_on, self.anchor, self.frequency = timezone, starts_on, anchor, frequency
        self.moves = list(moves)
        last = max([starts_on, anchor, until, *(move.data["billing_anchor"] for move in self.moves)])
        billed = [frequency, *(move.data.get("billing_frequency") or frequency for move in self.moves)]
        longest = max(months for _, months in map(steps, billed)) // 12
        self.until = date(last.year + max(8, 5 * longest), 1, 1)  # credits roll over by up to three periods
        self._days: dict[str, list[date]] = {}
        self._instants: dict[str, dict[date, datetime]] = {}

    def days(self, frequency: str) -> list[date]:
        """All boundaries for one `issuing_frequency`."""
        if frequency not in self._days:
            self._days[frequency], self._instants[frequency] = self._draw(frequency)
        return self._days[frequency]

    def _draw(self, frequency: str) -> tuple[list[date], dict[date, datetime]]:
        billed, billing = frequency in BILLED, self.frequency
        days = {self.starts_on, *series(self.anchor, billing if billed else frequency, self.until)}
        brought: dict[date, datetime] = {}
        for move in self.moves:
            anchor, today = move.data["billing_anchor"], local_date(self.timezone, move.time)
            billing = move.data.get("billing_frequency") or billing
            kept = {day for day in days if day <= today or day == self.starts_on}
            if billed or mean_days(frequency) <= mean_days(billing):
                fresh: Iterable[date] = series(anchor, billing if billed else frequency, self.until)
            else:
                running = max(day for day in kept if day <= today or day == self.starts_on)
                end = min(day for day in days if day > running)
                fresh = self._in_rhythm(anchor, billing, frequency, end)
            new = {day for day in fresh if day > self.starts_on and day >= today}
            if today in new and today not in days:
                brought[today] = move.time
            days = kept | new
        return sorted(days), brought

    def _in_rhythm(self, anchor: date, billing: str, frequency: str, end: date) -> Iterable[date]:
        """From the first new boundary on or after `end` on, in the rule's own frequency."""
        turns = next(k for k, day in enumerate(series(anchor, billing, self.until)) if day >= end)
        (weeks, months), (_, own) = steps(billing), steps(frequency)
        number = 0
        while True:
            base = anchor if months else plus(anchor, billing, turns)
            day = plus_months(base, (turns * months if not weeks else 0) + number * own)
            if day > self.until:
                return
            yield day
            number += 1

    def within(self, frequency: str, start: date, end: date) -> list[date]:
        days = self.days(frequency)
        return days[bisect_left(days, start) : bisect_left(days, end)]

    def next(self, frequency: str, day: date) -> date:
        days = self.days(frequency)
        return days[bisect_right(days, day)]

    def instant(self, frequency: str, day: date) -> datetime:
        """When a boundary comes: its midnight; of a date that was moved to its own day, the event's time."""
        self.days(frequency)
        return self._instants[frequency].get(day) or midnight(self.timezone, day)

    def next_start(self, instant: datetime) -> datetime:
        """The first billing boundary after an instant."""
        days = self.days("billing_cycle")
        later = days[bisect_left(days, local_date(self.timezone, instant)) :]
        return next(start for day in later if (start := self.instant("billing_cycle", day)) > instant)
