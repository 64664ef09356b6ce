"""Which membership type's rules an occurrence goes by (SEMANTICS 18)."""

from collections.abc import Iterable
from datetime import date, datetime
from uuid import UUID

from issuance.deciding.calendar import day_of
from issuance.deciding.facts import MembershipFacts, TypeChanged
from issuance.deciding.reasons import Reason


class Types:
    """A membership's types over time. `changes` are in the order in which they happened."""

    def __init__(self, facts: MembershipFacts, changes: Iterable[TypeChanged]) -> None:
        self._signed_up = facts.membership_type_id
        self._signed_up_automatic = facts.automatic
        self._changes = [(day_of(change.moment.at, facts.zone), change) for change in changes]

    @property
    def now(self) -> UUID:
        """The type of today."""
        return self._changes[-1][1].membership_type_id if self._changes else self._signed_up

    @property
    def signed_up(self) -> UUID:
        """The type that the membership was signed up for."""
        return self._signed_up

    @property
    def have_changed(self) -> bool:
        """Whether the type was ever changed."""
        return bool(self._changes)

    @property
    def known(self) -> frozenset[UUID]:
        """All types that it ever had."""
        return frozenset([self._signed_up, *(change.membership_type_id for _, change in self._changes)])

    def reason_against(self, membership_type_id: UUID) -> Reason:
        """Why a rule of a type that it does not go by gives nothing: it had the type at some time, or never."""
        return Reason.OF_ANOTHER_TYPE if membership_type_id in self.known else Reason.VERSION_NOT_IN_FORCE

    @property
    def ever_automatic(self) -> bool:
        """Whether any of them has `billing: automatic`."""
        return self._signed_up_automatic or any(change.automatic for _, change in self._changes)

    def is_automatic_at(self, instant: datetime) -> bool:
        """Whether the type of an instant has `billing: automatic`."""
        automatic = self._signed_up_automatic
        for _, change in self._changes:
            if change.moment.at <= instant:
                automatic = change.automatic
        return automatic

    def of_day(self, day: date) -> UUID:
        """The type by whose rules occurrences go that begin on a date. The sign-up's does not go by it."""
        found = self._signed_up
        for changed_on, change in self._changes:
            if changed_on <= day:
                found = change.membership_type_id
        return found

    def of_period(self, start: date, end: date) -> UUID:
        """The type by whose rules a rule's period [start, end) goes: that of its start, unless a change switched it
        while it was running."""
        found = self.of_day(start)
        for changed_on, change in self._changes:
            if change.switches and start < changed_on < end:
                found = change.membership_type_id
        return found

    def changes_within(self, start: date, end: date) -> Iterable[date]:
        """The dates of changes of type at which a period [start, end) was running or began."""
        return (changed_on for changed_on, _ in self._changes if start <= changed_on < end)
