"""Put right what the laws found missing: issue what is owed, wake what would sleep on. Nothing is taken away."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from sqlalchemy import Connection

from issuance import audit
from issuance.engine import runs, schedules
from issuance.laws import owed, settled
from issuance.laws.law import Offender
from issuance.tenancy import clock


@dataclass(slots=True)
class Repair:
    """What is to be repaired on one brand."""

    days: set[date] = field(default_factory=set)
    rules: set[UUID] = field(default_factory=set)
    memberships: set[UUID] = field(default_factory=set)
    asleep: set[UUID] = field(default_factory=set)

    def note(self, found: Mapping[int, Iterable[Offender]]) -> None:
        """Take note of what a look at the laws found."""
        for offender in found.get(owed.LAW.number, ()):
            self.days.add(offender["period_start"])
            self.rules.add(offender["credit_rule_id"])
            self.memberships.add(offender["membership_id"])
        for offender in found.get(settled.LAW.number, ()):
            if "must_be_due_at" in offender:
                self.asleep.add(offender["membership_id"])

    def start(self, connection: Connection, brand_id: UUID) -> UUID | None:
        """Wake what sleeps, and start a replay over what is missing, narrowed to what that has in common; the run's
        id. Hint at the run after the commit."""
        if self.asleep:
            schedules.wake(connection, brand_id, sorted(self.asleep), clock.read(connection, brand_id).now)
        if not self.days:
            if self.asleep:
                audit.write(connection, brand_id, "brand.repaired", brand_id, after={"woken": len(self.asleep)})
            return None
        return runs.start_replay(
            connection,
            brand_id,
            credit_rule_id=self._rule(connection, brand_id),
            membership_id=_only(self.memberships),
            first=min(self.days),
            last=max(self.days),
            dry_run=False,
        )

    def _rule(self, connection: Connection, brand_id: UUID) -> UUID | None:
        """The rule that all of it is of; None: it is of several, or was deleted since it was looked at."""
        only = _only(self.rules)
        return only if only is not None and runs.is_rule(connection, brand_id, only) else None


def _only(ids: set[UUID]) -> UUID | None:
    return next(iter(ids)) if len(ids) == 1 else None
