"""Which credits one rule owes one membership at one `now` (SEMANTICS 3, 4, 5), and why the others are not owed (13)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime

from campaigns.model.reading import ENDED, PAYING, Reading
from campaigns.model.words import Credit, Version


@dataclass(frozen=True)
class Owed:
    """A credit that is due: its key's `period_start`, and the start of the turn it rides on."""

    guest: str
    period_start: date
    period_end: date | None
    start: datetime
    version: Version
    turn: date


@dataclass
class Turn:
    """A date on some version's calendar; `blockers` are the reasons that keep it from giving anything."""

    day: date
    version: Version | None
    released: datetime | None
    out: bool
    blockers: set[str] = field(default_factory=set)
    took_place: bool = True


class Release:
    """What became of the turn that starts on `day`: when it was released, and whether it is taken back by now."""

    def __init__(self, reading: Reading, day: date) -> None:
        self.reading, self.day = reading, day
        self.sign_up = day == reading.starts_on
        self.start = reading.midnight(day)
        self.released: datetime | None = None
        self.out = False
        self.start_status = reading.status_at(self.start)
        self._walk()

    def _walk(self) -> None:
        reading = self.reading
        instants = {fact.time for fact in reading.facts + reading.charges}
        instants |= {since for since, _ in reading.statuses} | {self.start, reading.sign_up.time, reading.now}
        for instant in sorted(instants):
            if not reading.sign_up.time <= instant <= reading.now:
                continue
            if not self.sign_up and instant < self.start:
                continue
            charged = self._charged(instant)
            attention = reading.status_at(instant) == "needs_attention"
            if self.released is None:
                if charged and not attention and self.start_status not in ("paused", *ENDED):
                    self.released, self.out = instant, True
            elif self.out and not charged:
                self.out = False
            elif not self.out and charged and ("succeeded" in charged or not attention):
                self.out = True

    def _charged(self, instant: datetime) -> set[str]:
        """The states that release the turn; empty where it is not released."""
        states = self.reading.covering(self.day, instant)
        if self.sign_up and not states:
            return {"succeeded"}
        return states & set(PAYING)

    def blockers(self) -> set[str]:
        reading, reasons = self.reading, set()
        if self.start > reading.now and not self.sign_up:
            reasons.add("not_due_yet")
        if self.start_status == "paused":
            reasons.add("membership_paused")
        if self.start_status in ENDED:
            reasons.add("membership_ended")
        if not self.out:
            states = reading.covering(self.day, reading.now)
            if not self._charged(reading.now):
                reasons |= {"charge_unpaid"} | ({"charge_skipped"} if "skipped" in states else set())
            if reading.status_at(reading.now) == "needs_attention":
                reasons.add("needs_attention")
            if reading.status_at(reading.now) == "upcoming":
                reasons.add("not_billed_yet")
        return reasons


def calendar_of(version: Version, reading: Reading) -> list[date]:
    return reading.calendar(version.issuing_frequency)


def stamps(issued: list[Credit]) -> dict[date, int]:
    """The version numbers that scheduled credits are out under, by the turns they ride on."""
    return {credit.turn: credit.version.number for credit in issued if not credit.manual}


def _in_force(version: Version, scheduled: datetime, released: datetime, out: int | None) -> bool:
    """Section 4; but a version saved at the very instant that counts rewrites nothing that is `out` under another."""
    latest = max(scheduled, released) if version.include_upcoming else scheduled
    return version.created < latest or (version.created == latest and (out is None or out >= version.number))


def _lapse(versions: list[Version], reading: Reading, day: date) -> datetime:
    """Until when a save still counts for a turn that has not been released: the next turn ends that. A date that only
    a version saved later brought is no turn yet."""
    lapse = reading.now
    for number, version in enumerate(versions):
        following = {boundary for each in versions[: number + 1] for boundary in calendar_of(each, reading)}
        starts = [reading.midnight(boundary) for boundary in following if boundary > day]
        if version.created <= lapse:
            lapse = min([lapse, *starts])
    return lapse


def turns(versions: list[Version], reading: Reading, until: datetime, out: dict[date, int]) -> list[Turn]:
    """The chain of turns up to `until`: the version in force for each, whether it is released and not taken back.

    `out`: the version numbers under which credits of some turns are out.
    """
    versions = [version for version in versions if version.created <= reading.now and not version.deleted]
    days = sorted({day for version in versions for day in calendar_of(version, reading)})
    previous = reading.starts_on
    chain = []
    for day in days:
        start = reading.midnight(day)
        if start > until and day != reading.starts_on:
            break
        release = reading.known_releases.get(day) or Release(reading, day)
        reading.known_releases[day] = release
        scheduled = reading.sign_up.time
        if day != reading.starts_on:
            scheduled = max(scheduled, reading.midnight(previous))
        released = release.released or _lapse(versions, reading, day)
        in_force = [version for version in versions if _in_force(version, scheduled, released, out.get(day))]
        version = in_force[-1] if in_force else None
        turn = Turn(day, version, release.released, release.out, release.blockers())
        if version is None:
            turn.blockers.add("version_not_in_force")
            existing = [each for each in versions if each.created <= start]
            turn.took_place = any(day in calendar_of(each, reading) for each in existing)
        else:
            turn.took_place = day in calendar_of(version, reading)
            if version.membership_type != reading.membership_type or not turn.took_place:
                turn.blockers.add("version_not_in_force")
        if turn.took_place:
            previous = day
        chain.append(turn)
    return chain


def owed(versions: list[Version], reading: Reading, out: dict[date, int]) -> dict[tuple[str, date], list[Owed]]:
    """Every credit that is due now, by (guest, period_start), deletion aside. A key has more than one where the
    sign-up and, under a version of another frequency, a P0D turn mean the same period: one credit, for the first
    of them that has any time left."""
    found: dict[tuple[str, date], list[Owed]] = {}
    ridden = False
    for turn in turns(versions, reading, reading.now, out):
        version = turn.version
        if version is None or not turn.out or turn.blockers:
            continue
        sign_up = turn.day == reading.starts_on
        once = version.issuing_frequency == "P0D"
        if sign_up and not version.issue_on_signup:
            continue
        if once and ridden:
            continue
        upcoming = version.include_upcoming and version.created > reading.sign_up.time
        if once and not sign_up and version.issue_on_signup and not upcoming:
            continue
        ridden = ridden or once
        start = reading.midnight(turn.day)
        period_start = reading.starts_on if once else turn.day
        period_end = None if once else reading.next_boundary(version.issuing_frequency, turn.day)
        guests = reading.sign_up_party() if sign_up else reading.party(start)
        for guest in guests:
            if guest.lead_booker or not version.for_lead_booker_only:
                due = Owed(guest.name, period_start, period_end, start, version, turn.day)
                found.setdefault((guest.name, period_start), []).append(due)
    return found
