"""Upgrades: whatever happens on the way, the tables end as a new database has them, and nobody is cut off."""

import threading
import time
from collections.abc import Callable

import pytest

from issuance.database import schema
from issuance.database.revisions import AppliedMigrations, standing_of
from issuance.database.schema import Until
from issuance.database.schema.execution import Progress
from issuance.database.schema.history import History, Part
from issuance.errors import SchemaAhead, SchemaBehind, SchemaUnknown, UpgradeFailed, UpgradeRefused
from tests.database.upgrades.conftest import NEWEST, TICKETS, connect
from tests.limits import Limit
from tests.waiting import PATIENCE_SECONDS, eventually

#: Seconds: longer than whatever an upgrade waits for here.
PAUSE = 120.0
OLD, NEW = "issuance 0.2.0 schema 2", "issuance 0.3.0 schema 3"


def names(parts: list[Part]) -> list[str]:
    return [part.revision for part in parts]


def standing(url: str) -> AppliedMigrations:
    with connect(url) as connection:
        return standing_of(connection)


def test_an_upgraded_database_is_as_a_new_one(shop: str, history: History) -> None:
    """In one go: columns, constraints, indexes, triggers, functions, policies and owners are those of a new one."""
    done = schema.upgrade(shop, history=history)
    assert names(done.ran) == ["before_0002", "before_0003", "after_0003"]
    assert done.pending == []
    assert schema.diff(shop, NEWEST) == []
    assert standing(shop) == AppliedMigrations(before=3, after=3)


def test_step_by_step_is_as_in_one_go(shop: str, history: History) -> None:
    """First what old processes can work beside, later the rest: it comes to the same."""
    before = schema.upgrade(shop, Until.BEFORE, history=history)
    assert (names(before.ran), names(before.pending)) == (["before_0002", "before_0003"], ["after_0003"])
    assert standing(shop) == AppliedMigrations(before=3, after=1)
    assert schema.diff(shop, NEWEST) != []
    after = schema.upgrade(shop, Until.AFTER, history=history)
    assert (names(after.ran), names(after.pending)) == (["after_0003"], [])
    assert schema.diff(shop, NEWEST) == []


def test_an_empty_database_is_made_new(empty_database: Callable[[], str], history: History) -> None:
    """Upgrading nothing is applying: whoever starts processes need not know which it is."""
    url = empty_database()
    assert schema.upgrade(url, history=history, newest=NEWEST).ran == []
    assert schema.diff(url, NEWEST) == []
    assert standing(url) == AppliedMigrations(before=3, after=3)


def test_a_second_time_changes_nothing(shop: str, history: History) -> None:
    schema.upgrade(shop, history=history)
    assert schema.upgrade(shop, history=history).ran == []
    assert schema.diff(shop, NEWEST) == []


def test_every_row_of_every_brand_is_filled_once(shop: str, history: History) -> None:
    """A backfill walks all brands, though row-level security binds the owner too, and no row twice."""
    told: list[Progress] = []
    schema.upgrade(shop, tell=told.append, history=history)
    with connect(shop) as connection:
        connection.execute("SET issuance.brand_id = '*'")
        found = connection.execute("SELECT count(*), count(shown_as), min(writes), max(writes) FROM tickets").fetchone()
    assert found == (TICKETS, TICKETS, 1, 1)
    batches = [one for one in told if one.total]
    assert len(batches) > 3, "it tells how far it is"
    assert batches[-1].done == batches[-1].total == TICKETS


