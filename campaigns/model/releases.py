"""When one occurrence of a membership was released, and whether it is taken back by now (SEMANTICS 3 and 7)."""

from __future__ import annotations

from datetime import date, datetime
from functools import cached_property
from itertools import pairwise

from campaigns.model.charges import PAYING, Charge
from campaigns.model.reading import Reading
from campaigns.model.standing import ENDED, GONE


class Release:
    """What became of the turn that starts on `day` on a frequency's calendar. `released`: when it first was."""

    def __init__(self, reading: Reading, day: date, frequency: str) -> None:
        self.reading, self.day = reading, day
        self.sign_up = day == reading.starts_on
        self.start = reading.midnight(day)
        self.end = reading.calendar.instant(frequency, reading.calendar.next(frequency, day))
        self.charges: list[Charge] = [each for each in reading.charges.values() if each.pays_for(frequency, day)]
        self.released: datetime | None = None
        #: Whether it was out, instant by instant.
        self.changes: list[tuple[datetime, bool]] = []
        self.out = False
        self.start_status = reading.status_at(self.start)
        self._walk()

    def _walk(self) -> None:
        reading = self.reading
        if self.start > reading.now and not self.sign_up:
            return
        first = reading.sign_up.time if self.sign_up else max(self.start, reading.sign_up.time)
        instants = {since for since, _ in reading.standings.all} | {first, self.start}
        instants |= {time for charge in self.charges for _, time, _ in reading.states[charge.id]}
        for instant in sorted(each for each in instants if first <= each <= reading.now):
            standing = reading.standings.at(instant)
            waits = reading.standings.waits_at(instant)
            charged = self._charged(instant)
            lets = self._lets(instant)
            if self.released is None:
                if charged and lets and not waits and (self.sign_up or standing.status != "upcoming"):
                    self.released, self.out = instant, True
            elif not charged or not lets:
                self.out = False
            elif not self.out and ("succeeded" in charged or not waits):
                self.out = True
            self.changes.append((instant, self.out))

    def was_out(self, instant: datetime) -> bool:
        """Whether it was released, and not taken back, at an instant up to now."""
        return [False, *(out for since, out in self.changes if since <= instant)][-1]

    def _lets(self, instant: datetime) -> bool:
        """Whether pauses and ends let it be: what counts is the status at its start, or who paid later."""
        return self.start_status not in GONE or any(paid <= instant for paid in self._paid_later)

    @cached_property
    def _paid_later(self) -> list[datetime]:
        """When it was paid within the period, after its start, at a time at which the status allowed it."""
        return [
            time
            for charge in self.charges
            for (_, _, before), (_, time, state) in pairwise([(0, self.start, ""), *self.reading.states[charge.id]])
            if state != before
            and state in PAYING
            and self.start < time < self.end
            and self.reading.status_at(time) not in GONE
        ]

    def _charged(self, instant: datetime) -> set[str]:
        """The states that release the turn; empty where it is not released."""
        states = self.states(instant)
        if self.sign_up and not states:
            return {"succeeded"}
        outstanding = self.reading.standings.at(instant).outstanding
        troubled = [outstanding[charge.id] for charge in self.charges if charge.id in outstanding]
        return {
            state
            for state, since in states.values()
            if state == "succeeded" or (state == "initiated" and all(since < number for number in troubled))
        }

    def states(self, instant: datetime) -> dict[str, tuple[str, int]]:
        """By covering charge, its state at an instant, and the number of the fact since which it is in it."""
        found: dict[str, tuple[str, int]] = {}
        for charge in self.charges:
            for number, time, state in self.reading.states[charge.id]:
                if time <= instant and found.get(charge.id, ("", 0))[0] != state:
                    found[charge.id] = (state, number)
        return found

    def blockers(self) -> set[str]:
        reading, reasons = self.reading, set()
        if self.start > reading.now and not self.sign_up:
            reasons.add("not_due_yet")
        gone = not self._paid_later
        if self.start_status == "paused" and gone:
            reasons.add("membership_paused")
        if self.start_status in ENDED and gone:
            reasons.add("membership_ended")
        if not self.out:
            standing = reading.standings.at(reading.now)
            if not self._charged(reading.now):
                skipped = any(state == "skipped" for state, _ in self.states(reading.now).values())
                reasons |= {"charge_unpaid"} | ({"charge_skipped"} if skipped else set())
            if standing.trouble or standing.status in GONE:
                reasons.add("needs_attention")
            if standing.status == "upcoming":
                reasons.add("not_billed_yet")
        return reasons
