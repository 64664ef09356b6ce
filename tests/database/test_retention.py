"""What is kept for a while and no longer, as the settings say (scheduler/tick.py)."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, text

import scheduler.__main__ as scheduler
from issuance import health, measures
from issuance.billers import billers
from issuance.billers import deliveries as received
from issuance.billing import rejections
from issuance.billing.cloud_events import Refused
from issuance.database import budget, pools
from issuance.database.connections import engine_for, transaction
from issuance.engine import plans
from issuance.errors import PlanForgotten, SettingsError, Untidy
from issuance.people import sign_ins
from issuance.settings import OwnSettings, read
from issuance.tenancy import brands, idempotency
from issuance.webhooks import deliveries, retention, webhooks
from issuance.webhooks import months as of_outbox
from scheduler import tick
from scheduler.tick import tidy
from tests.database.beside import Beside
from tests.database.clubs import Club
from tests.database.test_approvals import approve, plan_issue, rows_of
from tests.limits import Limit
from tests.waiting import eventually

KEEP = OwnSettings(ISSUANCE_KEEP_PLANS_DAYS=10, ISSUANCE_KEEP_REFUSED_DAYS=20)


def test_a_plan_that_is_not_kept_any_more_is_neither_shown_nor_approved(club: Club) -> None:
    """It says so, and is never taken for a plan without rows; one whose approval is not done is kept, and so are the
    counts of each. An approval that was made before is still told of."""
    club.sign_up(3)
    club.rows("UPDATE credits SET uses = 1, redeemed_at = valid_from")
    young, old, done, under_way = (plan_issue(club) for _ in range(4))
    approved = approve(club, done["id"])
    with transaction(club.engine, club.brand_id) as connection:
        unfinished = plans.approve(connection, club.brand_id, under_way["id"], None)
    club.rows(
        "UPDATE runs SET finished_at = finished_at - interval '11 days' WHERE run_id <> :young", young=young["id"]
    )
    tidy(club.engine, KEEP)
    assert len(rows_of(club, young)) == len(rows_of(club, under_way)) == 3
    for plan in (old, done):
        with pytest.raises(PlanForgotten):
            rows_of(club, plan)
        assert club.run(plan["id"])["counts"] == {"issued": 3}
    with pytest.raises(PlanForgotten):
        approve(club, old["id"])
    assert approve(club, done["id"])["id"] == approved["id"]
    club.work(unfinished)
    assert sum(club.run(unfinished)["counts"].values()) == 3


def test_a_refused_event_waits_so_many_days(club: Club) -> None:
    """And goes with all that it said."""
    with transaction(club.engine, club.brand_id) as connection:
        refused = Refused("malformed", "no event")
        rejections.keep(connection, club.brand_id, [(str(uuid4()), refused), (str(uuid4()), refused)])
    for days, left in ((19, 2), (21, 1)):
        club.rows(
            f"UPDATE rejected_events SET received_at = now() - interval '{days} days'"
            " WHERE rejected_id = (SELECT min(rejected_id::text)::uuid FROM rejected_events)"
        )
        tidy(club.engine, KEEP)
        assert club.value("SELECT count(*) FROM rejected_events") == left


def test_of_a_brand_the_latest_refused_events_are_kept(club: Club, limit: Limit) -> None:
    """However many come, together or one by one; another brand's stay."""
    limit("intake", refused_kept=3)
    with transaction(club.engine) as connection:
        other_brand_id, _ = brands.create(connection, name="other", timezone="UTC", sandbox=True)

    def refuse(brand_id: UUID, *texts: str) -> None:
        with transaction(club.engine, brand_id) as connection:
            rejections.keep(connection, brand_id, [(one, Refused("malformed", "no event")) for one in texts])

    refuse(other_brand_id, "theirs")
    refuse(club.brand_id, *"abcde")
    assert club.value("SELECT count(*) FROM rejected_events") == 3
    for one in "fghi":
        refuse(club.brand_id, one)
    assert [row.body for row in club.rows("SELECT body FROM rejected_events ORDER BY 1")] == ["g", "h", "i"]
    with transaction(club.engine, other_brand_id) as connection:
        assert len(rejections.page(connection, other_brand_id, 1, 10)[0]) == 1


