"""Follows the engine from commit to commit, so that the oracle settles what the engine settled, when it did."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from uuid import UUID

from campaigns.model.oracle import Oracle
from campaigns.simulation.onlooker import Onlooker

SEEN = """
    SELECT (SELECT clock_now FROM brands WHERE brand_id = %(brand)s),
           ARRAY(SELECT (membership_id, coalesce(due_at, 'infinity') <= (SELECT clock_now FROM brands
                                                                         WHERE brand_id = %(brand)s),
                         quarantined_at IS NOT NULL)::text
                   FROM membership_schedules JOIN schedules USING (brand_id, schedule_id)
                  WHERE brand_id = %(brand)s ORDER BY membership_id),
           (SELECT json_agg(json_build_array(source, event_id))
              FROM billing_events WHERE brand_id = %(brand)s AND settled_at IS NULL),
           (SELECT json_agg(json_build_array(run_id, batch, first_id, last_id, finished_at IS NOT NULL,
                                             coalesce((counts ->> 'error')::integer, 0)) ORDER BY run_id, batch)
              FROM run_batches WHERE brand_id = %(brand)s AND run_id = ANY(%(runs)s))
"""


class NotFollowed(Exception):
    """The engine did something that has no counterpart in the oracle."""


@dataclass
class Run:
    """A manual issue, a replay or an undo, and how far each of its batches came: (next id, errors)."""

    rule: str | None
    include_upcoming: bool = False
    span: tuple[date, date] | None = None
    dry: bool = False
    #: Of an undo: the number of the version, and from when on what it issued is taken back.
    undoes: tuple[int, datetime] | None = None
    batches: dict[int, tuple[UUID | None, int]] = field(default_factory=dict)


class Mirror:
    """Looks at what a commit left, by itself, and tells the oracle."""

    def __init__(
        self, looking: Onlooker, brand_id: UUID, oracle: Oracle, names: dict[str, str], runs: dict[UUID, Run]
    ) -> None:
        self.looking, self.brand_id, self.oracle, self.names, self.runs = looking, brand_id, oracle, names, runs
        self.due: set[str] = set()
        self.quarantined: set[str] = set()
        #: How the next move of the clock is meant, and whether what it made due is not all done yet.
        self.jump = False
        self.moving = False

    def follow(self) -> None:
        """Bring the oracle to where the engine is."""
        known = {"brand": self.brand_id, "runs": list(self.runs)}
        seen = self.looking.execute(SEEN, known).fetchone()
        assert seen, "a SELECT without FROM has a row"
        clock, schedules, unsettled, batches = seen
        if clock is not None and clock != self.oracle.now:
            self._moved(clock)
        due = set()
        self.quarantined = set()
        present: list[tuple[UUID, str]] = []
        for row in schedules:
            identity, is_due, apart = row.strip("()").split(",")
            label = self.names[identity]
            present.append((UUID(identity), label))
            if is_due == "t":
                due.add(label)
            if apart == "t":
                self.quarantined.add(label)
        self._settled({(source, event) for source, event in unsettled or []}, due)
        for run_id, batch, first, last, finished, errors in batches or []:
            run = self.runs[UUID(run_id)]
            self._worked(run, batch, present, UUID(first), UUID(last), finished, errors)

    def _moved(self, now: datetime) -> None:
        if self.jump:  # all is settled when the engine comes to it, at whatever time it is then
            self.oracle.now = now
            return
        if self.oracle.waiting & {key for key, fact in self.oracle.heard.items() if fact.membership in self.signed_up}:
            raise NotFollowed("the clock moved before all was settled")
        self.oracle.clock(now)
        self.moving = True

    @property
    def signed_up(self) -> set[str]:
        return set(self.oracle.sign_ups)

    def _settled(self, waiting: set[tuple[str, str]], due: set[str]) -> None:
        done = {self.oracle.heard[key].membership for key in self.oracle.waiting - waiting}
        if not self.moving:
            done |= self.due - due
        self.oracle.waiting = {key for key in waiting if key in self.oracle.heard}
        self.due = due
        for membership in sorted(done):
            self.oracle.settle_one(membership)

    def _worked(
        self,
        run: Run,
        batch: int,
        present: list[tuple[UUID, str]],
        first: UUID,
        last: UUID,
        finished: bool,
        errors: int,
    ) -> None:
        """A batch that came further: what it did for each membership on the way."""
        reached = None if finished else first
        if batch not in run.batches:  # planned, and seen for the first time
            run.batches[batch] = (first, 0)
        before, errors_before = run.batches[batch]
        if before is None or before == reached:
            return
        run.batches[batch] = (reached, errors)
        passed = [
            label
            for identity, label in present
            if before <= identity <= last and (reached is None or identity < reached) and self._is_meant(run, label)
        ]
        failed = errors - errors_before
        worked = [label for label in passed if run.undoes or label not in self.quarantined]
        if failed == len(passed):
            return
        if failed not in (0, len(passed) - len(worked)):
            raise NotFollowed(f"a run failed for {failed} of {passed}, set apart are {sorted(self.quarantined)}")
        for label in worked:
            self._did(run, label)

    def _is_meant(self, run: Run, label: str) -> bool:
        """Whether a run looks at a membership at all: at one of a type that its rule is, or was, for, or that has ever
        changed types."""
        if run.undoes:
            return True
        types = {version.membership_type for version in self.oracle.rules[run.rule]} if run.rule else None
        changed = any(
            (fact.kind, fact.membership) == ("membership.type_changed", label) for fact in self.oracle.heard.values()
        )
        return types is None or changed or self.oracle.sign_ups[label].data["membership_type"] in types

    def _did(self, run: Run, label: str) -> None:
        if run.undoes is not None:
            assert run.rule is not None, "so does an undo of a version"
            self.oracle.undo_of(label, run.rule, *run.undoes)
        elif run.span is None:
            assert run.rule is not None, "a manual issue names its rule"
            self.oracle.settle_one(label)
            self.oracle.issue_to(run.rule, label, run.include_upcoming)
        elif not run.dry:
            self.oracle.replay_to(label, run.rule, *run.span)
