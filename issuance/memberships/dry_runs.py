"""What events would lead to if they were loaded: they are taken in, settled on paper, and forgotten again."""

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from issuance import limits
from issuance.billing import events, inbox
from issuance.billing.events import Batch, Intake
from issuance.deciding.calendar import add_months, day_of
from issuance.deciding.decisions import Decision, decide_all, is_first
from issuance.deciding.facts import CreditKey
from issuance.deciding.forecast import forecast
from issuance.deciding.reasons import Reason
from issuance.deciding.settlement import settle, status_of
from issuance.engine import plans
from issuance.engine.event_facts import SIGNED_UP
from issuance.engine.facts import loaded
from issuance.engine.fingerprint import Fingerprints
from issuance.engine.membership import Membership
from issuance.engine.plans import Planned
from issuance.engine.rules import RuleBook
from issuance.memberships.forecasts import month_of
from issuance.tenancy import clock as clocks

_NAMES = text("""
    SELECT DISTINCT ON (credit_rule_id) credit_rule_id, coupon_name
      FROM rule_versions
     WHERE brand_id = :brand_id
     ORDER BY credit_rule_id, version DESC
""")


class Owed(NamedTuple):
    """Credits of a rule for periods that start in a month (YYYY-MM): `now` they would be issued at once, otherwise on
    their day."""

    credit_rule_id: UUID
    month: str
    now: bool


@dataclass(slots=True)
class _Paper:
    """What settling one membership would lead to."""

    status: str
    due: Counter[Owed]
    reasons: Counter[Reason]
    taken_back: int
    #: The credits that are issued at once.
    issued: list[Decision] = field(default_factory=list)


@dataclass(slots=True)
class DryRun:
    """Events that are loaded in a transaction, which its owner rolls back, and what they would lead to."""

    connection: Connection
    brand_id: UUID
    accepted: Counter[str] = field(default_factory=Counter)
    signed_up: set[UUID] = field(default_factory=set)
    touched: set[UUID] = field(default_factory=set)
    _named: set[UUID] = field(default_factory=set)

    def take(self, batch: Batch) -> Intake:
        """Take in more events."""
        intake = events.take(self.connection, self.brand_id, batch)
        refused = {remark.index for remark in intake.rejected}
        self._named.update(event.membership_id for index, event in batch.parsed.items() if index not in refused)
        self.accepted.update(event.type for event in intake.events)
        self.signed_up.update(event.membership_id for event in intake.events if event.type == SIGNED_UP)
        self.touched.update(intake.membership_ids)
        return intake

    def result(self, keep: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any]:
        """What the events would lead to at the brand's now: memberships by status, credits by rule and month, and why
        there are no others. Months go to the end of the next one, and every charge ahead is initiated on its day.
        `keep` gets a plan's row for each credit that is issued at once."""
        clock = clocks.read(self.connection, self.brand_id)
        last = add_months(day_of(clock.now, clock.zone).replace(day=1), 2) - timedelta(days=1)
        rules = RuleBook(self.connection, self.brand_id, clock.zone)
        fingerprints = Fingerprints(rules, clock)
        known: dict[Hashable, _Paper] = {}
        statuses: Counter[str] = Counter()
        due: Counter[Owed] = Counter()
        reasons: Counter[Reason] = Counter()
        taken_back = 0
        for memberships in loaded(self.connection, self.brand_id, clock.zone, sorted(self.touched)):
            for membership in memberships:
                whole = fingerprints.whole(membership)
                paper = known.get(whole) if whole is not None else None
                if paper is None:
                    paper = _settled(membership, rules, clock, last)
                    known[whole] = paper
                statuses[paper.status] += 1
                due += paper.due
                reasons += paper.reasons
                taken_back += paper.taken_back
                if keep is not None:
                    for decision in paper.issued:
                        keep(plans.row(membership, Planned.of(decision)) | {"lead_booker": decision.guest.lead_booker})
        there = inbox.known(self.connection, self.brand_id, self._named)[1].keys()
        return {
            "memberships": {
                "signed_up": len(self.signed_up),
                "known": len(there - self.signed_up),
                "waiting_for_sign_up": len(self._named - there),
                "by_status": dict(sorted(statuses.items())),
            },
            "credits": self._rows(due),
            "taken_back": taken_back,
            "reasons": {reason.value: n for reason, n in sorted(reasons.items())},
        }

    def _rows(self, owed: Counter[Owed]) -> list[dict[str, Any]]:
        names = {
            row.credit_rule_id: row.coupon_name for row in self.connection.execute(_NAMES, {"brand_id": self.brand_id})
        }
        return [
            {
                "credit_rule_id": rule_id,
                "coupon_name": names[rule_id],
                "month": month,
                "now": owed[Owed(rule_id, month, True)],
                "ahead": owed[Owed(rule_id, month, False)],
            }
            for rule_id, month in sorted({(due.credit_rule_id, due.month) for due in owed}, key=str)
        ]


def _settled(membership: Membership, rules: RuleBook, clock: clocks.BrandClock, last: date) -> _Paper:
    history = membership.history(clock.now)
    of_types = rules.of(membership.facts.types)
    due: Counter[Owed] = Counter()
    reasons: Counter[Reason] = Counter()
    at_once, issued = set[CreditKey](), list[Decision]()
    for decision in decide_all(history, of_types):
        if decision.reason is Reason.ISSUED:
            if not is_first(decision, at_once):
                continue
            issued.append(decision)
            due[Owed(decision.credit_rule_id, month_of(decision.occurrence.day), True)] += 1
        elif decision.credit is None and history.start_of(decision.occurrence.day) <= clock.now:
            reasons[decision.reason] += 1
    known = at_once.union(credit.key for credit in membership.credits)
    for day, credit in forecast(membership.facts, membership.credits, of_types, clock.now, last):
        if credit.key not in known:
            due[Owed(credit.key.credit_rule_id, month_of(day), False)] += 1
    taken_back = 0
    if membership.credits:
        bounds = limits.current.settling
        most = {"most_credits": bounds.credits, "most_ever": bounds.credits_ever}
        changes = settle(history, of_types, membership.state.settled_at, **most).change
        taken_back = sum(change.before.revoked_at is None and change.after.revoked_at is not None for change in changes)
    return _Paper(status_of(history).value, due, reasons, taken_back, issued)