def test_a_removal_that_fails_is_counted_and_tried_again_within_the_alerts_window(
    club: Club, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every minute, where the alert looks at five; it keeps no tick from its work. One that works is an hour's."""

    def fails(*_: object) -> None:
        raise ZeroDivisionError

    counted = ("issuance_ticks_failed_total", (("kind", "tidy"),))
    before = measures.samples().get(counted, 0.0)
    assert scheduler.try_to_tidy(club.engine, KEEP) == scheduler.TIDY_EVERY
    monkeypatch.setattr(scheduler, "tidy", fails)
    assert scheduler.try_to_tidy(club.engine, KEEP) == scheduler.TIDY_AGAIN <= 60
    assert measures.samples()[counted] == before + 1
    monkeypatch.undo()
    assert scheduler.try_to_tidy(club.engine, KEEP) == scheduler.TIDY_EVERY


def test_old_rows_are_removed_beside_the_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first time soon after the start, then after a rest since the last: one that takes long is not begun at once
    again, and a scheduler that is begun anew every few minutes tidies too."""
    rests: list[float] = []
    stop = Event()

    def wait(rest: float) -> bool:
        rests.append(rest)
        return len(rests) > 3

    monkeypatch.setattr(stop, "wait", wait)
    monkeypatch.setattr(scheduler, "try_to_tidy", lambda *_: 5.0)
    scheduler.tidy_always(engine_for("postgresql:///nowhere"), KEEP, stop)
    assert rests == [scheduler.TIDY_FIRST, 5.0, 5.0, 5.0]


def test_what_many_were_told_is_forgotten_in_parts(club: Club, monkeypatch: pytest.MonkeyPatch, limit: Limit) -> None:
    """However many fall due in one hour: each part is committed by itself."""
    with transaction(club.engine, club.brand_id) as connection:
        webhooks.create(connection, club.brand_id, "https://example.com/", ["credit.issued"])
    club.sign_up(5)
    club.rows("UPDATE deliveries SET state = 'failed', next_at = NULL, attempted_at = now() - interval '100 days'")
    club.rows("UPDATE webhook_events SET created_at = now() - interval '100 days'")
    limit("webhooks", tidied=2)
    parts: list[bool] = []
    forget = retention.forget

    def counted(*what: Any) -> bool:
        parts.append(forget(*what))
        return parts[-1]

    monkeypatch.setattr(retention, "forget", counted)
    tidy(club.engine, KEEP)
    assert parts == [True] * 4 + [False], "the deliveries, then the events"
    assert club.value("SELECT (SELECT count(*) FROM deliveries) + (SELECT count(*) FROM webhook_events)") == 0


def test_what_has_no_end_is_forgotten_in_parts(club: Club, monkeypatch: pytest.MonkeyPatch, limit: Limit) -> None:
    """Answers and billers' webhooks, as many as come in a day: each part is committed by itself."""
    with transaction(club.engine, club.brand_id) as connection:
        biller_id = billers.create(connection, club.brand_id, billers.New("stripe", ["a secret"]))
    club.rows(
        """INSERT INTO idempotency_keys (brand_id, caller, key, request_hash, status, body, created_at)
           SELECT :brand_id, 'key 1', n::text, '', 200, '', now() - interval '30 days'
             FROM generate_series(1, 5) AS n"""
    )
    club.rows(
        """INSERT INTO biller_deliveries (brand_id, biller_id, delivery_id, body, state, received_at)
           SELECT :brand_id, :biller_id, n::text, '', 'translated', now() - interval '100 days'
             FROM generate_series(1, 5) AS n""",
        biller_id=biller_id,
    )
    limit("database", tidied=2)
    parts: list[int] = []
    for room in (idempotency, received):

        def counted(*what: Any, forget: Any = room.forget) -> int:
            parts.append(forget(*what))
            return parts[-1]

        monkeypatch.setattr(room, "forget", counted)
    tidy(club.engine, KEEP)
    assert sorted(parts) == [1, 1, 2, 2, 2, 2]
    left = "SELECT (SELECT count(*) FROM idempotency_keys) + (SELECT count(*) FROM biller_deliveries)"
    assert club.value(left) == 0


def test_what_comes_again_while_it_is_forgotten_stays(club: Club, beside: Beside) -> None:
    """Refused and kept again, counted again, sent again by hand: whoever did it was told so."""
    refused, email = (str(uuid4()), Refused("malformed", "no event")), f"{uuid4()}@example.com"
    with transaction(club.engine, club.brand_id) as connection:
        webhook_id = webhooks.create(connection, club.brand_id, "https://example.com/", ["credit.issued"])["id"]
        rejections.keep(connection, club.brand_id, [refused])
        sign_ins.count_try(connection, email)
    club.sign_up()
    club.rows("UPDATE rejected_events SET received_at = now() - interval '100 days'")
    club.rows("UPDATE deliveries SET state = 'failed', next_at = NULL, attempted_at = now() - interval '100 days'")
    tried = {"email": email.encode()}
    club.rows(
        "UPDATE sign_in_failures SET failed_at = now() - interval '2 days' WHERE email_hash = sha256(:email)", **tried
    )
    delivery_id = club.value("SELECT delivery_id FROM deliveries")
    old, most = timedelta(days=90), 100_000

    def meanwhile(again: Callable[[Connection], object], forget: Callable[[Connection], object]) -> None:
        def tidy_up() -> None:
            with transaction(club.engine) as connection:
                forget(connection)

        with transaction(club.engine, club.brand_id) as connection:
            again(connection)
            assert beside.begin(tidy_up)
        beside.end()

    meanwhile(
        lambda connection: rejections.keep(connection, club.brand_id, [refused]),
        lambda connection: rejections.forget(connection, old, most),
    )
    meanwhile(
        lambda connection: deliveries.deliver_again(connection, club.brand_id, webhook_id, delivery_id),
        lambda connection: retention.forget(connection, old),
    )
    meanwhile(
        lambda connection: sign_ins.count_try(connection, email),
        lambda connection: sign_ins.forget(connection, most),
    )
    assert beside.errors == []
    left = "SELECT (SELECT count(*) FROM rejected_events), (SELECT count(*) FROM deliveries)"
    assert club.rows(left) == [(1, 1)]
    tries = "SELECT count(*) FROM sign_in_failures WHERE email_hash = sha256(:email)"
    assert club.value(tries, **tried) == 1


def test_tidying_keeps_no_look_waiting(club: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with the few connections that a scheduler has, however long one of its steps takes."""
    monkeypatch.setattr(pools, "_allowed", budget(scheduler.MOST_CONNECTIONS))
    own = engine_for.__wrapped__(club.engine.url.render_as_string(hide_password=False))
    waits = text("""
        SELECT count(*) FROM pg_locks
         WHERE NOT granted AND relation = 'idempotency_keys'::regclass
           AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    """)
    # Other tests' brands wait for work too, and tidying waits for a lock only so long.
    one_of_each = tick.TickSizes(brands=1, runs=1, memberships=1, webhooks=1, billers=1, deliveries=1)
    try:
        with ThreadPoolExecutor(1) as pool:
            with transaction(club.engine) as connection:
                connection.execute(text("LOCK TABLE idempotency_keys IN ACCESS EXCLUSIVE MODE"))
                tidied = pool.submit(scheduler.try_to_tidy, own, KEEP)
                eventually(lambda: bool(connection.scalar(waits)))
                tick.run_once(own, club.broker, one_of_each)
                assert not tidied.done()
            assert tidied.result() == scheduler.TIDY_EVERY
    finally:
        own.dispose()


def test_a_removal_that_fails_stops_no_other(club: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are done all the same; the log names those that were not, and why."""

    def fails(*_: object) -> None:
        raise ZeroDivisionError

    with transaction(club.engine, club.brand_id) as connection:
        rejections.keep(connection, club.brand_id, [(str(uuid4()), Refused("malformed", "no event"))])
    club.rows("UPDATE rejected_events SET received_at = now() - interval '21 days'")
    monkeypatch.setattr(of_outbox, "drop", fails)
    monkeypatch.setattr(plans, "forget", fails)
    with pytest.raises(Untidy, match=r"^months of the outbox: ZeroDivisionError; plans: ZeroDivisionError$"):
        tidy(club.engine, KEEP)
    assert club.value("SELECT count(*) FROM rejected_events") == 0


def test_what_is_kept_longest_is_forgotten_in_time(club: Club) -> None:
    """The most that each setting may be, a hundred years, is an instant that there is; more is refused in one line."""
    days = ("ISSUANCE_KEEP_DELIVERIES_DAYS", "ISSUANCE_KEEP_PLANS_DAYS", "ISSUANCE_KEEP_REFUSED_DAYS")
    hours = ("ISSUANCE_KEEP_ANSWERS_HOURS", "ISSUANCE_BILLER_SILENCE_HOURS")
    most = {**dict.fromkeys(days, 36_500), **dict.fromkeys(hours, 876_000)}
    tidy(club.engine, OwnSettings.model_validate(most))
    with pytest.MonkeyPatch.context() as environment:
        for name, number in most.items():
            environment.setenv(name, str(number))
        with transaction(club.engine) as connection:
            health.figures(connection)
        for name, number in most.items():
            environment.setenv(name, str(number + 1))
            with pytest.raises(SettingsError, match=f"^{name} is wrong: "):
                read(OwnSettings)
            environment.setenv(name, str(number))
