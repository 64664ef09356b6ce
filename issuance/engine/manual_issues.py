"""Manual issue, as a task of a run (SEMANTICS 9, 17)."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, text

from issuance.deciding.facts import Guest, Rule
from issuance.deciding.history import History
from issuance.deciding.manual_issue import issue_by_hand
from issuance.deciding.reasons import Reason
from issuance.deciding.reminders import Listener
from issuance.engine import plans
from issuance.engine.event_facts import members_among
from issuance.engine.membership import Membership
from issuance.engine.outcome import Outcome
from issuance.engine.outcomes import outcome_of
from issuance.engine.plans import Planned, Promised
from issuance.engine.tasks import Meant, PlannedTask
from issuance.tenancy.clock import BrandClock

_NAMES = text("SELECT external_user_id FROM members WHERE brand_id = :brand_id AND member_id = ANY(:ids)")
_OWN = text("SELECT membership_id FROM memberships WHERE brand_id = :brand_id AND member_id = ANY(:ids)")


class Members(NamedTuple):
    """The members that a run is narrowed to, by the brand's ids, and the memberships that are theirs."""

    names: frozenset[str]
    own: frozenset[UUID]

    def among(self, membership: Membership, now: datetime) -> frozenset[Guest]:
        """Which guests are one of them now. If no list says who the lead booker is, it is the member."""
        said = members_among(membership.named, membership.facts.told)
        named = {one.guest_id: one.external_user_id for one in said if one.span.holds_at(now)}
        is_own = membership.membership_id in self.own
        return frozenset(
            Guest(place, lead_booker)
            for place, guest_id in enumerate(membership.guest_ids)
            for lead_booker in (False, True)
            if (named[guest_id] in self.names if guest_id in named else lead_booker and is_own)
        )


def narrowed(connection: Connection, run: Row[Any]) -> Members | None:
    """The members that a run is narrowed to; None: it is for all."""
    if run.only_members is None:
        return None
    parameters = {"brand_id": run.brand_id, "ids": run.only_members}
    return Members(frozenset(connection.scalars(_NAMES, parameters)), frozenset(connection.scalars(_OWN, parameters)))


@dataclass(frozen=True, slots=True)
class ManualIssue(PlannedTask):
    """Settle memberships, and issue a rule to their guests by hand. It counts only what it decides by hand."""

    by_hand: ClassVar[bool] = True
    credit_rule_id: UUID
    include_upcoming: bool
    #: The members that the run is narrowed to; None: it is for all.
    members: Members | None = None
    #: What an approved plan says, and nothing else; None: whatever is decided.
    promised: Promised | None = None

    def meant(self, membership: Membership, now: datetime) -> Meant:
        guests = None if self.members is None else self.members.among(membership, now)
        return Meant(guests, plans.promises(self.promised, membership))

    def begin(
        self, membership: Membership, rules: Sequence[Rule], clock: BrandClock, listeners: Collection[Listener] = ()
    ) -> Outcome:
        outcome = outcome_of(membership, rules, clock, listeners)
        outcome.counts, outcome.only_settled = Counter(), frozenset(outcome.issued)
        return outcome

    def decided(
        self, membership: Membership, meant: Meant, outcome: Outcome, rules: Sequence[Rule], clock: BrandClock
    ) -> Iterator[tuple[Reason, Planned | None]]:
        given = self._given(membership, meant, outcome, rules, clock)
        if meant.promises is None:
            yield from ((planned.reason, planned) for planned in given)
            return
        by_place: dict[int | None, Planned] = {planned.place: planned for planned in given}
        otherwise = Reason.GUEST_REMOVED if by_place else Reason.OF_ANOTHER_TYPE
        for promise in meant.promises:
            yield plans.kept(promise, by_place.get(promise.place), otherwise)

    def _given(
        self, membership: Membership, meant: Meant, outcome: Outcome, rules: Sequence[Rule], clock: BrandClock
    ) -> Iterator[Planned]:
        history = History(membership.facts, list(outcome.credits.values()), clock.now)
        guests = {guest.place: guest for guest in history.parties.now}
        for rule in rules:
            # The run is only for memberships of the rule's present type, not for those of a type that it has left.
            if rule.credit_rule_id == self.credit_rule_id and rule.latest.membership_type_id == history.types.now:
                for one in issue_by_hand(history, rule, include_upcoming=self.include_upcoming):
                    if meant.guests is None or guests[one.place] in meant.guests:
                        period = one.period_start, one.period_end
                        yield Planned(rule.credit_rule_id, rule.latest.version, one.place, *period, one.reason, one.new)
