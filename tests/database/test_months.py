"""The outbox, its deliveries and the audit lie in months, and old ones go in a moment (decision 52)."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from campaigns.growth.months import LONG_AGO, begin
from campaigns.receiver import Receiver
from issuance import audit
from issuance.audit import Actor, detaching
from issuance.catalog import coupons, membership_types, rules
from issuance.catalog.coupons import CouponBody
from issuance.catalog.membership_types import NewMembershipType
from issuance.catalog.rule_versions import CreditRuleChange, NewCreditRule
from issuance.database import months, schema
from issuance.database.connections import engine_for, transaction
from issuance.errors import Invalid
from issuance.laws import audited
from issuance.tenancy import brands
from issuance.webhooks import months as of_outbox
from scheduler.tick import tidy
from tests.database.cli import Cli
from tests.database.test_retention import KEEP
from tests.hooks import Hook, listen
from tests.waiting import eventually

TABLES = ("audit_entries", "webhook_events", "deliveries")
FAR_AHEAD = date(2090, 5, 1)


@pytest.fixture
def url(fresh_database: Callable[[], str]) -> str:
    return fresh_database()


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = engine_for(url)
    yield engine
    engine.dispose()


@pytest.fixture
def brand_id(engine: Engine) -> UUID:
    with transaction(engine) as connection:
        return brands.create(connection, name="months", timezone="UTC", sandbox=True)[0]


@pytest.fixture
def hook(engine: Engine, brand_id: UUID, receiver: Receiver) -> Hook:
    return listen(engine, brand_id, receiver)


def names(engine: Engine, whole: str) -> list[str]:
    with transaction(engine) as connection:
        return [part.name.removeprefix(f"{whole}_") for part in months.parts(connection, whole)]


def run(engine: Engine, statement: str, **parameters: object) -> list[Any]:
    with transaction(engine) as connection:
        found = connection.execute(text(statement), parameters)
        return [tuple(row) for row in found] if found.returns_rows else []


def ahead(number: int) -> str:
    """The name of a month, so many ahead of this one."""
    today = datetime.now(UTC).date()
    year, month = divmod(today.year * 12 + today.month - 1 + number, 12)
    return f"{year}_{month + 1:02}"


def id_of(day: date) -> UUID:
    """An id that was made on a day."""
    made = int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp() * 1000)
    return UUID(int=made << 80 | 7 << 76 | uuid4().int % (1 << 76))


def test_this_month_and_two_ahead_are_there(engine: Engine, brand_id: UUID, hook: Hook) -> None:
    """From the beginning; what is written goes to this month's part."""
    hook.tell()
    for whole in TABLES:
        assert names(engine, whole) == ["earlier", *(ahead(number) for number in range(3))]
        assert run(engine, f"SELECT DISTINCT tableoid::regclass::text FROM {whole}") == [(f"{whole}_{ahead(0)}",)]


def test_months_are_made_ahead_once(engine: Engine, brand_id: UUID) -> None:
    """By PostgreSQL's clock, whatever a brand's says; what is there already stays as it is."""
    run(engine, "UPDATE brands SET clock_now = '2090-01-01'")
    run(engine, f"DROP TABLE webhook_events_{ahead(2)}, deliveries_{ahead(2)}, audit_entries_{ahead(1)}")
    for _ in range(2):
        tidy(engine, KEEP)
        for whole in TABLES:
            assert names(engine, whole) == ["earlier", *(ahead(number) for number in range(3))]
    months.make_ahead(engine, ahead=14)
    assert names(engine, "deliveries")[-1] == ahead(14)


def test_every_part_keeps_brands_apart_and_deliveries_to_their_months_events(engine: Engine, url: str) -> None:
    """A policy on each, as one may be named in a statement; and the foreign key of deliveries on each of theirs."""
    months.make_ahead(engine, ahead=5)
    with transaction(engine) as connection:
        assert schema.open_tables(connection) == []
    assert schema.diff(url) == []
    leads = """
        SELECT count(*) FROM pg_inherits JOIN pg_constraint ON conrelid = inhrelid AND conname = 'deliveries_of_event'
         WHERE inhparent = 'deliveries'::regclass
           AND replace(confrelid::regclass::text, 'webhook_events_', '')
             = replace(inhrelid::regclass::text, 'deliveries_', '')
    """
    assert run(engine, leads) == [(8,)]


def test_an_id_of_no_month_is_kept_and_holds_up_no_other_table(engine: Engine, brand_id: UUID) -> None:
    """A clock that is far ahead: its rows are found; the month that they are of is not made, and others are."""
    entry = """
        INSERT INTO audit_entries (brand_id, entry_id, brand_time, action, subject_id)
        VALUES (:brand, :id, now(), 'a.b', 'c')
    """
    soon = date.fromisoformat(f"{ahead(3).replace('_', '-')}-05")
    for day in (soon, FAR_AHEAD):
        run(engine, entry, brand=brand_id, id=id_of(day))
    months.make_ahead(engine, ahead=4)
    assert names(engine, "audit_entries")[-2:] == [ahead(2), ahead(4)]
    assert names(engine, "webhook_events")[-2:] == [ahead(3), ahead(4)]
    assert run(engine, "SELECT count(*) FROM audit_entries WHERE action = 'a.b'") == [(2,)]


