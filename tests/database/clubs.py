"""A club on a real PostgreSQL, settled in this process: no scheduler, no workers, no queue but a list."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

import pytest
from dramatiq.brokers.stub import StubBroker
from sqlalchemy import Engine, text

from issuance import hints
from issuance.billing import events
from issuance.catalog import coupons, membership_types, rules
from issuance.catalog.coupons import CouponBody
from issuance.catalog.membership_types import NewMembershipType
from issuance.catalog.rule_versions import NewCreditRule
from issuance.database.connections import engine_for, transaction
from issuance.deciding.frequency import IssuingFrequency
from issuance.engine import arrivals, batches, runs, sweeps
from issuance.tenancy import brands, clock
from scheduler import tick
from tests.limits import Limit


def at(moment: str) -> datetime:
    """An instant in UTC: a date, or a date and a time."""
    return datetime.fromisoformat(moment).replace(tzinfo=UTC)


@dataclass
class Club:
    """A sandbox brand with one type of membership, whose clock stands at noon on 31 January 2031, or runs."""

    engine: Engine
    broker: StubBroker
    brand_id: UUID
    type_id: UUID
    rule_id: UUID
    #: When sign-ups are told of, if nothing else is said.
    sign_ups: str = "2031-01-31T10:00"
    members: list[UUID] = field(default_factory=list)

    def rows(self, sql: str, **parameters: object) -> list[Any]:
        with transaction(self.engine, self.brand_id) as connection:
            found = connection.execute(text(sql), {"brand_id": self.brand_id, **parameters})
            return list(found) if found.returns_rows else []

    def value(self, sql: str, **parameters: object) -> Any:
        return self.rows(sql, **parameters)[0][0]

    def refuse_credits_of(self, membership_id: UUID) -> None:
        """PostgreSQL refuses new credits of a membership, until the trigger `poison` is dropped."""
        self.rows(f"""
            CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'poison'; END $$;
            CREATE TRIGGER poison BEFORE INSERT ON credits FOR EACH ROW
              WHEN (NEW.membership_id = '{membership_id}') EXECUTE FUNCTION poison();
        """)

    def tell(self, kind: str, time: str, *data: dict[str, Any]) -> list[UUID]:
        """Events of one kind are accepted together; nobody is told to settle them."""
        event = {"specversion": "1.0", "source": "test", "type": kind, "time": at(time).isoformat()}
        bodies = [{**event, "id": str(uuid4()), "data": says} for says in data]
        with transaction(self.engine, self.brand_id) as connection:
            intake = events.accept(connection, self.brand_id, bodies)
        assert intake.rejected == []
        return intake.membership_ids

    def accept(self, size: int = 1, starts_on: str = "2031-01-31") -> list[UUID]:
        """New memberships, signed up; nobody is told to settle them."""
        says = [
            {
                "membership_id": str(membership_id),
                "membership_type_id": str(self.type_id),
                "external_user_id": f"member {membership_id}",
                "starts_on": starts_on,
            }
            for membership_id in (uuid4() for _ in range(size))
        ]
        return self.tell("membership.signed_up", self.sign_ups, *says)

    def sign_up(self, size: int = 1, starts_on: str = "2031-01-31") -> list[UUID]:
        """New memberships, signed up and settled."""
        fresh = self.accept(size, starts_on)
        self.settle(fresh)
        self.members += fresh
        return fresh

    def settle(self, membership_ids: Sequence[UUID]) -> None:
        arrivals.settle_soon(self.engine, self.brand_id, list(membership_ids))

    def move_clock(self, now: str, *, jump: bool = False) -> None:
        """The clock stands elsewhere; nobody is told."""
        woke = "clock_now" if jump else "woke_at"
        self.rows("UPDATE brands SET clock_now = :now WHERE brand_id = :brand_id", now=at(now))
        self.rows(f"UPDATE brands SET woke_at = {woke} WHERE brand_id = :brand_id")

    def let_run(self) -> None:
        """The clock follows PostgreSQL's from now on, as a live brand's does."""
        self.rows("UPDATE brands SET clock_now = NULL, woke_at = NULL WHERE brand_id = :brand_id")

    def tick(self, limits: tick.TickSizes = tick.LIMITS) -> tick.Tick:
        """One look of the scheduler; its hints go to a list."""
        return tick.run_once(self.engine, self.broker, limits)

    def work(self, run_id: UUID, most: int = 50) -> list[batches.Worked]:
        """Do a run's batches until none is to be had."""
        done: list[batches.Worked] = []
        for _ in range(most):
            done.append(batches.work_on_run(self.engine, self.brand_id, run_id))
            if done[-1].batch is None:
                break
        return done

    def sweep(self) -> dict[str, Any] | None:
        """Sweep once: what the run came to, None if nothing was due."""
        self.tick()
        open_runs = self.rows("SELECT run_id FROM runs WHERE kind = 'sweep' AND finished_at IS NULL")
        if not open_runs:
            return None
        self.work(open_runs[0][0])
        return self.run(open_runs[0][0])

    def settle_due(self) -> None:
        """Sweep until nothing is due."""
        while True:
            with transaction(self.engine, self.brand_id) as connection:
                sweep = sweeps.plan(connection, self.brand_id, clock.read(connection, self.brand_id).now)
            if sweep is None:
                return
            self.work(sweep.run_id)

    def issue(self, *, include_upcoming: bool = True, work: bool = True) -> dict[str, Any]:
        """A manual issue, done."""
        with transaction(self.engine, self.brand_id) as connection:
            run_id = runs.start_issue(connection, self.brand_id, self.rule_id, include_upcoming=include_upcoming)
        if work:
            self.work(run_id)
        return self.run(run_id)

    def replay(self, *, dry_run: bool = False, work: bool = True) -> dict[str, Any]:
        """A replay of everything, done."""
        with transaction(self.engine, self.brand_id) as connection:
            first, last = at("2000-01-01").date(), at("2099-01-01").date()
            run_id = runs.start_replay(connection, self.brand_id, first=first, last=last, dry_run=dry_run)
        if work:
            self.work(run_id)
        return self.run(run_id)

    def run(self, run_id: UUID) -> dict[str, Any]:
        with transaction(self.engine, self.brand_id) as connection:
            return runs.read(connection, self.brand_id, run_id)

    def credits(self) -> list[tuple[Any, ...]]:
        """All credits, without ids and codes, in order."""
        columns = "membership_id, period_start, reissue, manual, valid_from, expires_at, revoked_at, expired_at, uses"
        return [tuple(row) for row in self.rows(f"SELECT {columns} FROM credits ORDER BY 1, 2, 3")]

    def hinted(self, queue: str = hints.BULK_QUEUE) -> int:
        """How many hints wait in a queue."""
        return int(self.broker.queues[queue].qsize())


