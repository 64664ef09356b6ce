"""Which credits one rule owes one membership at one `now` (SEMANTICS 3, 4, 5, 18), and why not the others (13)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime

from campaigns.model.reading import Reading
from campaigns.model.releases import Release
from campaigns.model.standing import BEGINNING
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
    #: Of a P0D turn: those before that it would have ridden on, had they been out.
    passed: tuple[Release, ...] = ()


@dataclass
class Turn:
    """A date on some version's calendar; `blockers` are the reasons that keep it from giving anything."""

    day: date
    version: Version | None
    out: bool
    blockers: set[str] = field(default_factory=set)
    took_place: bool = True


def calendar_of(version: Version, reading: Reading) -> list[date]:
    return reading.calendar.days(version.issuing_frequency)


def end_of(version: Version, reading: Reading, day: date) -> date | None:
    """The end of a turn's period; a P0D turn has none."""
    if version.issuing_frequency == "P0D":
        return None
    return reading.calendar.next(version.issuing_frequency, day)


def stamps(issued: list[Credit]) -> dict[date, int]:
    """The version numbers that scheduled credits are out under, by the turns they ride on."""
    return {credit.turn: credit.version.number for credit in issued if not credit.manual}


def release_of(version: Version, reading: Reading, day: date) -> Release:
    key = (day, version.issuing_frequency)
    if key not in reading.known_releases:
        reading.known_releases[key] = Release(reading, *key)
    found: Release = reading.known_releases[key]
    return found


def _lapse(versions: list[Version], reading: Reading, day: date) -> datetime:
    """Until when a save still counts for a turn that has not been released: the next turn ends that. A date that only
    a version saved later brought is no turn yet."""
    lapse = reading.now
    for number, version in enumerate(versions):
        if version.created <= lapse:
            frequencies = {each.issuing_frequency for each in versions[: number + 1]}
            following = min(reading.calendar.next(frequency, day) for frequency in frequencies)
            lapse = min(lapse, reading.midnight(following))
    return lapse


def _in_force(
    versions: list[Version], reading: Reading, day: date, scheduled: datetime, out: int | None
) -> Version | None:
    """Section 4; but a version saved at the very instant that counts rewrites nothing that is `out` under another."""
    lapse: datetime | None = None
    for version in reversed(versions):
        latest = scheduled
        if version.include_upcoming and day == reading.starts_on:
            latest = max(scheduled, reading.sign_up.time)
        elif version.include_upcoming:
            released = release_of(version, reading, day).released
            if released is None:
                lapse = lapse or _lapse(versions, reading, day)
            latest = max(scheduled, released or lapse or scheduled)
        if version.created < latest or (version.created == latest and (out is None or out >= version.number)):
            return version
    return None


def turns(versions: list[Version], reading: Reading, until: datetime, out: dict[date, int]) -> list[Turn]:
    """The chain of turns up to `until`: the version in force for each, whether it is released and not taken back.

    `out`: the version numbers under which credits of some turns are out.
    """
    versions = [version for version in versions if version.made <= reading.now and not version.deleted]
    days = sorted({day for version in versions for day in calendar_of(version, reading)})
    previous = reading.starts_on
    chain = []
    for day in days:
        start = reading.midnight(day)
        if start > until and day != reading.starts_on:
            break
        scheduled = reading.sign_up.time
        if day != reading.starts_on:
            scheduled = max(scheduled, reading.midnight(previous))
        version = _in_force(versions, reading, day, scheduled, out.get(day))
        if version is None:
            existing = [each for each in versions if each.created <= start]
            took_place = any(day in calendar_of(each, reading) for each in existing)
            turn = Turn(day, None, False, {"version_not_in_force"}, took_place)
        else:
            release = release_of(version, reading, day)
            turn = Turn(day, version, release.out, release.blockers(), day in calendar_of(version, reading))
            if not turn.took_place:
                turn.blockers.add("version_not_in_force")
            elif version.membership_type != reading.type_of_turn(day, end_of(version, reading, day)):
                turn.blockers |= {"version_not_in_force", "of_another_type"}
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
    passed: list[Release] = []
    for turn in turns(versions, reading, reading.now, out):
        version = turn.version
        if version is None or turn.blockers & {"version_not_in_force", "of_another_type"}:
            continue
        sign_up = turn.day == reading.starts_on
        once = version.issuing_frequency == "P0D"
        if sign_up and not version.issue_on_signup:
            continue
        if once and (ridden or (not sign_up and not rides_later(version, reading))):
            continue
        if not turn.out or turn.blockers:
            passed += [release_of(version, reading, turn.day)] if once else []
            continue
        ridden = ridden or once
        start = reading.midnight(turn.day)
        period_start = reading.starts_on if once else turn.day
        guests = reading.sign_up_party() if sign_up else reading.party(start)
        for guest in guests:
            if guest.lead_booker or not version.for_lead_booker_only:
                end = end_of(version, reading, turn.day)
                due = Owed(guest.label, period_start, end, start, version, turn.day, tuple(passed))
                found.setdefault((guest.label, period_start), []).append(due)
    return found