def test_a_month_whose_lock_is_held_is_made_later(engine: Engine) -> None:
    """Nobody waits for it longer than half a second, and the tidying goes on."""
    run(engine, f"DROP TABLE audit_entries_{ahead(2)}")
    with engine.connect() as holder:
        holder.execute(text("LOCK TABLE audit_entries_other IN ACCESS SHARE MODE"))
        months.make_ahead(engine)
        assert ahead(2) not in names(engine, "audit_entries")
        holder.rollback()
    months.make_ahead(engine)
    assert ahead(2) in names(engine, "audit_entries")


def grow_old(hook: Hook, state: str, attempted: str) -> None:
    """What was told this month was told long ago, and came to this."""
    moved = id_of(LONG_AGO + timedelta(days=9))
    hook.sql("UPDATE deliveries SET next_at = NULL, state = 'failed'")
    hook.sql(f"""
        INSERT INTO webhook_events (brand_id, event_id, type, occurred_at, data, created_at)
        SELECT brand_id, '{moved}', type, occurred_at, data, '2019-03-10' FROM webhook_events LIMIT 1
    """)
    hook.sql(f"""
        INSERT INTO deliveries (brand_id, delivery_id, webhook_id, event_id, state, next_at, attempts, attempted_at)
        SELECT brand_id, gen_random_uuid(), webhook_id, '{moved}', '{state}',
               CASE WHEN '{state}' = 'pending' THEN now() END, 1, {attempted} FROM deliveries LIMIT 1
    """)


@pytest.mark.parametrize(
    ("state", "attempted", "goes"),
    [
        ("failed", "'2019-04-01'", True),
        ("pending", "'2019-04-01'", False),
        ("pending", "NULL", False),
        ("failed", "now() - interval '29 days'", False),
    ],
)
def test_a_month_of_the_outbox_goes_when_all_of_it_is_kept_no_longer(
    engine: Engine, hook: Hook, state: str, attempted: str, *, goes: bool
) -> None:
    """Not where something of it waits, or was told again of late; this month's stays in any case."""
    begin(engine)
    hook.tell()
    grow_old(hook, state, attempted)
    gone = of_outbox.drop(engine, timedelta(days=30))
    month = f"{LONG_AGO:%Y_%m}"
    assert gone == ([f"webhook_events_{month}"] if goes else [])
    assert (month in names(engine, "deliveries")) is not goes
    assert len(hook.deliveries()) == (1 if goes else 2)
    assert of_outbox.drop(engine, timedelta(days=36_500)) == []


@pytest.fixture
def rule_id(engine: Engine, brand_id: UUID) -> UUID:
    """A rule that somebody saved twice."""
    with transaction(engine, brand_id, Actor("command", name="a test").acting()) as connection:
        gold = membership_types.create(connection, brand_id, NewMembershipType(name="Gold"))["id"]
        body = {"name": "Spa", "discount": {"type": "percent", "value": 10}}
        coupons.put(connection, brand_id, "spa", CouponBody.model_validate(body))
        saved = NewCreditRule(membership_type_id=gold, coupon_id="spa", coupon_name="Spa", issue_on_signup=True)
        made = rules.create(connection, brand_id, saved)["id"]
        rules.change(connection, brand_id, made, CreditRuleChange.model_validate({"roll_over": True}))
    return UUID(str(made))


def offenders(engine: Engine, brand_id: UUID) -> list[object]:
    with transaction(engine, brand_id) as connection:
        return [one["wrong"] for found in audited.ask(connection, brand_id) for one in found]


