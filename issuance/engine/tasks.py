"""What is done with one membership: settled, issued to by hand. How it is loaded, guarded and written is the same for
all: that is the pipeline."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import ClassVar, NamedTuple

from issuance.deciding.facts import Guest, Rule
from issuance.deciding.reminders import Listener
from issuance.engine.facts import Membership
from issuance.engine.outcomes import Outcome, outcome_of
from issuance.engine.plans import Promise
from issuance.tenancy.clock import BrandClock


class Meant(NamedTuple):
    """What a task knows of one membership by ids, said by its guests' places."""

    #: The guests that the task is for; None: all.
    guests: frozenset[Guest] | None = None
    #: What an approved plan says is issued, and nothing else; None: whatever is decided.
    promises: tuple[Promise, ...] | None = None


class Task(ABC):
    """What is done with each membership.

    Memberships of equal facts of which the same is `meant` are decided once. So `decide` must ask for no ids: not of
    the membership, not of its guests, charges and credits.
    """

    #: Whether it issues by hand. Its run is stamped on such credits only, otherwise on scheduled ones only.
    by_hand: ClassVar[bool] = False

    def meant(self, membership: Membership) -> Meant:  # noqa: ARG002 - for tasks that know memberships by ids
        """What the task knows of a membership by ids."""
        return Meant()

    @abstractmethod
    def decide(
        self,
        membership: Membership,
        meant: Meant,
        rules: Sequence[Rule],
        clock: BrandClock,
        listeners: Collection[Listener] = (),
    ) -> Outcome:
        """What becomes of a membership now. `rules`: all of its types; `listeners`: who is told of credits that expire
        soon."""


class Settle(Task):
    """Settling, and nothing else."""

    def decide(
        self,
        membership: Membership,
        meant: Meant,  # noqa: ARG002 - it is for everybody
        rules: Sequence[Rule],
        clock: BrandClock,
        listeners: Collection[Listener] = (),
    ) -> Outcome:
        return outcome_of(membership, rules, clock, listeners)


SETTLE = Settle()
