"""What pages and files hold in memory is bounded by what they show, whatever lies behind it."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import Engine, event

from issuance.api.app import create_app
from issuance.billers import billers, deliveries
from issuance.billers.billers import New
from issuance.console.reading import search
from issuance.console.reading.counted import Counter
from issuance.console.visits import COOKIE
from issuance.database.connections import transaction
from issuance.engine import plans
from issuance.errors import Invalid
from issuance.memberships import memberships
from issuance.memberships.dry_runs import DryRun
from issuance.people import sessions
from issuance.settings import Settings
from tests.database.clubs import Club, at
from tests.database.conftest import event as told_of
from tests.database.conftest import put_clock
from tests.database.consoles import signed_in
from tests.database.test_in_memory import ROOM, parties
from tests.limits import Limit

Accept = Callable[..., Any]
Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask(database_url: str, redis_url: str, engine: Engine, brand_id: UUID) -> Ask:
    """Somebody in the role of an admin asks for a page of the brand's, or sends a form."""
    app = create_app(Settings.model_validate({"DATABASE_URL": database_url, "REDIS_URL": redis_url}))
    token = signed_in(engine, brand_id, "admin")

    async def answered(path: str, form: dict[str, str] | None) -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", cookies={COOKIE: token}) as client:
            address = f"/console/{brand_id}/{path}"
            if form is None:
                return await client.get(address)
            return await client.post(address, data={**form, "form_token": sessions.form_token_of(token)})

    return lambda path, form=None: asyncio.run(answered(path, form))


@pytest.fixture
def read(engine: Engine) -> Iterator[list[tuple[str, int]]]:
    """The statements that are executed, and how many rows each gives."""
    seen: list[tuple[str, int]] = []

    def note(_: object, cursor: Any, statement: str, *__: object) -> None:
        seen.append((statement, cursor.rowcount))

    event.listen(Engine, "after_cursor_execute", note)
    yield seen
    event.remove(Engine, "after_cursor_execute", note)


def most_of(read: list[tuple[str, int]], table: str) -> int:
    """The most rows that one statement read of a table."""
    return max(rows for statement, rows in read if table in statement)


@pytest.fixture
def club(new_club: Callable[..., Club]) -> Club:
    return new_club(for_lead_booker_only=True)


def test_a_file_of_memberships_loads_nobodys_facts(
    ask: Ask, engine: Engine, brand_id: UUID, accept: Accept, signed_up: Any, limit: Limit
) -> None:
    """Years of them are more than are read at once. What the file says is what the pages say."""
    ids = [uuid4() for _ in range(5)]
    with transaction(engine, brand_id) as connection:
        put_clock(connection, brand_id, at("2031-01-20"))
    for one in ids:
        accept(signed_up(one, external_user_id=str(one), billing_anchor="2031-01-05", billing_frequency="P1M"))
    for day, time in (("2031-02-09", "2031-01-06T09:00:00Z"), ("2031-02-07", "2031-01-05T09:00:00Z")):
        accept(
            told_of("membership.billing_date_moved", {"membership_id": str(ids[0]), "billing_anchor": day}, time=time)
        )
    with transaction(engine, brand_id) as connection:
        pages = {str(row["id"]): row for row in memberships.page(connection, brand_id, 1, 50)[0]}
    assert str(pages[str(ids[0])]["billing_anchor"]) == "2031-02-09"
    limit("settling", loaded_bytes=1)
    limit("database", rows_at_once=2)
    file = ask("memberships?as=csv")
    assert file.status_code == 200
    columns, *lines = (line.split(",") for line in file.text.splitlines())
    assert [line[0] for line in lines] == sorted(map(str, ids))
    for line in lines:
        said, shown = dict(zip(columns, line, strict=True)), pages[line[0]]
        assert said["membership_type.name"] == shown["membership_type"]["name"]
        for name in ("billing_anchor", "guests_total", "starts_on", "status", "external_user_id"):
            assert said[name] == str(shown[name])


def test_a_page_of_heavy_orders_is_read_some_at_a_time(club: Club, limit: Limit) -> None:
    """As a dry run of them is: only one that alone is more than is read at once can't be shown."""
    parties(club, 3)
    limit("settling", loaded_bytes=ROOM)
    with transaction(club.engine, club.brand_id) as connection:
        rows, _ = memberships.page(connection, club.brand_id, 1, 50)
        assert [row["guests_total"] for row in rows] == [60, 60, 60]
        trial = DryRun(connection, club.brand_id)
        trial.touched = {row["id"] for row in rows}
        assert sum(row["now"] for row in trial.result()["credits"]) == 3


def test_a_page_of_long_lives_is_read_some_at_a_time(club: Club, limit: Limit) -> None:
    """No more are counted as fitting together than are then read."""
    ids = club.accept(3)
    for day in range(1, 4):
        told = [{"membership_id": str(one), "status": "paused" if day % 2 else "active"} for one in ids]
        club.tell("membership.status_changed", f"2031-01-{day:02}", *told)
    limit("settling", facts=6, facts_each=2)
    with transaction(club.engine, club.brand_id) as connection:
        assert len(memberships.page(connection, club.brand_id, 1, 50)[0]) == 3


