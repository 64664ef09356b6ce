"""The only way from facts to credits, for one membership as for a million:

    lock schedules → form groups → load one membership of each → decide → write for all → move the schedules on

Every settling comes through here, whether an event, the clock, a manual issue or a retry asks for it. Settling is
idempotent: doing it again at the same `now` changes nothing.
"""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from functools import partial
from uuid import UUID

from sqlalchemy import Connection, event

from issuance import limits, measures
from issuance.deciding.reasons import Reason
from issuance.engine import attempts, horizons, new_credits, reminders, schedules, sweeps
from issuance.engine.bisection import Raced, write_all
from issuance.engine.facts import load, together
from issuance.engine.fingerprint import Fingerprints
from issuance.engine.groups import Group, grouped, one_of_each
from issuance.engine.guards import Guard
from issuance.engine.membership import Membership
from issuance.engine.outcome import Outcome
from issuance.engine.rules import RuleBook
from issuance.engine.schedules import Waiting
from issuance.engine.settled import Settled, by_outcome, one_by_one, part_from_schedules, settled_itself, without
from issuance.engine.states import State, move_on
from issuance.engine.tasks import SETTLE, Meant, Task
from issuance.engine.writer import write
from issuance.log import logger
from issuance.tenancy import clock as clocks
from issuance.tenancy.clock import BrandClock
from issuance.webhooks import outbox

#: How often one transaction settles a membership whose credits are redeemed or revoked meanwhile.
_TRIES = 3


def settle_due(connection: Connection, brand_id: UUID, first_id: UUID, last_id: UUID, run_id: UUID) -> Counter[Reason]:
    """Settle what is due by the schedules within a range of schedule ids. Returns new outcomes by reason."""
    clock = sweeps.clock_for(connection, brand_id)
    locked = schedules.lock_due(connection, brand_id, clock.now, first_id, last_id)
    clock = clocks.once_locked(connection, brand_id, clock)
    return Settling(connection, brand_id, clock, run_id, may_leave=True).settle(locked, may_share=True)


def settle_these(
    connection: Connection, brand_id: UUID, membership_ids: Sequence[UUID], run_id: UUID | None = None
) -> Counter[Reason]:
    """Settle these memberships, whether due or not. Their attempts must have been counted. Unknown ids are ignored. As
    in a sweep, those that one transaction has no room for are left as they were. `run_id`: the sweep that settles them,
    by its own clock."""
    if run_id is None:
        clock = clocks.read(connection, brand_id, lock=True)
    else:
        clock = sweeps.clock_for(connection, brand_id, membership_ids)
    locked = schedules.own(connection, brand_id, membership_ids, attempts=1)
    clock = clocks.once_locked(connection, brand_id, clock)
    settling = Settling(connection, brand_id, clock, run_id, attempt_counted=True, may_leave=True)
    return settling.settle(locked, may_share=False)


def carry_out(
    connection: Connection,
    brand_id: UUID,
    membership_ids: Sequence[UUID],
    task: Task,
    run_id: UUID,
    *,
    attempt_counted: bool,
) -> Counter[Reason]:
    """Do a run's task with these memberships. Returns what it counts, by reason."""
    clock = clocks.read(connection, brand_id, lock=True)
    locked = schedules.own(connection, brand_id, membership_ids)
    clock = clocks.once_locked(connection, brand_id, clock)
    settling = Settling(connection, brand_id, clock, run_id, task, attempt_counted=attempt_counted)
    return settling.settle_each(sorted(one for waiting in locked for one in waiting.ids))


