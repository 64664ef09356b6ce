"""The guard: at most so many credits of a rule in 24 hours, and never one more (SEMANTICS 17).

What is about to be issued is asked for here, in the transaction that issues it. Far from the limit, a worker reserves
its portion in a short transaction of its own and confirms it later, so workers run in parallel: they share the rule's
advisory lock. Near the limit, one worker at a time has it exclusively, until its transaction ends. It may delete
reservations: their workers are dead.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from uuid_utils.compat import uuid7

from issuance.database import transaction_beside
from issuance.deciding.facts import CreditKey
from issuance.engine import guard_limits
from issuance.engine.outcome import Outcome
from issuance.engine.rules import RuleBook
from issuance.engine.settled import Settled, by_outcome, one_by_one
from issuance.tenancy.clock import BrandClock

# A moving sandbox clock settles one membership after another, so later credits may exist. No window of 24 hours around
# `instant` may exceed the limit.
_USED = text("""
    SELECT r.guard_epoch AS epoch, h.since IS NOT NULL AS held,
           (SELECT coalesce(sum(p.number), 0) FROM guard_portions p
             WHERE p.brand_id = :brand_id AND p.credit_rule_id = :rule_id AND p.epoch = r.guard_epoch AND NOT p.let_out
               AND p.issued_at > CAST(:instant AS timestamptz) - interval '24 hours'
               AND p.issued_at < CAST(:instant AS timestamptz) + interval '24 hours') AS used
      FROM credit_rules r LEFT JOIN held_rules h USING (brand_id, credit_rule_id)
     WHERE r.brand_id = :brand_id AND r.credit_rule_id = :rule_id
""")
_ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended('guard turn ' || :rule_id, 0))")
_TOGETHER = text("SELECT pg_try_advisory_xact_lock_shared(hashtextextended('guard turn ' || :rule_id, 0))")
_COUNTING = text("SELECT pg_advisory_xact_lock(hashtextextended('guard count ' || :rule_id, 0))")
_ADD = text("""
    INSERT INTO guard_portions (brand_id, portion_id, credit_rule_id, epoch, issued_at, number, reserved, let_out)
    VALUES (:brand_id, :portion_id, :rule_id, :epoch, :instant, :number, :reserved, :let_out)
""")
_FORGET_DEAD = text("""
    DELETE FROM guard_portions
     WHERE brand_id = :brand_id AND credit_rule_id = :rule_id AND reserved AND portion_id <> ALL(:own)
""")
# Whoever has a rule's turn alone knows that its reservations are dead. One that was confirmed just before is read
# again.
_FORGET_ALL_DEAD = text("""
    DELETE FROM guard_portions
     WHERE CASE WHEN reserved
                THEN pg_try_advisory_xact_lock(hashtextextended('guard turn ' || credit_rule_id::text, 0)) END
""")
_CONFIRM = text("""
    UPDATE guard_portions SET number = :number, reserved = false WHERE brand_id = :brand_id AND portion_id = :portion_id