def test_months_of_the_audit_are_detached(engine: Engine, brand_id: UUID, rule_id: UUID) -> None:
    """They become tables with all that was in them, an entry says so, and law 11 asks about what is left."""
    begin(engine)
    month = f"audit_entries_{LONG_AGO:%Y_%m}"
    run(engine, "ALTER TABLE audit_entries DISABLE TRIGGER audit_entries_append_only")
    for (entry_id,) in run(engine, "SELECT entry_id FROM audit_entries"):
        moved = "UPDATE audit_entries SET entry_id = :id, at = '2019-03-09' WHERE entry_id = :was"
        run(engine, moved, id=id_of(LONG_AGO + timedelta(days=8)), was=entry_id)
    run(engine, "ALTER TABLE audit_entries ENABLE TRIGGER audit_entries_append_only")
    assert offenders(engine, brand_id) == []
    (entries,) = run(engine, f"SELECT count(*) FROM {month}")[0]
    with transaction(engine) as connection:
        (part,) = detaching.before(connection, date(2019, 4, 1))
        assert detaching.before(connection, LONG_AGO) == []
        assert detaching.detach(connection, part) == entries > 2
    assert month not in [f"audit_entries_{name}" for name in names(engine, "audit_entries")]
    (entry,) = run(engine, "SELECT action, subject_id, CAST(after ->> 'entries' AS bigint) FROM audit_entries")
    assert entry == ("audit.detached", month, entries)
    assert run(engine, f"SELECT count(*) FROM {month}") == [(entries,)]
    assert offenders(engine, brand_id) == [], "what was done before is not asked for"
    with pytest.raises(Exception, match="append-only"):
        run(engine, f"DELETE FROM {month}")
    with transaction(engine) as connection:
        assert schema.open_tables(connection) == []


def test_after_a_detaching_law_11_still_misses_what_came_later(engine: Engine, brand_id: UUID, rule_id: UUID) -> None:
    """A change that was made a day after the first entry that is there, and has none."""
    begin(engine)
    run(engine, "ALTER TABLE audit_entries DISABLE TRIGGER audit_entries_append_only")
    run(engine, "DELETE FROM audit_entries WHERE action <> 'credit_rule.updated'")
    assert offenders(engine, brand_id) == []
    run(engine, "UPDATE rule_versions SET created_at = created_at + interval '2 days' WHERE version = 1")
    assert offenders(engine, brand_id) == ["it has no entry"]


def test_only_months_that_are_over_are_detached(engine: Engine) -> None:
    """This one is written to."""
    with transaction(engine) as connection:
        this = date.fromisoformat(f"{ahead(0).replace('_', '-')}-01")
        assert [part.name for part in detaching.before(connection, this)] == ["audit_entries_earlier"]
        with pytest.raises(Invalid, match="over"):
            detaching.before(connection, date.fromisoformat(f"{ahead(1).replace('_', '-')}-01"))


def test_who_writes_goes_on_while_months_go(engine: Engine, brand_id: UUID) -> None:
    """Writers that never rest: each entry is written, though parts are detached and made meanwhile."""
    begin(engine)
    over = threading.Event()
    written = [0, 0]
    failed: list[BaseException] = []

    def work(place: int) -> None:
        try:
            while not over.is_set():
                with transaction(engine, brand_id) as connection:
                    audit.write(connection, brand_id, "coupon.updated", "tea")
                written[place] += 1
        except BaseException as error:
            failed.append(error)

    def detached() -> bool:
        """The oldest part is; not while a writer is in the middle of its work for long."""
        try:
            with transaction(engine) as connection:
                detaching.detach(connection, months.parts(connection, "audit_entries")[0])
        except DBAPIError as error:
            if not months.is_busy(error):
                raise
            return False
        return True

    writers = [threading.Thread(target=work, args=(place,)) for place in range(2)]
    for writer in writers:
        writer.start()
    try:
        months.make_ahead(engine, ahead=6)
        for part in range(20):
            before = sum(written)
            with transaction(engine) as connection:
                first = date(2019 - part, 5, 1)
                connection.execute(text("SELECT make_month('audit_entries', :first)"), {"first": first})
            eventually(detached)
            eventually(lambda before=before: failed or sum(written) > before)  # type: ignore[misc]
    finally:
        over.set()
        for writer in writers:
            writer.join()
    assert failed == []
    (told,) = run(engine, "SELECT count(*) FROM audit_entries WHERE action = 'coupon.updated'")[0]
    assert told == sum(written) >= 20


def test_the_command_lists_and_detaches_months(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, url: str, engine: Engine, brand_id: UUID
) -> None:
    """One that is over, and once; not this one."""
    begin(engine)
    run(
        engine,
        "INSERT INTO audit_entries (brand_id, entry_id, brand_time, action, subject_id) "
        "VALUES (:brand, :id, now(), 'coupon.updated', 'tea')",
        brand=brand_id,
        id=id_of(LONG_AGO),
    )
    monkeypatch.setenv("DATABASE_URL", url)
    first = cli("audit", "months", "--json").json["data"][0]
    assert (first["table"], first["since"], first["until"]) == ("audit_entries_2019_03", "2019-03-01", "2019-04-01")
    (gone,) = cli("audit", "detach", "--before", "2019-04", "--json").json["data"]
    assert (gone["table"], gone["entries"]) == ("audit_entries_2019_03", 1)
    assert cli("audit", "detach", "--before", "2019-04").out == "There is no month that is older.\n"
    assert [one["action"] for one in cli("audit", "--json").json["data"]] == ["audit.detached", "brand.created"]
    for wrong in (ahead(1).replace("_", "-"), "2019-13", "march"):
        assert cli("audit", "detach", "--before", wrong).code == 2
