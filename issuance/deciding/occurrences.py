"""The occurrences of a rule for a membership, and the version in force for each (SEMANTICS 3, 4)."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import UUID

from issuance.deciding.facts import Credit, Rule, RuleVersion
from issuance.deciding.frequency import IssuingFrequency
from issuance.deciding.history import History
from issuance.deciding.reasons import Reason
from issuance.deciding.releases import Release, Releases


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One occurrence of a rule: its date, and the period that its credit is for.

    `day` is its date in the chain; `period_start` is its key, which for P0D is the membership's start whatever
    billing period it rides on. `reason` is why it gives nothing, None if it is owed.
    """

    day: date
    #: How often the rule's version issues.
    frequency: IssuingFrequency
    period_start: date
    period_end: date | None
    scheduled_at: datetime
    version: RuleVersion | None
    release: Release
    reason: Reason | None
    #: Of P0D: the earlier billing dates that it would have ridden on if they had been released.
    passed_over: tuple[date, ...] = ()

    @property
    def is_once(self) -> bool:
        """Whether it is that of a P0D rule, the only one ever."""
        return self.frequency is IssuingFrequency.ONCE


def version_in_force(
    rule: Rule, scheduled_at: datetime, released_at: Callable[[RuleVersion], datetime]
) -> RuleVersion | None:
    """The highest version created by the time the occurrence was scheduled, or saved with
    include_upcoming by the time it was released (SEMANTICS 4). `released_at`: when it was, by a version's period."""
    for version in reversed(rule.versions):
        if version.created_at <= scheduled_at:
            return version
        if version.include_upcoming and version.created_at <= released_at(version):
            return version
    return None


def versions_that_count(rule: Rule, signed_up_at: datetime) -> tuple[RuleVersion, ...]:
    """The versions that can be in force for any occurrence of a membership: the last one that was there when it was
    signed up, and those that were saved then or later."""
    before = sum(version.created_at < signed_up_at for version in rule.versions)
    return rule.versions[max(before - 1, 0) :]


def occurrences(history: History, releases: Releases, rule: Rule, last_day: date) -> Iterator[Occurrence]:
    """All occurrences of `rule` from the sign-up, or the history's horizon, to `last_day` (inclusive), in order.

    Where versions differ in frequency their dates form one chain, and a date takes place only if it is
    on the calendar of the version in force for it.
    """
    versions = rule.versions if history.horizon is None else versions_that_count(rule, history.signed_up_at)
    if history.horizon is not None and versions[-1].frequency is IssuingFrequency.ONCE:
        return  # its only occurrence was before
    days_of = {version.frequency: _days(history, version.frequency, last_day) for version in versions}
    days = sorted(frozenset[date]().union(*days_of.values()))
    scheduled_at = history.signed_up_at
    if history.horizon is not None:
        settled = bisect_left(days, history.horizon.day)
        scheduled_at = max(history.start_of(days[settled - 1]), history.signed_up_at)
        days = days[settled:]
    once: Occurrence | None = None  # P0D is one occurrence, whichever billing period it rides on
    passed_over: list[date] = []
    for day in days:
        version = _undisturbed(history, releases, rule, day, scheduled_at)
        took_place = True
        if version is None:
            shown = next(known for known in versions if day in days_of[known.frequency])
            took_place = any(
                known.created_at <= history.start_of(day) and day in days_of[known.frequency] for known in versions
            )
            release = releases.on(day, shown.frequency.interval)
            reason: Reason | None = Reason.VERSION_NOT_IN_FORCE
        elif day in days_of[version.frequency]:
            shown = version
            release = releases.on(day, version.frequency.interval)
            reason = _reason(history, day, version, release)
        else:
            continue

        frequency = shown.frequency
        if frequency is not IssuingFrequency.ONCE:
            end = history.calendar.next_boundary(frequency.interval, day)
            yield Occurrence(day, frequency, day, end, scheduled_at, version, release, reason)
        elif day == history.starts_on or rides_later(history, shown):
            candidate = Occurrence(
                day, shown.frequency, history.starts_on, None, scheduled_at, version, release, reason
            )
            if reason is not None and reason is release.reason:
                passed_over.append(day)
            elif once is None or once.reason is not None:
                candidate = replace(candidate, passed_over=tuple(passed_over))
            once = _which_speaks(once, candidate)
        if took_place:
            scheduled_at = max(history.start_of(day), history.signed_up_at)
    if once is not None:
        yield once