def test_who_could_not_go_on_is_not_cut_off(shop: str, history: History) -> None:
    """What takes away waits for the last process of the version before, and says whom it waits for."""
    schema.upgrade(shop, Until.BEFORE, history=history)
    with connect(shop, OLD), connect(shop, NEW):
        waits = schema.upgrade(shop, history=history)
        assert names(waits.pending) == ["after_0003"]
        connected = "connected are 1 of issuance 0.2.0 with schema 2"
        assert waits.waits_for == f"after_0003 needs that older processes are gone; {connected}"
        with pytest.raises(UpgradeRefused, match=r"0\.2\.0 with schema 2\. Stop them, then run it again"):
            schema.upgrade(shop, Until.AFTER, history=history)
        assert standing(shop) == AppliedMigrations(before=3, after=1), "who was refused has begun nothing"
    with connect(shop, NEW):
        assert names(schema.upgrade(shop, history=history).ran) == ["after_0003"]


def test_what_has_to_be_alone_is_refused_while_anybody_works(shop: str, history: History) -> None:
    """0.1.0 can not be upgraded beside its processes, whose connections carry no version."""
    with connect(shop, "issuance"), pytest.raises(UpgradeRefused, match=r"connected are 1 of issuance 0\.1\.0\. Stop"):
        schema.upgrade(shop, Until.BEFORE, history=history)
    with connect(shop, "psql"), connect(shop, "issuance schema"):
        assert names(schema.upgrade(shop, history=history).ran) == ["before_0002", "before_0003", "after_0003"]


def test_what_takes_away_has_begun_before_its_first_step(shop: str, history: History) -> None:
    """From then on the old version's processes are turned away when they connect: none works beside a half of it."""
    schema.upgrade(shop, Until.BEFORE, history=history)
    seen: list[AppliedMigrations] = []
    schema.upgrade(shop, tell=lambda _: seen.append(standing(shop)), history=history)
    assert set(seen) == {AppliedMigrations(before=3, after=3)}
    with pytest.raises(SchemaAhead):
        seen[0].check(newest=2)


def test_a_database_of_no_version_is_not_touched(shop: str, history: History) -> None:
    """What 0.1.0 made is known by its shape. Indexes of the operator's own do not matter, a missing column does."""
    with connect(shop) as connection:
        connection.execute("CREATE INDEX of_our_own ON tickets (code)")
        connection.execute("ALTER TABLE tickets ALTER spent DROP NOT NULL")
        with pytest.raises(SchemaUnknown, match=r"not those of 0\.1\.0: column tickets\.spent"):
            schema.upgrade(shop, history=history)
        assert connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,)
        connection.execute("ALTER TABLE tickets ALTER spent SET NOT NULL")
    schema.upgrade(shop, history=history)
    assert [line.partition(":")[0] for line in schema.diff(shop, NEWEST)] == ["index of_our_own on tickets"]


def test_nobody_waits_long_behind_an_upgrade_that_waits(shop: str, history: History) -> None:
    """While somebody reads a table for long, it asks for its lock in short turns, and lets others pass between."""
    told: list[Progress] = []
    with connect(shop) as reading, connect(shop) as others:
        with reading.transaction():
            reading.execute("SELECT count(*) FROM tickets")
            upgrading = threading.Thread(
                target=schema.upgrade, args=(shop,), kwargs={"history": history, "tell": told.append}
            )
            upgrading.start()
            # Had it not asked in turns, they would wait for it, and it for the reading, which ends after them.
            others.execute(f"SET statement_timeout = '{PATIENCE_SECONDS:.0f}s'")

            def waited_behind_it() -> bool:
                began = time.monotonic()
                others.execute("SELECT count(*) FROM tickets WHERE brand_id IS NULL")
                return time.monotonic() - began > 0.1

            eventually(waited_behind_it, every=0.01)
            eventually(lambda: any(one.waiting for one in told))
            assert {one.revision for one in told} == {"before_0002"}, "it has not got its lock"
        upgrading.join()
    assert schema.diff(shop, NEWEST) == []


