"""What the facts about one membership say, seen at one `now` (SEMANTICS 2, 5 and 7)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime
from itertools import count, takewhile
from typing import Any

from campaigns.model.times import MONTHS, local_date, midnight, plus_months
from campaigns.model.words import Fact, Guest

BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
ENDED = ("cancelled", "expired")
PAYING = ("initiated", "succeeded")


class Reading:
    """One membership's facts whose `time` has come, whatever order they arrived in."""

    def __init__(self, timezone: str, automatic: bool, facts: Iterable[Fact], now: datetime) -> None:
        self.timezone = timezone
        self.now = now
        self.facts = sorted((fact for fact in facts if fact.time <= now), key=lambda fact: fact.order)
        self.sign_up = next(fact for fact in self.facts if fact.kind == "membership.signed_up")
        self.membership = self.sign_up.membership
        self.membership_type: str = self.sign_up.data["membership_type"]
        self.starts_on: date = self.sign_up.data["starts_on"]
        self.anchor: date = self.sign_up.data.get("billing_anchor") or self.starts_on
        self.billing_frequency: str = self.sign_up.data["billing_frequency"]
        self._known_calendars: dict[str, list[date]] = {}
        self._known_charges: dict[datetime, list[tuple[date, date, str]]] = {}
        #: What became of turns, by date, for all rules (see `owed`).
        self.known_releases: dict[date, Any] = {}
        self.charges = [fact for fact in self.facts if fact.kind.startswith("charge.")]
        if automatic:
            self.charges = sorted(self.charges + self._automatic_charges(), key=lambda fact: fact.order)
        self.statuses = self._statuses(self.charges)

    def midnight(self, day: date) -> datetime:
        return midnight(self.timezone, day)

    # -- calendar (2) and billing date moved (7)

    def calendar(self, frequency: str) -> list[date]:
        """Boundaries from `starts_on` to well past `now`. P0D can ride on billing periods, so it has theirs."""
        if frequency not in self._known_calendars:
            months = MONTHS[self.billing_frequency if frequency in ("billing_cycle", "P0D") else frequency]
            self._known_calendars[frequency] = sorted({self.starts_on} | self._anchored(months))
        return self._known_calendars[frequency]

    def _anchored(self, months: int) -> set[date]:
        moves = [fact for fact in self.facts if fact.kind == "membership.billing_date_moved"]
        anchors = [self.anchor] + [move.data["billing_anchor"] for move in moves]
        until = plus_months(max([*anchors, local_date(self.timezone, self.now)]), 26)

        def series(anchor: date) -> set[date]:
            return set(takewhile(lambda day: day <= until, (plus_months(anchor, k * months) for k in count())))

        days = series(self.anchor)
        for move in moves:
            anchor = move.data["billing_anchor"]
            kept = {day for day in days if self.midnight(day) <= move.time}
            # The first period is one from an anchor on that lies before it.
            new = {max(day, self.starts_on) for day in series(anchor) if day > self.starts_on or day == anchor}
            days = kept | {day for day in new if self.midnight(day) > move.time}
        return days

    def next_boundary(self, frequency: str, day: date) -> date:
        return next(boundary for boundary in self.calendar(frequency) if boundary > day)

    def next_billing_start(self, instant: datetime) -> datetime:
        starts = (self.midnight(day) for day in self.calendar("billing_cycle"))
        return next(start for start in starts if start > instant)

    # -- charges (7)

    def _automatic_charges(self) -> list[Fact]:
        statuses = self._statuses([])
        made = []
        for day in sorted(self._anchored(MONTHS[self.billing_frequency])):
            start = self.midnight(day)
            if start > self.now:
                break
            end = self.next_boundary("billing_cycle", day)
            if self.midnight(end) <= self.sign_up.time:
                continue
            if self._at(statuses, start) in ("paused", *ENDED):
                continue
            data = {"charge": f"auto {day}", "period_start": day, "period_end": end}
            made.append(Fact(f"{day} a", start, "charge.initiated", self.membership, data, "automatic"))
            made.append(Fact(f"{day} b", start, "charge.succeeded", self.membership, data, "automatic"))
        return made

    def covering(self, day: date, instant: datetime) -> set[str]:
        """The states, at `instant`, of the charges whose period holds `day`."""
        if instant not in self._known_charges:
            self._known_charges[instant] = self._charges_at(instant)
        return {state for start, end, state in self._known_charges[instant] if start <= day < end}

    def _charges_at(self, instant: datetime) -> list[tuple[date, date, str]]:
        """Each charge known at `instant`: its period, and the state its latest event then gave it."""
        states: dict[str, str] = {}
        amounts: dict[str, int] = {}
        for fact in self.charges:
            if fact.time > instant:
                break
            charge, state = fact.data["charge"], fact.kind.removeprefix("charge.")
            if fact.data.get("amount") is not None:
                amounts[charge] = fact.data["amount"]
            if state == "refunded":
                refunded = fact.data.get("amount_refunded")
                if refunded is not None and (charge not in amounts or refunded < amounts[charge]):
                    continue
            states[charge] = state
        latest = {fact.data["charge"]: fact.data for fact in self.charges if fact.data["charge"] in states}
        found = []
        for charge, data in latest.items():
            start = data["period_start"]
            found.append((start, data.get("period_end") or self.next_boundary("billing_cycle", start), states[charge]))
        return found

    # -- status (7)

    def status_at(self, instant: datetime) -> str:
        return self._at(self.statuses, instant)

    @staticmethod
    def _at(statuses: list[tuple[datetime, str]], instant: datetime) -> str:
        return [status for since, status in statuses if since <= instant][-1]

    def _statuses(self, charges: list[Fact]) -> list[tuple[datetime, str]]:
        """Every status the membership had and since when, the announced end (`ends_on`) included."""
        statuses = [(BEGINNING, "upcoming")]
        outstanding: set[str] = set()
        announced: tuple[datetime, str] | None = None
        changes = [fact for fact in self.facts if fact.kind == "membership.status_changed"]
        for fact in sorted(changes + charges, key=lambda fact: fact.order):
            # A status that is told at the very instant of an announced end is the later word of the two.
            told = fact.kind == "membership.status_changed"
            if announced and (announced[0] < fact.time or (announced[0] == fact.time and not told)):
                statuses.append(announced)
                announced = None
            status = statuses[-1][1]
            if fact.kind == "membership.status_changed":
                announced = None
                status = fact.data["status"]
                ends_on = fact.data.get("ends_on")
                if status in ENDED and ends_on is not None:
                    end = self.midnight(ends_on)
                    if end > fact.time:
                        announced = (end, status)
                    else:
                        statuses = [each for each in statuses if each[0] < end] + [(end, status)]
                    continue
                if status == "active":
                    outstanding.clear()
            else:
                charge, state = fact.data["charge"], fact.kind.removeprefix("charge.")
                if state in ("failed", "disputed"):
                    outstanding.add(charge)
                    if status in ("upcoming", "active"):
                        status = "needs_attention"
                if state in PAYING and status == "upcoming":
                    status = "active"
                if state == "succeeded" and charge in outstanding:
                    outstanding.remove(charge)
                    if not outstanding and status == "needs_attention":
                        status = "active"
            statuses.append((fact.time, status))
        return statuses + ([announced] if announced else [])

    # -- guests (5)

    def parties(self) -> list[tuple[datetime, list[Guest]]]:
        changes = [fact for fact in self.facts if fact.kind == "membership.guests_changed"]
        first: list[Guest] = self.sign_up.data.get("guests") or [Guest(f"{self.membership} member", True)]
        return [(BEGINNING, first)] + [(fact.time, fact.data["guests"]) for fact in changes]

    def party(self, instant: datetime) -> list[Guest]:
        """The guests on the order at `instant` who have stayed on it until now."""
        parties = self.parties()
        then = [party for since, party in parties if since <= instant][-1]
        later = [{guest.name for guest in party} for since, party in parties if since > instant]
        return [guest for guest in then if all(guest.name in names for names in later)]

    def sign_up_party(self) -> list[Guest]:
        return self.party(BEGINNING)