""")
_GIVE_BACK = text("DELETE FROM guard_portions WHERE brand_id = :brand_id AND portion_id = :portion_id")


def forget_dead(connection: Connection) -> None:
    """Delete what dead workers reserved, of all brands, except of rules that somebody issues now. Commit soon: no
    credit of these rules goes out until then."""
    connection.execute(_FORGET_ALL_DEAD)


class Portion(NamedTuple):
    """Credits of a rule that are to be issued at an instant (the brand's clock)."""

    rule_id: UUID
    instant: datetime


class Guard:
    """The guard of a brand, in one transaction that issues."""

    def __init__(self, connection: Connection, brand_id: UUID, clock: BrandClock, rules: RuleBook) -> None:
        self._connection, self._brand_id, self._clock, self._rules = connection, brand_id, clock, rules
        self._portions: dict[Portion, UUID] = {}
        self._own: list[UUID] = []

    def hold_back(self, settled: Sequence[Settled]) -> list[Settled]:
        """The memberships without the credits that would be too many: these are held, and their outcomes have no
        fingerprint yet. Waits for the transactions that are near the limit of the same rules."""
        if not self._rules.guarded:
            return list(settled)
        wanted = self._wanted(settled)
        left: dict[Portion, int] = {}
        held: set[UUID] = set()
        for one, number in sorted(wanted.items()):  # of a rule that is held, nothing that comes later goes out
            left[one] = 0 if one.rule_id in held else self._take(one, number)
            if left[one] < number:
                held.add(one.rule_id)
        if left == wanted:
            return list(settled)
        variants: dict[tuple[int, frozenset[CreditKey]], Outcome] = {}
        return [self._within(one, left, variants) for one in one_by_one(settled)]

    def confirm(self, done: Sequence[Settled]) -> None:
        """Note what was issued after all, of what `hold_back` let through."""
        if not self._rules.guarded:
            return
        issued = self._wanted(done)
        for one, portion_id in self._portions.items():
            parameters = {"brand_id": self._brand_id, "portion_id": portion_id}
            if issued[one]:
                changed = self._connection.execute(_CONFIRM, {**parameters, "number": issued[one]})
                assert changed.rowcount == 1, "nobody forgets a portion while its lock is held"
            else:
                self._connection.execute(_GIVE_BACK, parameters)
        for one, number in issued.items():  # those that no limit is set for are counted for the busiest day
            if one not in self._portions:
                self._note(one, number, let_out=False)
        for one, number in self._wanted(done, let_out=True).items():
            self._note(one, number, let_out=True)
        self._portions.clear()

    def _note(self, one: Portion, number: int, *, let_out: bool) -> None:
        self._add(self._connection, one, self._state(self._connection, one).epoch, number, let_out=let_out)

    def _wanted(self, settled: Sequence[Settled], *, let_out: bool = False) -> Counter[Portion]:
        """How many credits outcomes issue, of those that a limit counts or of those that a person let out."""
        wanted: Counter[Portion] = Counter()
        for outcome, some in by_outcome(settled):
            number = sum(len(one.ids) for one in some)
            for key in outcome.issued:
                if (key in outcome.let_out) is let_out:
                    wanted[Portion(key.credit_rule_id, outcome.credits[key].issued_at)] += number
        return wanted

    def _within(
        self, one: Settled, left: dict[Portion, int], variants: dict[tuple[int, frozenset[CreditKey]], Outcome]
    ) -> Settled:
        """A membership with as many of its credits as are left; the others are held."""
        outcome = one.outcome
        held: set[CreditKey] = set()
        for key in sorted(outcome.issued):
            if key in outcome.let_out:
                continue
            wanted = Portion(key.credit_rule_id, outcome.credits[key].issued_at)
            if left[wanted]:
                left[wanted] -= 1
            else:
                held.add(key)
        if not held:
            return one
        which = (id(outcome), frozenset(held))
        if which not in variants:
            variants[which] = outcome.hold(held)
        return one._replace(outcome=variants[which])

    def _take(self, one: Portion, number: int) -> int:
        """Reserve credits: how many of them may go out."""
        most = guard_limits.most(self._connection, self._brand_id, one.rule_id, one.instant, self._clock.zone)
        state = self._state(self._connection, one)
        if most is None:
            return 0 if state.held else number
        if self._fits(state, number, most) and self._reserve(one, number, most):
            return number
        rule = {"brand_id": self._brand_id, "rule_id": str(one.rule_id)}
        self._connection.execute(_ALONE, rule)
        self._connection.execute(_FORGET_DEAD, {**rule, "own": self._own})
        state = self._state(self._connection, one)
        granted = 0 if state.held else min(number, max(most - int(state.used), 0))
        if granted:
            self._portions[one] = self._add(self._connection, one, state.epoch, granted)
        return granted

    def _reserve(self, one: Portion, number: int, most: int) -> bool:
        """Reserve a portion where nobody has the turn, in a transaction that lasts a moment."""
        rule = {"rule_id": str(one.rule_id)}
        if not self._connection.scalar(_TOGETHER, rule):
            return False
        try:
            with transaction_beside(self._connection, self._brand_id) as counting:
                counting.execute(_COUNTING, rule)
                state = self._state(counting, one)
                if not self._fits(state, number, most):
                    return False
                self._portions[one] = self._add(counting, one, state.epoch, number, reserved=True)
        except (OperationalError, PoolTimeout):  # no second connection is to be had: then by turns, on this one
            return False
        return True

    @staticmethod
    def _fits(state: Row[Any], number: int, most: int) -> bool:
        return not state.held and int(state.used) + number <= most

    def _state(self, connection: Connection, one: Portion) -> Row[Any]:
        return connection.execute(
            _USED, {"brand_id": self._brand_id, "rule_id": one.rule_id, "instant": one.instant}
        ).one()

    def _add(
        self,
        connection: Connection,
        one: Portion,
        epoch: int,
        number: int,
        *,
        reserved: bool = False,
        let_out: bool = False,
    ) -> UUID:
        portion_id = uuid7()
        parameters: Mapping[str, object] = {"number": number, "reserved": reserved, "let_out": let_out, "epoch": epoch}
        rule = {"brand_id": self._brand_id, "rule_id": one.rule_id, "instant": one.instant}
        connection.execute(_ADD, {**rule, **parameters, "portion_id": portion_id})
        self._own.append(portion_id)
        return portion_id
