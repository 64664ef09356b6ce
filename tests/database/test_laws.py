"""The laws as checks (SEMANTICS 14): silent on a lawful brand, and each finds the offender that is planted."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine, text

from issuance.audit import Actor
from issuance.billers import billers, reconciling
from issuance.billers.billers import New
from issuance.billing.events import Intake
from issuance.catalog import rules
from issuance.catalog.rule_versions import CreditRuleChange
from issuance.database.connections import transaction
from issuance.engine import arrivals, runs
from issuance.laws import LAWS, settled
from tests.database.conftest import event, put_clock
from tests.limits import Limit
from tests.stripe import SECRET

NOW = datetime(2090, 3, 15, tzinfo=UTC)


@pytest.fixture
def ada(
    engine: Engine,
    brand_id: UUID,
    rule_id: UUID,
    signed_up: Callable[..., dict[str, Any]],
    accept: Callable[..., Intake],
) -> UUID:
    """A membership with one live credit, for March 2090, settled on 15 March."""
    membership_id = uuid4()
    with transaction(engine, brand_id) as connection:
        put_clock(connection, brand_id, NOW)
    sign_up = signed_up(membership_id, starts_on="2090-02-01")
    charge = {"membership_id": str(membership_id), "charge_id": str(uuid4()), "period_start": "2090-03-01"}
    accept({**sign_up, "time": "2090-02-01T09:00:00Z"}, event("charge.initiated", charge, time="2090-03-01T06:00:00Z"))
    arrivals.settle_soon(engine, brand_id, [membership_id])
    return membership_id


def broken(connection: Connection, brand_id: UUID) -> dict[int, list[dict[str, Any]]]:
    """The offenders by law."""
    found = {law.number: [one for batch in law.find(connection, brand_id) for one in batch] for law in LAWS}
    return {number: offenders for number, offenders in found.items() if offenders}


def plant(connection: Connection, statement: str, **values: object) -> None:
    assert connection.execute(text(statement), values).rowcount == 1


def test_a_lawful_brand_breaks_no_law(connection: Connection, brand_id: UUID, ada: UUID) -> None:
    """All laws hold on a brand that nobody tampered with."""
    (start,) = connection.execute(
        text("SELECT period_start FROM credits WHERE membership_id = :ada"), {"ada": ada}
    ).scalars()
    assert start == date(2090, 3, 1)
    assert broken(connection, brand_id) == {}


@pytest.fixture
def saved(engine: Engine, brand_id: UUID, rule_id: UUID) -> UUID:
    """A rule that somebody saved a second version of."""
    with transaction(engine, brand_id, Actor("command", name="a test").acting()) as connection:
        rules.change(connection, brand_id, rule_id, CreditRuleChange.model_validate({"roll_over": True}))
    return rule_id


@pytest.mark.parametrize(
    ("planted", "wrong"),
    [
        ("DELETE FROM audit_entries WHERE action = 'credit_rule.updated' AND subject_id = :rule", "it has no entry"),
        (
            """INSERT INTO audit_entries (brand_id, entry_id, brand_time, action, subject_id)
               SELECT brand_id, gen_random_uuid(), now(), 'credit_rule.updated', subject_id FROM audit_entries
                WHERE subject_id = :rule AND action = 'credit_rule.updated'""",
            "it has more than one entry",
        ),
        (
            """INSERT INTO audit_entries (brand_id, entry_id, brand_time, action, subject_id)
               SELECT brand_id, gen_random_uuid(), now(), 'run.created', gen_random_uuid() FROM credit_rules
                WHERE credit_rule_id = CAST(:rule AS uuid)""",
            "an entry of what is not there",
        ),
    ],
)
def test_law_11_finds_a_change_without_its_one_entry(
    connection: Connection, brand_id: UUID, saved: UUID, planted: str, wrong: str
) -> None:
    """One that was lost, one that is there twice, one of what was undone."""
    assert 11 not in broken(connection, brand_id)
    connection.execute(text("ALTER TABLE audit_entries DISABLE TRIGGER audit_entries_append_only"))
    plant(connection, planted, rule=str(saved))
    (offender,) = broken(connection, brand_id)[11]
    assert offender["wrong"] == wrong


def test_law_1_finds_a_double(connection: Connection, brand_id: UUID, ada: UUID) -> None:
    """Two credits for one key are found even where the unique key is gone."""
    connection.execute(text("ALTER TABLE credits DROP CONSTRAINT credits_once"))
    columns = (
        connection.execute(text("SELECT * FROM credits WHERE membership_id = :ada"), {"ada": ada}).mappings().one()
    )
    double = {**columns, "credit_id": uuid4(), "code": "DOUBLE"}
    names = ", ".join(double)
    plant(connection, f"INSERT INTO credits ({names}) VALUES ({', '.join(f':{name}' for name in double)})", **double)
    assert broken(connection, brand_id)[1][0]["membership_id"] == ada


def test_law_2_finds_a_lost_credit(connection: Connection, brand_id: UUID, ada: UUID) -> None:
    """A credit that is owed and not there is found, with all that a replay needs."""
    plant(connection, "DELETE FROM credits WHERE membership_id = :ada", ada=ada)
    assert set(broken(connection, brand_id)) == {2}
    (offender,) = broken(connection, brand_id)[2]
    assert (offender["membership_id"], offender["period_start"]) == (ada, date(2090, 3, 1))


def test_law_3_finds_a_credit_that_nothing_released(connection: Connection, brand_id: UUID, ada: UUID) -> None:
    """A live credit of a period that no charge paid for is found."""
    plant(connection, "DELETE FROM billing_events WHERE membership_id = :ada AND type = 'charge.initiated'", ada=ada)
    (offender,) = broken(connection, brand_id)[3]
    assert offender["membership_id"] == ada
    assert "charge_unpaid" in offender["wrong"]


def test_law_3_lets_a_manual_credit_be(connection: Connection, brand_id: UUID, ada: UUID) -> None:
    """What an operator issued by hand needs no release."""
    plant(connection, "DELETE FROM billing_events WHERE membership_id = :ada AND type = 'charge.initiated'", ada=ada)
    plant(connection, "UPDATE credits SET manual = true WHERE membership_id = :ada", ada=ada)
    assert 3 not in broken(connection, brand_id)


def test_law_3_finds_a_credit_of_who_was_archived_before(connection: Connection, brand_id: UUID, ada: UUID) -> None:
    """Settling would leave it: what was theirs is thought to be revoked."""
    archived = """
        UPDATE members p SET archived_at = c.issued_at
          FROM memberships m JOIN credits c USING (brand_id, membership_id)
         WHERE (p.brand_id, p.member_id) = (m.brand_id, m.member_id) AND m.membership_id = :ada
    """
    plant(connection, archived, ada=ada)
    (offender,) = broken(connection, brand_id)[3]
    assert (offender["membership_id"], offender["wrong"]) == (ada, "issued although its member was archived")
    plant(connection, "UPDATE credits SET redeemed_at = issued_at, uses = 1 WHERE membership_id = :ada", ada=ada)
    assert not any("archived" in one["wrong"] for one in broken(connection, brand_id).get(3, []))


@pytest.mark.parametrize("expires_at", [None, datetime(2090, 3, 31, 23, 0, 1, tzinfo=UTC)])
def test_law_4_finds_a_credit_that_outlives_its_period(
    connection: Connection, brand_id: UUID, ada: UUID, expires_at: datetime | None
) -> None:
    """roll_over=false ends when the period does: at midnight in Lisbon, which is an hour ahead by then."""
    plant(connection, "UPDATE credits SET expires_at = :at WHERE membership_id = :ada", at=expires_at, ada=ada)
    (offender,) = broken(connection, brand_id)[4]
    assert offender["membership_id"] == ada


def test_law_5_finds_a_credit_spent_twice(connection: Connection, brand_id: UUID, ada: UUID) -> None:
    """Two redemptions of a single-use credit are found; a canceled one does not count."""
    spend = """
        INSERT INTO redemptions (brand_id, redemption_id, credit_id, status, created_at)
        SELECT brand_id, gen_random_uuid(), credit_id, :status, now() FROM credits WHERE membership_id = :ada
    """
    plant(connection, spend, ada=ada, status="COMPLETED")
    plant(connection, spend, ada=ada, status="CANCELED")
    assert 5 not in broken(connection, brand_id)
    plant(connection, spend, ada=ada, status="SUBMITTED")
    (offender,) = broken(connection, brand_id)[5]
    assert (offender["redemptions"], offender["wrong"]) == (2, "redeemed more than once")


def test_law_5_finds_a_credit_spent_after_its_end(connection: Connection, brand_id: UUID, ada: UUID) -> None:
    """A redemption at or after the expiry is found."""
    plant(connection, "UPDATE credits SET redeemed_at = expires_at, uses = 1 WHERE membership_id = :ada", ada=ada)
    (offender,) = broken(connection, brand_id)[5]
    assert offender["wrong"] == "redeemed after its expiry"


def test_law_6_finds_a_wallet_that_is_not_its_ledger(connection: Connection, brand_id: UUID, ada: UUID) -> None:
    """The ledger is added up anew: a wallet that was written to by hand is found."""
    member = connection.execute(
        text("SELECT member_id FROM memberships WHERE membership_id = :ada"), {"ada": ada}
    ).scalar_one()
    ids = {"brand_id": brand_id, "member": member}
    plant(connection, "INSERT INTO wallets (brand_id, member_id) VALUES (:brand_id, :member)", **ids)
    entry = """
        INSERT INTO ledger_entries (brand_id, entry_id, member_id, type, amount, created_at)
        VALUES (:brand_id, gen_random_uuid(), :member, :type, :amount, now())
    """
    plant(connection, entry, **ids, type="credit", amount=100)
    plant(connection, entry, **ids, type="forfeit", amount=-30)
    assert 6 not in broken(connection, brand_id)
    plant(
        connection,
        "UPDATE wallets SET received = received + 1 WHERE (brand_id, member_id) = (:brand_id, :member)",
        **ids,
    )
    (offender,) = broken(connection, brand_id)[6]
    assert (offender["member_id"], offender["ledger_balance"]) == (member, 70)


def test_law_9_finds_what_is_left_lying(connection: Connection, brand_id: UUID, ada: UUID) -> None:
    """Overdue, unsettled, stalled and set apart: each is named; what is a minute old is let alone."""
    set_due = "UPDATE schedules SET due_at = :at WHERE schedule_id = :ada"
    plant(connection, set_due, at=datetime(2090, 3, 14, 23, 59, tzinfo=UTC), ada=ada)
    assert broken(connection, brand_id) == {}
    plant(connection, set_due, at=datetime(2090, 3, 14, tzinfo=UTC), ada=ada)
    assert "fell due" in broken(connection, brand_id)[9][0]["wrong"]
    plant(
        connection, "UPDATE schedules SET quarantined_at = now(), last_error = 'why' WHERE schedule_id = :ada", ada=ada
    )
    (offender,) = broken(connection, brand_id)[9]
    assert (offender["membership_id"], offender["last_error"]) == (ada, "why")
    plant(connection, "UPDATE schedules SET quarantined_at = NULL, due_at = NULL WHERE schedule_id = :ada", ada=ada)
    plant(
        connection,
        "UPDATE billing_events SET settled_at = NULL, received_at = now() - interval '1 hour'"
        " WHERE membership_id = :ada AND type = 'charge.initiated'",
        ada=ada,
    )
    assert broken(connection, brand_id)[9][0]["type"] == "charge.initiated"


def test_law_9_finds_who_slept_through_what_was_announced(
    engine: Engine, connection: Connection, brand_id: UUID, ada: UUID, accept: Callable[..., Intake]
) -> None:
    """A fact of a time ahead is settled when it comes and falls due at that time: nothing else asks about it then."""
    said = {"membership_id": str(ada), "status": "cancelled", "ends_on": "2090-03-15"}
    accept(event("membership.status_changed", said, time="2090-03-15T01:00:00Z"))
    arrivals.settle_soon(engine, brand_id, [ada])
    plant(connection, "UPDATE brands SET clock_now = '2090-03-15T03:00Z' WHERE brand_id = :brand_id", brand_id=brand_id)
    assert "fell due" in broken(connection, brand_id)[9][0]["wrong"]
    plant(connection, "UPDATE schedules SET due_at = NULL WHERE schedule_id = :ada", ada=ada)
    (offender,) = broken(connection, brand_id)[9]
    assert (offender["wrong"], offender["membership_id"]) == ("it is looked at too late", ada)


def test_law_9_looks_as_of_the_beginning_of_its_check(
    connection: Connection, brand_id: UUID, ada: UUID, limit: Limit
) -> None:
    """A check of a large brand takes long, and sees nothing of what is settled meanwhile."""
    limit("reports", late_minutes=0)
    plant(connection, "UPDATE brands SET clock_now = NULL WHERE brand_id = :brand_id", brand_id=brand_id)
    soon = "now() + interval '1 millisecond'"
    plant(connection, f"UPDATE schedules SET due_at = {soon}, settled_at = now() WHERE schedule_id = :ada", ada=ada)
    connection.execute(text("SELECT pg_sleep(0.05)"))
    assert [offenders for batch in settled.ask(connection, brand_id) for offenders in batch] == []


def test_law_9_finds_a_stalled_run(connection: Connection, brand_id: UUID, rule_id: UUID) -> None:
    """A run that nobody works on is named; a paused one rests."""
    run_id = uuid4()
    plant(
        connection,
        "INSERT INTO runs (brand_id, run_id, kind, credit_rule_id, created_at)"
        " VALUES (:brand_id, :run_id, 'issue', :rule_id, now() - interval '1 hour')",
        brand_id=brand_id,
        run_id=run_id,
        rule_id=rule_id,
    )
    assert broken(connection, brand_id)[9][0]["run_id"] == run_id
    plant(connection, "UPDATE runs SET state = 'paused' WHERE run_id = :run_id", run_id=run_id)
    assert broken(connection, brand_id) == {}
    runs.resume(connection, brand_id, run_id)
    assert broken(connection, brand_id) == {}, "it has only just been resumed"


def test_law_9_lets_a_run_alone_that_reads_from_its_biller(connection: Connection, brand_id: UUID) -> None:
    """A dry run counts at the end what it read, and says at each page that it works."""
    biller_id = billers.create(connection, brand_id, New("stripe", [SECRET], "sk_test_x"))
    run_id = reconciling.start(connection, brand_id, biller_id, dry_run=True)
    plant(connection, "UPDATE runs SET created_at = now() - interval '1 hour' WHERE run_id = :run_id", run_id=run_id)
    assert broken(connection, brand_id)[9][0]["run_id"] == run_id
    reads = "UPDATE reconciliations SET next_at = clock_timestamp() + interval '2 minutes' WHERE run_id = :run_id"
    plant(connection, reads, run_id=run_id)
    assert broken(connection, brand_id) == {}
