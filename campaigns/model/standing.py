"""The status of one membership over time: pauses, ends, announced ends, and trouble with charges (SEMANTICS 7)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

from campaigns.model.charges import PAYING, Charge
from campaigns.model.words import Fact

BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
ENDED = ("cancelled", "expired")
GONE = ("paused", *ENDED)
STATUS = "membership.status_changed"


@dataclass(frozen=True)
class Standing:
    """What stands from an instant on. Trouble may stand under a pause or an end."""

    status: str
    trouble: bool
    #: The outstanding charges, each with the number of the fact since which it is.
    outstanding: Mapping[str, int]


class Standings:
    """Every standing that a membership had, and the runs of `initiated` and `succeeded` of its charges."""

    def __init__(
        self,
        facts: list[Fact],
        charges: Mapping[str, Charge],
        states: Mapping[int, str],
        midnight: Callable[[date], datetime],
    ) -> None:
        """`states`: by the number of a fact of a charge, the state that it brings; a fact without one brings none."""
        self.charges, self.states, self.midnight = charges, states, midnight
        self.upcoming, self.told = True, False
        #: A pause or an end; what a status event says takes its place.
        self.stands: str | None = None
        #: What stood when it ended: that stands again if the end is put off.
        self.before: str | None = None
        self.announced: tuple[datetime, str] | None = None
        self.outstanding: dict[str, int] = {}
        self.state: dict[str, str] = {}
        self.all: list[tuple[datetime, Standing]] = [(BEGINNING, self._present())]
        for number, fact in enumerate(facts):
            self._end(fact.time)
            if fact.kind == STATUS:
                self._told(fact)
            elif number in states:
                self._charged(fact.data["charge"], states[number], number)
            else:
                continue
            self._note(fact.time)
        self._end(datetime.max.replace(tzinfo=UTC))

    def at(self, instant: datetime) -> Standing:
        return self.all[bisect_right(self.all, instant, key=lambda each: each[0]) - 1][1]

    def waits_at(self, instant: datetime) -> bool:
        """Whether what is paid waits: since trouble came, which a pause or an end leaves as it was."""
        waits = False
        for since, standing in self.all:
            if since > instant:
                break
            waits = waits if standing.status in GONE else standing.trouble
        return waits

    def _present(self) -> Standing:
        trouble = self.told or bool(self.outstanding)
        status = self.stands or ("needs_attention" if trouble else "")
        return Standing(status or ("upcoming" if self.upcoming else "active"), trouble, dict(self.outstanding))

    def _note(self, instant: datetime) -> None:
        if self.all[-1][1] != self._present():
            self.all.append((instant, self._present()))

    def _end(self, instant: datetime) -> None:
        """An announced end that has come by an instant."""
        if self.announced and self.announced[0] <= instant:
            (since, status), self.announced = self.announced, None
            self._gone(status)
            self._note(since)

    def _gone(self, status: str) -> None:
        """It ends."""
        self.before = self.before if self.stands in ENDED else self.stands
        self.stands = status

    def _told(self, fact: Fact) -> None:
        status, ends_on = fact.data["status"], fact.data.get("ends_on")
        if status == "active":
            if not (self.stands or self.told or self.outstanding):
                self.announced = None
            self.stands, self.told, self.outstanding = None, False, {}
        elif status == "needs_attention":
            self.stands, self.told = None, True
        elif status == "paused":
            self.stands = status
        elif ends_on is None:
            self.announced = None
            self._gone(status)
        elif self.stands in ENDED and self.midnight(ends_on) > fact.time:
            self.stands = self.before
        if ends_on is not None:
            kind = status if status in ENDED else "cancelled"
            end = self.midnight(ends_on)
            if end > fact.time:
                self.announced = (end, kind)
            else:
                self.announced = None
                self._gone(kind)
        elif "ends_on" in fact.data and status not in ENDED:
            self.announced = None
        if status not in ENDED:
            self.upcoming = False

    def _charged(self, charge: str, state: str, number: int) -> None:
        own = self.charges[charge]
        if own.beside:
            return
        self.state[charge] = state
        if state in PAYING:
            self.upcoming = False
        if state in ("failed", "disputed"):
            others = [other for name, other in self.charges.items() if name != charge]
            paid = any(self.state.get(each.id) == "succeeded" and own.same_period(each) for each in others)
            if not paid:
                self.outstanding.setdefault(charge, number)
        elif state != "initiated":
            settled = {charge}
            if state == "succeeded":
                settled |= {name for name in self.outstanding if self.charges[name].same_period(own)}
            self._settle(settled)

    def _settle(self, settled: set[str]) -> None:
        before = len(self.outstanding)
        self.outstanding = {name: since for name, since in self.outstanding.items() if name not in settled}
        if before and not self.outstanding:
            self.told = False