class Settling:
    """The settling of memberships whose schedules are locked, in the caller's transaction."""

    def __init__(
        self,
        connection: Connection,
        brand_id: UUID,
        clock: BrandClock,
        run_id: UUID | None,
        task: Task = SETTLE,
        *,
        attempt_counted: bool = False,
        may_leave: bool = False,
    ) -> None:
        self._connection, self._brand_id, self._clock = connection, brand_id, clock
        self._run_id, self._task, self._attempt_counted = run_id, task, attempt_counted
        self._may_leave = may_leave
        bounds = limits.current.settling
        self._most_issued = bounds.issued_soon if attempt_counted else bounds.issued
        self._rules = RuleBook(connection, brand_id, clock.zone, lock=True)
        self._fingerprints = Fingerprints(self._rules, clock)
        self._guard = Guard(connection, brand_id, clock, self._rules)
        self._told = outbox.listened_to(connection, brand_id)
        self._listeners = reminders.listeners(connection, brand_id) if "credit.expiring" in self._told else ()
        self._counts: Counter[Reason] = Counter()
        #: Memberships of groups whose fingerprint none of those that were loaded had: theirs is taken again, of all.
        self._doubted: set[str] = set()
        #: How long each event had waited that was settled.
        self._waited: list[float] = []
        event.listen(connection, "commit", self._measure, once=True)

    def settle(self, locked: Sequence[Waiting], *, may_share: bool) -> Counter[Reason]:
        """Settle each group by deciding for one of its memberships; settle all others one by one. `may_share`:
        those that end in the same state may share a schedule."""
        groups, apart = grouped(self._connection, self._brand_id, locked, self._fingerprints)
        sharing = {one for waiting in locked if waiting.shared_by is not None for one in waiting.ids}
        bounds = limits.current.settling
        room = bounds.issued_alike if may_share else bounds.issued_soon
        alone: list[str] = []
        while groups or apart:
            settled: list[Settled] = []
            later: list[Group] = []
            for group, membership in one_of_each(self._connection, self._brand_id, groups, self._fingerprints, later):
                outcome = None if membership is None else self._try_to_decide(membership, len(group.ids))
                if membership is None:
                    self._doubted.update(group.ids)
                if membership is None or outcome is None or not self._is_for_all(outcome, len(group.ids), room):
                    apart += group.ids
                else:
                    room -= len(outcome.issued) * len(group.ids)
                    settled.append(group.settled(membership, outcome))
            schedules.leave(self._connection, self._brand_id, [one for one in apart if one in sharing])
            alone += apart + self._write_and_move_on(settled, {}, may_share=may_share)
            groups, apart = later, []
        return self.settle_each(sorted(alone))

    def settle_each(self, membership_ids: Sequence[str]) -> Counter[Reason]:
        """Load and settle each membership. Those with equal facts, credits and news are still decided only once. Those
        that one transaction has no room for stay due, without an attempt."""
        left = list(membership_ids)
        bounds = limits.current.settling
        most_at_once = min(bounds.loaded_credits, self._most_issued)
        for tries_left in reversed(range(_TRIES)):
            raced: list[str] = []
            while left and not (self._may_leave and self._counts[Reason.ISSUED] >= self._most_issued):
                size = together(self._connection, self._brand_id, left, bounds.loaded, bounds.loaded_credits)
                some, left = left[:size], left[size:]
                memberships = self._load(some)
                failed: dict[str, Exception] = {}
                settled: list[Settled] = []
                issued = 0
                for one in self._decide_each(memberships, failed):
                    settled.append(one)
                    issued += len(one.outcome.issued)
                    if issued > most_at_once:
                        left = [id_ for id_ in some if id_ > one.ids[0]] + left
                        break
                raced += self._write_and_move_on(settled, failed, may_share=False, try_again=tries_left > 0)
            if left and self._attempt_counted:
                attempts.succeeded(self._connection, self._brand_id, [UUID(one) for one in left])
            left = sorted(raced)
            if not left:
                break
        return self._counts

    def _load(self, ids: Sequence[str]) -> list[Membership]:
        """Memberships; long lives with what can still change, unless the task looks back."""
        if self._task.looks_back:
            return load(self._connection, self._brand_id, self._clock.zone, ids)
        return horizons.load(self._connection, self._brand_id, self._clock, ids, self._rules, self._doubted)

    def _is_for_all(self, outcome: Outcome, size: int, room: int) -> bool:
        """Whether an outcome may be written for so many memberships that were not loaded. `room`: for how many more
        credits."""
        tells_each = "credit.skipped" in self._told and outcome.skipped
        is_bounded = len(outcome.issued) * size <= room
        return is_bounded and outcome.only_issues_and_expires and outcome.fingerprint is not None and not tells_each

    def _try_to_decide(self, membership: Membership, size: int) -> Outcome | None:
        try:
            return self._decide(membership, self._task.meant(membership, self._clock.now))
        except Exception as error:
            # Each is then decided by itself, so that the failure is noted at the membership that causes it.
            measures.failed("group_not_decided")
            logger.warning("group_not_decided", size=size, error=type(error).__name__)
            return None

    def _decide_each(self, memberships: Sequence[Membership], failed: dict[str, Exception]) -> Iterator[Settled]:
        """The outcome for each membership. Those of equal facts, of which the same is meant, are decided once. Those
        that can't be decided go to `failed`."""
        self._rules.open(type_id for membership in memberships for type_id in membership.facts.types)
        outcomes: dict[Hashable, Outcome] = {}
        for membership in memberships:
            try:
                meant, whole = self._task.meant(membership, self._clock.now), self._fingerprints.whole(membership)
                outcome = None if whole is None else outcomes.get((whole, meant))
                if outcome is None:
                    outcome = self._decide(membership, meant)
            except Exception as error:
                failed[str(membership.membership_id)] = error
                continue
            if whole is not None:
                outcomes[whole, meant] = outcome
            if self._task.settles:
                yield settled_itself(membership, outcome)
            else:
                yield Settled((str(membership.membership_id),), outcome, membership, itself=True)

    def _decide(self, membership: Membership, meant: Meant) -> Outcome:
        rules = self._rules.of(membership.facts.types)
        outcome = self._task.decide(membership, meant, rules, self._clock, self._listeners)
        if self._listeners:
            outcome.look_again_for(self._listeners, self._clock.zone)
        if self._task.settles:
            outcome.fingerprint = self._fingerprints.after(membership, outcome)
        return outcome

    def _write_and_move_on(
        self, settled: Sequence[Settled], failed: dict[str, Exception], *, may_share: bool, try_again: bool = True
    ) -> list[str]:
        """Write the outcomes, note which memberships failed, and move the schedules of the others on. Returns those
        whose credits were used meanwhile: they must be settled again."""
        settled = self._hold_back(settled)
        given = settled if self._task.settles else [one for one in settled if one.outcome.gives]
        write_some = partial(
            write,
            self._connection,
            self._brand_id,
            told=self._told,
            run_id=self._run_id,
            by_hand=self._task.by_hand,
            waited=self._waited,
        )
        refused = {one.ids[0]: why for one, why in write_all(self._connection, given, write_some, one_by_one)}
        raced = [one for one, why in refused.items() if isinstance(why, Raced) and try_again]
        failed = {**failed, **{one: why for one, why in refused.items() if one not in raced}}
        schedules.leave(self._connection, self._brand_id, refused)
        for membership_id, why in failed.items():
            attempts.failed(self._connection, self._brand_id, UUID(membership_id), why, counted=self._attempt_counted)
        self._counts[Reason.ERROR] += len(failed)
        done = without(settled, refused) if refused else settled
        self._guard.confirm(done)
        for outcome, some in by_outcome(done):
            number = sum(len(one.ids) for one in some)
            self._counts += Counter({reason: n * number for reason, n in outcome.counts.items()})
        if self._task.settles:
            self._move_on(done, may_share=may_share)
        else:
            self._move_nearer(done)
        new_credits.log(self._brand_id, self._run_id, done)
        return raced

    def _move_on(self, settled: Sequence[Settled], *, may_share: bool) -> None:
        states: dict[tuple[UUID | None, State], list[str]] = {}
        for outcome, some in by_outcome(settled):
            state = State(outcome.due_at, outcome.now, outcome.fingerprint)
            for one in some:
                states.setdefault((one.shared_by, state), []).extend(one.ids)
        move_on(self._connection, self._brand_id, states, may_share=may_share)

    def _move_nearer(self, done: Sequence[Settled]) -> None:
        """Make memberships that were given something due by its expiry. Their fingerprints are not true any more."""
        due_at = {UUID(id_): one.outcome.due_at for one in done if one.outcome.gives for id_ in one.ids}
        schedules.sooner(self._connection, self._brand_id, due_at)
        if self._attempt_counted:
            attempts.succeeded(self._connection, self._brand_id, [UUID(id_) for one in done for id_ in one.ids])

    def _measure(self, _: Connection) -> None:
        measures.events_settled(self._waited)

    def _hold_back(self, settled: Sequence[Settled]) -> Sequence[Settled]:
        """The memberships without the credits that a guard holds back. Their fingerprints say what is held; those that
        it parts from others leave the schedule that they share."""
        if not self._rules.guarded:
            return settled
        within = self._guard.hold_back(settled)
        for outcome, some in by_outcome(within):
            if outcome.held and self._task.settles:
                outcome.fingerprint = self._fingerprints.after(some[0].membership, outcome)
        parted = part_from_schedules(within)
        left = [id_ for was, one in zip(within, parted, strict=True) if was is not one for id_ in one.ids]
        schedules.leave(self._connection, self._brand_id, left)
        return parted