def gives_nothing(chain: list[Turn], reading: Reading, credit: Credit) -> bool:
    """Section 7: whether the turn that a credit rode on gives its guest nothing by what is known now, though they were
    on the order still, and the membership of the type."""
    turn = next((each for each in chain if each.day == credit.turn), None)
    if turn is None or turn.version is None or not turn.took_place or not turn.out:
        return True
    if turn.blockers - {"version_not_in_force", "of_another_type"}:
        return True
    if turn.day == reading.starts_on and not turn.version.issue_on_signup:
        return True
    start = BEGINNING if turn.day == reading.starts_on else reading.midnight(turn.day)
    then = [party for since, party in reading.parties if since <= start][-1]
    return not any(
        guest.label == credit.guest and (guest.lead_booker or not turn.version.for_lead_booker_only) for guest in then
    )


def stands_for(reading: Reading, version: Version, guest: str, period_start: date, own: list[Credit]) -> Credit | None:
    """Section 7: the rule's credit for a start that was moved, which stands for that of the sign-up, or of P0D."""
    once = version.issuing_frequency == "P0D"
    if period_start != reading.starts_on:
        return None
    days = [] if once else calendar_of(version, reading)
    taken = next((one for one in own if (one.guest, one.period_start, one.reissue) == (guest, period_start, 0)), None)

    def is_gone(credit: Credit) -> bool:
        """For good, and not while the occurrence's own was out."""
        since = credit.revoked_at if credit.revoked else credit.expires_at
        late = taken is None or since is None or taken.revoked_at is None or since >= taken.revoked_at
        return (credit.revoked in ("operator", "archiving") or credit.over) and late

    found = [
        credit
        for credit in own
        if (credit.guest, credit.reissue) == (guest, 0)
        and credit.period_start in reading.former_starts
        and credit.period_start not in days
        and (credit.manual or credit.extended_to or (once and credit.uses > 0) or is_gone(credit))
    ]
    return max(found, key=lambda credit: credit.period_start, default=None)


def period_start_of(credit: Credit, reading: Reading) -> date:
    """The start of the period that a credit is for. Of a start that was moved, P0D is for the start as it is now, and
    what was given by hand for the period that ran then."""
    once = credit.version.issuing_frequency == "P0D"
    days = [] if once else calendar_of(credit.version, reading)
    if credit.period_start not in reading.former_starts or credit.period_start in days:
        return credit.period_start
    if once:
        return reading.starts_on
    if not credit.manual:
        return reading.starts_on if credit.extended_to else credit.period_start
    passed = [day for day in days if day <= reading.local_date(credit.issued_at)]
    return passed[-1] if passed else reading.starts_on


def rides_later(version: Version, reading: Reading) -> bool:
    """Whether a P0D version may ride on a billing period after the sign-up's."""
    upcoming = version.include_upcoming and version.created > reading.sign_up.time
    return not version.issue_on_signup or upcoming or version.membership_type != reading.first_type


def used_before(reading: Reading, one: Owed, held: list[Credit]) -> bool:
    """Section 18: whether the guest has used a credit of the coupon under another type in a period that was running
    when the type changed, as `one`'s was."""

    def used(credit: Credit, change_day: date) -> bool:
        return (
            (credit.guest, credit.version.coupon) == (one.guest, one.version.coupon)
            and credit.uses > 0
            and credit.version.membership_type != one.version.membership_type
            and credit.period_end is not None
            and period_start_of(credit, reading) != reading.starts_on
            and credit.period_start <= change_day < credit.period_end
        )

    days = [reading.local_date(change.time) for change in reading.changes_during(one.turn, one.period_end)]
    return any(used(credit, day) for day in days for credit in held)