def test_a_lock_is_had_between_two_long_transactions(shop: str, history: History, limit: Limit) -> None:
    """Who works without a rest leaves gaps of milliseconds: as soon as one ends the lock is asked for."""
    limit("upgrades", first_pause=PAUSE, last_pause=PAUSE)
    told: list[Progress] = []
    upgrading = threading.Thread(
        target=schema.upgrade, args=(shop,), kwargs={"history": history, "tell": told.append}, daemon=True
    )
    with connect(shop) as working:
        until = time.monotonic() + PAUSE / 2
        while time.monotonic() < until and (upgrading.is_alive() or not told):
            with working.transaction():
                working.execute("SELECT count(*) FROM tickets")
                if not upgrading.ident:
                    upgrading.start()
                time.sleep(1)
            time.sleep(0.1)
    assert any(one.waiting for one in told), "it did wait, or this shows nothing"
    assert not upgrading.is_alive()
    assert schema.diff(shop, NEWEST) == []


def test_an_index_that_was_left_half_built_is_built_anew(shop: str, history: History) -> None:
    """A build that fails leaves an invalid index; the next upgrade drops it first. The failure is one line."""
    with connect(shop) as connection:
        connection.execute("SET issuance.brand_id = '*'")
        doubled = "INSERT INTO tickets (brand_id, ticket_id, code) SELECT brand_id, gen_random_uuid(), '1' FROM brands"
        connection.execute(doubled)
        with pytest.raises(
            UpgradeFailed, match=r"before_0003, step 9 \(index tickets_by_shown\): could not create unique"
        ) as failed:
            schema.upgrade(shop, history=history)
        assert "\n" not in failed.value.message
        invalid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'tickets_by_shown'::regclass"
        assert connection.execute(invalid).fetchone() == (False,)
        connection.execute(
            "DELETE FROM tickets WHERE ctid IN (SELECT max(ctid) FROM tickets WHERE number = '1' GROUP BY brand_id)"
        )
    schema.upgrade(shop, history=history)
    assert schema.diff(shop, NEWEST) == []


def test_one_upgrade_at_a_time(shop: str, history: History) -> None:
    """Several that start together, as in a deployment of many machines: one works, the others wait and find it done."""
    ran: list[list[str]] = []

    def upgrade() -> None:
        ran.append(names(schema.upgrade(shop, history=history).ran))

    threads = [threading.Thread(target=upgrade) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ran) == [[], [], ["before_0002", "before_0003", "after_0003"]]
    assert schema.diff(shop, NEWEST) == []


def test_status_says_that_a_database_is_ahead(shop: str, history: History) -> None:
    """What a later version took away is missing here: that is no newest schema."""
    schema.upgrade(shop, history=history)
    with connect(shop) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'after_0009' WHERE version_num LIKE 'after%'")
    with pytest.raises(SchemaAhead, match="gone since migration 9"):
        schema.status(shop, history)


def test_status_says_what_is_pending_and_how_long_it_may_take(shop: str, history: History) -> None:
    """An estimate from the sizes of the tables; once a backfill is under way, at its own pace."""
    found = schema.status(shop, history)
    assert found.standing is None
    assert [pending.part.revision for pending in found.pending] == ["before_0002", "before_0003", "after_0003"]
    assert 0.5 < found.pending[1].seconds < 60
    schema.upgrade(shop, Until.BEFORE, history=history)
    found = schema.status(shop, history)
    assert found.standing == AppliedMigrations(before=3, after=1)
    assert [pending.seconds for pending in found.pending] == [0.0]
    schema.upgrade(shop, history=history)
    assert schema.status(shop, history).pending == []


@pytest.mark.parametrize(("newest", "error"), [(2, SchemaAhead), (3, None), (4, None), (5, None), (6, SchemaBehind)])
def test_what_code_can_work_with(newest: int, error: type[Exception] | None) -> None:
    """Code needs what its own newest migration gave, and goes on until something that it needs is taken away."""
    found = AppliedMigrations(before=5, after=3)
    if error is None:
        found.check(newest)
    else:
        with pytest.raises(error) as said:
            found.check(newest)
        assert "\n" not in str(said.value)