def _undisturbed(
    history: History, releases: Releases, rule: Rule, day: date, scheduled_at: datetime
) -> RuleVersion | None:
    """The version in force for an occurrence. A version can be saved at the very instant of an occurrence while the
    clock stands still. It does not change what was issued before it: a credit that is out is not rewritten (SEMANTICS
    6)."""

    def released_at(version: RuleVersion) -> datetime:
        if day == history.starts_on:
            return history.signed_up_at  # whatever has held its credit back since
        return releases.on(day, version.frequency.interval).first or _latest_release(history, rule, day)

    version = version_in_force(rule, scheduled_at, released_at)
    if version is None:
        return None
    if version.created_at not in (scheduled_at, releases.on(day, version.frequency.interval).first):
        return version

    def gave(credit: Credit) -> bool:
        is_once = credit.period_end is None
        # A P0D credit does not say which billing period it rides on. It can be none that was released after its issue.
        # The day of its key says nothing if the start was moved since.
        rides = is_once and released_at(version) <= credit.issued_at == version.created_at
        return rides or (credit.key.period_start == day and (day == history.starts_on or not is_once))

    out = [
        credit.rule_version
        for credit in history.credits
        if credit.key.credit_rule_id == rule.credit_rule_id and not credit.manual and gave(credit)
    ]
    return rule.version(min(version.version, *out)) if out else version


def _latest_release(history: History, rule: Rule, day: date) -> datetime:
    """The latest instant at which a version can be saved for an occurrence that is not released: now, or the start of
    the next occurrence (by the versions that are there by then) if that is earlier. A version that is saved later does
    not change what took place."""
    ends_at = history.now
    for version in rule.versions:
        if version.created_at > ends_at:
            break
        ends_at = min(ends_at, history.start_of(history.calendar.next_boundary(version.frequency.interval, day)))
    return ends_at


def _which_speaks(once: Occurrence | None, candidate: Occurrence) -> Occurrence:
    """Which of two billing periods a P0D rule goes by: the first that is owed, otherwise the later one unless it is
    only not due yet."""
    if once is None:
        return candidate
    if once.reason is None:
        return once
    if candidate.reason is Reason.NOT_DUE_YET and once.reason not in (Reason.NOT_SIGNUP_RULE, Reason.OF_ANOTHER_TYPE):
        return once
    return candidate


def _days(history: History, frequency: IssuingFrequency, last_day: date) -> frozenset[date]:
    known = history.calendar.boundaries_past(frequency.interval, last_day)
    return frozenset(day for day in known if day <= last_day or day == history.starts_on)


def rides_later(history: History, version: RuleVersion) -> bool:
    """Whether a P0D version may ride on a billing period after the sign-up: always without issue_on_signup or where the
    sign-up was for another type; with it, where it was saved with include_upcoming after they had signed up."""
    return (
        not version.issue_on_signup
        or version.membership_type_id != history.types.signed_up
        or (version.include_upcoming and history.signed_up_at < version.created_at)
    )


def _reason(history: History, day: date, version: RuleVersion, release: Release) -> Reason | None:
    """Why an occurrence with a version in force gives nothing to anyone, or None if it is owed."""
    if version.membership_type_id != _type_of(history, day, version.frequency):
        return history.types.reason_against(version.membership_type_id)
    if day == history.starts_on and not version.issue_on_signup:
        return Reason.NOT_SIGNUP_RULE
    return release.reason


def _type_of(history: History, day: date, frequency: IssuingFrequency) -> UUID:
    """The membership type by whose rules an occurrence goes that starts on `day`. The sign-up's is always the type that
    was signed up for, and no P0D occurrence is running when the type changes (SEMANTICS 18)."""
    if day == history.starts_on or not history.types.have_changed:
        return history.types.signed_up
    if frequency is IssuingFrequency.ONCE:
        return history.types.of_day(day)
    return history.types.of_period(day, history.calendar.next_boundary(frequency.interval, day))