@pytest.fixture
def small_batches(limit: Limit) -> None:
    """Five memberships a batch."""
    limit("settling", batch=5)


@pytest.fixture
def new_club(fresh_database: Callable[[], str], broker: StubBroker) -> Callable[..., Club]:
    """Makes clubs, each on a database of its own: `new_club(billing, **rule)`; `since`: from when on there is the rule,
    `now`: where the clock stands."""

    def new(
        billing: Literal["automatic", "external"] = "automatic",
        *,
        since: str = "2031-01-01",
        now: str = "2031-01-31T12:00",
        **says: Any,
    ) -> Club:
        engine = engine_for(fresh_database())
        with transaction(engine) as connection:
            brand_id, _ = brands.create(connection, name="club", timezone="UTC", sandbox=True)
        with transaction(engine, brand_id) as connection:
            stands = text("UPDATE brands SET clock_now = :now")
            connection.execute(stands, {"now": at(since)})
            body = {"name": "Tea", "discount": {"type": "percent", "value": 100}}
            coupons.put(connection, brand_id, "tea", CouponBody.model_validate(body))
            kind = membership_types.create(connection, brand_id, NewMembershipType(name="Gold", billing=billing))
            said = {"issuing_frequency": IssuingFrequency.MONTH, "issue_on_signup": True, "roll_over": True, **says}
            new_rule = NewCreditRule(membership_type_id=kind["id"], coupon_id="tea", coupon_name="Tea", **said)
            rule = rules.create(connection, brand_id, new_rule)
            connection.execute(stands, {"now": at(now)})
        return Club(engine, broker, brand_id, kind["id"], rule["id"])

    return new


@pytest.fixture
def club(new_club: Callable[..., Club]) -> Iterator[Club]:
    club = new_club()
    yield club
    club.engine.dispose()


def ago(days: int) -> str:
    """The instant so many days before the real now, for clubs whose clocks run."""
    return (datetime.now(UTC) - timedelta(days=days)).replace(tzinfo=None).isoformat()


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every batch is done as a whole: none is saved by being done in parts after it failed."""

    def taken_apart(*_: object) -> None:
        raise AssertionError("the batch was taken apart")

    monkeypatch.setattr(batches, "_in_parts", taken_apart)