@pytest.mark.parametrize(
    ("page", "column"), [("billers/{biller}?as=csv", "biller_deliveries.body"), ("catalog?as=coupons", "offerings")]
)
def test_a_file_asks_for_nothing_that_it_does_not_say(
    ask: Ask,
    engine: Engine,
    brand_id: UUID,
    rule_id: UUID,
    read: list[tuple[str, int]],
    page: str,
    column: str,
) -> None:
    """A body of 12 kB, offerings of 8 kB."""
    with transaction(engine, brand_id) as connection:
        biller = billers.create(connection, brand_id, New(kind="stripe", secrets=["whsec_a_secret"]))
        deliveries.store(connection, brand_id, biller, "d1", b"{}")
    address = page.format(biller=biller)
    file = ask(address)
    assert len(file.text.splitlines()) == 2
    assert not any(column in statement for statement, _ in read if statement.startswith("SELECT"))
    assert ask(address.partition("?")[0]).status_code == 200
    assert any(column in statement for statement, _ in read)


def test_a_file_of_the_audit_is_read_some_at_a_time(ask: Ask, rule_id: UUID, limit: Limit) -> None:
    """Each entry once, the latest first."""
    limit("database", rows_at_once=1)
    file = ask("audit?as=csv")
    ids = [line.split(",")[0] for line in file.text.splitlines()[1:]]
    assert len(ids) > 2
    assert ids == sorted(set(ids), reverse=True)
    some = ask("audit?as=csv&action=coupon.created")
    assert len(some.text.splitlines()) == 2


def test_a_plan_reads_the_guests_that_it_names(club: Club, read: list[tuple[str, int]]) -> None:
    """Not everybody who was ever on the order."""
    club.settle(parties(club, 2))
    plan = club.replay(dry_run=True)
    read.clear()
    with transaction(club.engine, club.brand_id) as connection:
        rows, _ = plans.page(connection, club.brand_id, plan["id"], 1, 1)
    assert [row["guest"]["lead_booker"] for row in rows] == [True]
    assert rows[0]["guest"]["name"].startswith("Guest 0")
    assert most_of(read, "FROM guests") == 1


def test_a_search_reads_whom_it_shows(club: Club, read: list[tuple[str, int]], limit: Limit) -> None:
    """Of large orders those who have the words, the most of them first; and that there are more is said."""
    club.settle(parties(club, 2))
    with transaction(club.engine, club.brand_id) as connection:
        found = search.find(connection, club.brand_id, "guest 7")
        assert [one["name"].split(" x")[0] for one in found.guests[:2]] == ["Guest 7", "Guest 7"]
        assert len(found.guests) == search.MOST
        assert found.more
        few = search.find(connection, club.brand_id, "59")
        assert ([one["name"].split(" x")[0] for one in few.guests], few.more) == (["Guest 59"] * 2, False)
        limit("console", guests_looked_at=3)
        assert {one["name"].split(" x")[0] for one in search.find(connection, club.brand_id, "guest").guests} == {
            "Guest 57",
            "Guest 58",
            "Guest 59",
        }
    assert most_of(read, "starts_with(word, typed)") == search.MOST + 1


def test_no_brand_has_its_counts_made_before_all_others(engine: Engine, brand_id: UUID, other_brand_id: UUID) -> None:
    """Whoever opens the pages of a thousand rules keeps nobody's first page waiting for a thousand counts."""
    counter, begin, made = Counter(), threading.Event(), list[str]()

    def count(name: str) -> Callable[[Any], list[str]]:
        def counted(_: object) -> list[str]:
            assert begin.wait(30)
            made.append(name)
            return [name]

        return counted

    for number in range(10):
        assert counter.last(engine, brand_id, f"rule {number}", count(f"rule {number}")) is None
    assert counter.last(engine, other_brand_id, "months", count("months")) is None
    begin.set()
    counter._thread.shutdown(wait=True)
    assert made == ["rule 0", "rule 1", "months"]


def test_whose_counts_are_most_gives_up_its_oldest(
    engine: Engine, brand_id: UUID, other_brand_id: UUID, limit: Limit
) -> None:
    """Counts are kept by how long they are."""
    limit("console", counted_rows=30)
    limit("console", patience=30)
    counter = Counter()
    assert counter.last(engine, other_brand_id, "months", lambda _: [0] * 8) is not None
    for number in range(4):
        assert counter.last(engine, brand_id, f"liability {number}", lambda _: [0] * 9) is not None
    assert list(counter._made) == [
        (other_brand_id, "months"),
        (brand_id, "liability 2"),
        (brand_id, "liability 3"),
    ]


def test_why_nothing_can_be_counted_is_said_and_kept(engine: Engine, brand_id: UUID, limit: Limit) -> None:
    """It is not tried again at each look."""
    limit("console", patience=30)
    counter, tries = Counter(), list[int]()

    def too_much(_: object) -> list[int]:
        tries.append(1)
        raise Invalid("too much")

    for _ in range(3):
        with pytest.raises(Invalid, match="too much"):
            counter.last(engine, brand_id, "liability", too_much)
    assert len(tries) == 1


@pytest.mark.parametrize(
    ("events", "said"),
    [
        (list(range(101)), "At most 100 events are sent at once"),
        ([{"type": "x" * 60} for _ in range(100)], "Refused"),
    ],
)
def test_so_many_events_are_sent_by_hand(ask: Ask, events: list[Any], said: str) -> None:
    """Or one form would push out all refused events that are kept; what is said of them has an end."""

    answer = ask("events/send", {"event": json.dumps(events)})
    assert answer.status_code == 422
    assert said in answer.text
    assert len(answer.text) < 5_000, "a page of nothing has three thousand"
