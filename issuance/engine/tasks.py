"""What is done with one membership: settled, issued to by hand, replayed. How it is loaded, guarded and written is the
same for all: that is the pipeline."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import ClassVar, NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from issuance import limits
from issuance.deciding.facts import Guest, HeldState, Rule
from issuance.deciding.reasons import Reason
from issuance.deciding.reminders import Listener
from issuance.deciding.settlement import CreditLimit
from issuance.engine import plans
from issuance.engine.facts import loaded
from issuance.engine.membership import Membership
from issuance.engine.outcome import Outcome
from issuance.engine.outcomes import outcome_of
from issuance.engine.plans import Plan, Planned, Promise
from issuance.engine.rules import RuleBook
from issuance.tenancy import clock as clocks
from issuance.tenancy.clock import BrandClock


class Meant(NamedTuple):
    """What a task knows of one membership by ids, said by its guests' places."""

    #: The guests that the task is for; None: all.
    guests: frozenset[Guest] | None = None
    #: What an approved plan says is issued, and nothing else; None: whatever is decided.
    promises: tuple[Promise, ...] | None = None


class Task:
    """What is done with each membership: it is settled, and nothing else. Those of runs do more.

    Memberships of equal facts of which the same is `meant` are decided once. So `decide` must ask for no ids: not of
    the membership, not of its guests, charges and credits.
    """

    #: Whether it issues by hand. Its run is stamped on such credits only, otherwise on scheduled ones only.
    by_hand: ClassVar[bool] = False
    #: Whether the membership is settled by it. Otherwise its news stays, and it is only due sooner if it was given
    #: something.
    settles: ClassVar[bool] = True
    #: Whether it may ask for what began before the horizon, so that the membership is loaded whole.
    looks_back: ClassVar[bool] = False

    def meant(self, membership: Membership, now: datetime) -> Meant:  # noqa: ARG002 - for tasks that know ids
        """What the task knows of a membership by ids, at the clock's `now`."""
        return Meant()

    def decide(
        self,
        membership: Membership,
        meant: Meant,  # noqa: ARG002 - for tasks that know ids
        rules: Sequence[Rule],
        clock: BrandClock,
        listeners: Collection[Listener] = (),
    ) -> Outcome:
        """What becomes of a membership now. `rules`: all of its types; `listeners`: who is told of credits that expire
        soon."""
        return outcome_of(membership, rules, clock, listeners)


SETTLE = Task()


class PlannedTask(Task, ABC):
    """A task that counts its own decisions, and can say them as a plan without doing them."""

    looks_back: ClassVar[bool] = True

    @abstractmethod
    def begin(
        self, membership: Membership, rules: Sequence[Rule], clock: BrandClock, listeners: Collection[Listener] = ()
    ) -> Outcome:
        """What is so before the task decides; it has counted nothing."""

    @abstractmethod
    def decided(
        self, membership: Membership, meant: Meant, outcome: Outcome, rules: Sequence[Rule], clock: BrandClock
    ) -> Iterator[tuple[Reason, Planned | None]]:
        """The task's decisions, each with the reason it is counted under; None where nothing is decided any more about
        what was promised. `outcome`: how the task began."""

    def decide(
        self,
        membership: Membership,
        meant: Meant,
        rules: Sequence[Rule],
        clock: BrandClock,
        listeners: Collection[Listener] = (),
    ) -> Outcome:
        outcome = self.begin(membership, rules, clock, listeners)
        approved = {held.key for held in membership.facts.held if held.state is HeldState.APPROVED} - outcome.lapsed
        bounds = limits.current.settling
        for reason, planned in self.decided(membership, meant, outcome, rules, clock):
            if reason is Reason.ISSUED:
                assert planned is not None, "what is issued was decided"
                assert planned.new is not None, "what is issued has a credit"
                if len(membership.credits) >= bounds.credits_ever:
                    raise CreditLimit
                if not self.settles and len(outcome.issued) >= bounds.credits:
                    outcome.due_at = clock.now  # the next sweep goes on
                    break
                outcome.issue(planned.new)
                if planned.new.key in approved:
                    outcome.let_out.add(planned.new.key)
            outcome.counts[reason] += 1
        return outcome


def plan(
    connection: Connection, brand_id: UUID, membership_ids: Sequence[UUID], task: PlannedTask
) -> tuple[Counter[Reason], Plan]:
    """What a task would do with memberships, on paper. Counts by reason, and as much of the plan as a batch keeps."""
    clock = clocks.read(connection, brand_id, lock=True)
    rules = RuleBook(connection, brand_id, clock.zone)
    counts: Counter[Reason] = Counter()
    rows: Plan = []
    for memberships in loaded(connection, brand_id, clock.zone, membership_ids):
        for membership in memberships:
            of_types = rules.of(membership.facts.types)
            outcome = task.begin(membership, of_types, clock)
            for reason, planned in task.decided(
                membership, task.meant(membership, clock.now), outcome, of_types, clock
            ):
                counts[reason] += 1
                if planned is not None and len(rows) < plans.most_rows(reason):
                    rows.append(plans.row(membership, planned))
    return counts, rows
