"""Laws that settle on paper: one of each kind is settled, and every offender is found all the same."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine, text

from issuance.billing.events import Intake
from issuance.database.connections import transaction
from issuance.engine import arrivals
from issuance.laws import LAWS, kinds, look, steps
from issuance.tenancy import clock
from tests.database.clubs import Club
from tests.database.conftest import event, put_clock

NOW = datetime(2090, 4, 15, tzinfo=UTC)
#: What is done to one credit or membership, and the laws that name it then.
TAMPERINGS = {
    "lost": ("DELETE FROM credits WHERE credit_id = :credit", {2}),
    "ends late": ("UPDATE credits SET period_end = period_end + 1 WHERE credit_id = :credit", {8}),
    "expires late": ("UPDATE credits SET expires_at = expires_at + interval '1 h' WHERE credit_id = :credit", {4, 8}),
    "expires early": ("UPDATE credits SET expires_at = expires_at - interval '1 h' WHERE credit_id = :credit", {8, 9}),
    "never expires": ("UPDATE credits SET expires_at = NULL WHERE credit_id = :credit", {4, 8}),
    "starts late": ("UPDATE credits SET valid_from = valid_from + interval '1 h' WHERE credit_id = :credit", {8}),
    "rolls over": ("UPDATE credits SET roll_over = true WHERE credit_id = :credit", {8}),
    "many uses": ("UPDATE credits SET multi_use = true WHERE credit_id = :credit", {8}),
    "issued early": (
        "UPDATE credits SET issued_at = issued_at - interval '1 day', valid_from = issued_at WHERE credit_id = :credit",
        {3, 8},
    ),
    "marked too soon": ("UPDATE credits SET expired_at = now() WHERE credit_id = :credit", {7}),
    "over for good too soon": ("UPDATE credits SET expired_at = valid_from WHERE credit_id = :credit", {8}),
    "flagged": ("UPDATE credits SET flagged_at = now() WHERE credit_id = :credit", {7}),
    "taken back": (
        "UPDATE credits SET revoked_at = now(), revoked_by = 'facts', revoked_reason = 'x' WHERE credit_id = :credit",
        {7},
    ),
    "unpaid": (
        "DELETE FROM billing_events WHERE membership_id = :membership AND data ->> 'period_start' = '2090-04-01'",
        {3},
    ),
    "sleeps": ("UPDATE schedules SET due_at = due_at + interval '1 s' WHERE schedule_id = :membership", {9}),
    "sleeps for ever": ("UPDATE schedules SET due_at = NULL WHERE schedule_id = :membership", {9}),
    "shown as paused": ("UPDATE memberships SET status = 'paused' WHERE membership_id = :membership", {8}),
    "revoked by hand": (
        "UPDATE credits SET revoked_at = now(), revoked_by = 'operator', revoked_reason = '' WHERE credit_id = :credit",
        set(),
    ),
    "woken": ("UPDATE schedules SET due_at = due_at - interval '1 h' WHERE schedule_id = :membership", set()),
    "used": ("UPDATE credits SET redeemed_at = :now, uses = 1 WHERE credit_id = :credit", set()),
}


@pytest.fixture
def club(
    engine: Engine,
    brand_id: UUID,
    rule_id: UUID,
    signed_up: Callable[..., dict[str, Any]],
    accept: Callable[..., Intake],
) -> list[UUID]:
    """Memberships alike in all but ids and moments, each with a credit for March and one for April, used by some."""
    members = sorted(uuid4() for _ in range(6))
    with transaction(engine, brand_id) as connection:
        put_clock(connection, brand_id, datetime(2090, 3, 10, tzinfo=UTC))
    for minute, one in enumerate(members):
        accept({**signed_up(one, starts_on="2090-02-01"), "time": f"2090-02-01T09:{minute:02}:00Z"})
        accept(_charge(one, 3, minute))
        arrivals.settle_soon(engine, brand_id, [one])
    with transaction(engine, brand_id) as connection:
        use = "UPDATE credits SET redeemed_at = valid_from, uses = 1 WHERE membership_id = ANY(:some)"
        connection.execute(text(use), {"some": members[::2]})
        put_clock(connection, brand_id, NOW)
    for minute, one in enumerate(members):
        accept(_charge(one, 4, minute))
        arrivals.settle_soon(engine, brand_id, [one])
    return members


def _charge(membership_id: UUID, month: int, minute: int) -> dict[str, Any]:
    day = f"2090-{month:02}-01"
    data = {"membership_id": str(membership_id), "charge_id": f"{membership_id} {month}", "period_start": day}
    return event("charge.initiated", data, time=f"{day}T06:{minute:02}:00Z")


def broken(connection: Connection, brand_id: UUID) -> dict[int, set[UUID]]:
    """The memberships that each law names."""
    found: dict[int, set[UUID]] = {}
    for batch in look(connection, brand_id, LAWS):
        for number, offenders in batch.items():
            found.setdefault(number, set()).update(offender["membership_id"] for offender in offenders)
    return {number: named for number, named in found.items() if named}


def kinds_of(connection: Connection, brand_id: UUID) -> dict[UUID, kinds.Kind | None]:
    batches = kinds.kinds(connection, brand_id, clock.read(connection, brand_id))
    return {one.membership_id: one.kind for batch in batches for one in batch}


def test_memberships_alike_have_one_kind(connection: Connection, brand_id: UUID, club: list[UUID]) -> None:
    """Ids, moments within the day, and who has used what make no kind of their own."""
    found = kinds_of(connection, brand_id)
    assert found.keys() == set(club)
    assert len(set(found.values())) == 1
    assert broken(connection, brand_id) == {}
    assert steps(connection, brand_id, LAWS) > len([law for law in LAWS if law.ask])


def test_each_who_moved_at_an_instant_of_their_own_has_their_own_kind(
    connection: Connection, engine: Engine, brand_id: UUID, club: list[UUID], accept: Callable[..., Intake]
) -> None:
    """What the move ended has it as its expiry: another's says nothing of it."""
    for second, one in enumerate(club[:2]):
        data = {"membership_id": str(one), "billing_anchor": "2090-04-15"}
        accept(event("membership.billing_date_moved", data, time=f"2090-04-14T09:00:0{second}Z"))
        arrivals.settle_soon(engine, brand_id, [one])
    assert len(set(kinds_of(connection, brand_id).values())) == 3
    assert broken(connection, brand_id) == {}


@pytest.mark.parametrize("tampering", TAMPERINGS)
@pytest.mark.parametrize("alone", [False, True], ids=["shared", "alone"])
def test_one_offender_among_its_like_is_found(
    connection: Connection,
    brand_id: UUID,
    club: list[UUID],
    monkeypatch: pytest.MonkeyPatch,
    tampering: str,
    alone: bool,
) -> None:
    """Whatever is wrong with one of many alike is found, and nobody else is named, whether kinds are shared or not."""
    if alone:
        plain = kinds.kinds

        def apart(*arguments: Any) -> Any:
            return ([one._replace(kind=None) for one in batch] for batch in plain(*arguments))

        monkeypatch.setattr(kinds, "kinds", apart)
    statement, laws = TAMPERINGS[tampering]
    chosen = club[3]
    credit = connection.execute(
        text("SELECT credit_id FROM credits WHERE membership_id = :one AND period_start = '2090-04-01'"),
        {"one": chosen},
    ).scalar_one()
    arguments = {"credit": credit, "membership": chosen, "now": NOW}
    bound = {name: value for name, value in arguments.items() if f":{name}" in statement}
    assert connection.execute(text(statement), bound).rowcount == 1
    assert broken(connection, brand_id) == {number: {chosen} for number in laws}


@pytest.mark.parametrize("news", ["member", "guest", "party", "announced"])
def test_what_is_like_no_other_is_judged_alone(
    connection: Connection, brand_id: UUID, club: list[UUID], accept: Callable[..., Intake], news: str, engine: Engine
) -> None:
    """An archived member or guest, a changed party and an announced fact make a membership like no other."""
    one = club[1]
    if news in ("member", "guest"):
        other = uuid4()
        table = "memberships" if news == "member" else "guests"
        archive = [
            """
            INSERT INTO members (brand_id, member_id, external_user_id, joined_at, archived_at)
            VALUES (:brand_id, :other, 'bob', '2090-02-01', '2090-04-15')
            """,
            f"UPDATE {table} SET member_id = :other WHERE membership_id = :one AND brand_id = :brand_id",
        ]
        for statement in archive:
            arguments = {"brand_id": brand_id, "other": other, "one": one}
            connection.execute(text(statement), {n: v for n, v in arguments.items() if f":{n}" in statement})
    else:
        party = [{"guest_id": str(uuid4()), "name": "New", "lead_booker": True}]
        told = {
            "party": event(
                "membership.guests_changed", {"membership_id": str(one), "guests": party}, time="2090-04-02T00:00:00Z"
            ),
            "announced": event(
                "membership.status_changed",
                {"membership_id": str(one), "status": "paused"},
                time="2090-05-09T00:00:00Z",
            ),
        }
        accept(told[news])
        arrivals.settle_soon(engine, brand_id, [one])
    found = kinds_of(connection, brand_id)
    assert [membership_id for membership_id, kind in found.items() if kind is None] == [one]
    assert broken(connection, brand_id) == {}


def test_batches_are_joined_whole(connection: Connection, brand_id: UUID, club: list[UUID]) -> None:
    """What the planner believes of sizes, which is nothing after a crash, never makes it look through a whole batch
    for each row of another."""
    now = clock.read(connection, brand_id)
    list(kinds.kinds(connection, brand_id, now))
    which = {"brand_id": brand_id, "first": club[0], "last": club[-1], "now": now.now, "cuts": [now.now]}
    (plan,) = connection.scalar(text(f"EXPLAIN (FORMAT JSON) {kinds.KINDS.text}"), which)
    loops = [node for node in _nodes(plan["Plan"]) if node["Node Type"] == "Nested Loop"]
    assert [node for loop in loops for node in _nodes(loop["Plans"][1]) if node["Node Type"] == "CTE Scan"] == []


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


def test_what_a_gift_that_is_over_is_asked_to_the_instant_makes_no_kind(new_club: Callable[..., Club]) -> None:
    """Two charges were refunded on the day on which the gifts expired, one before and one after that."""
    club = new_club("external", issuing_frequency="P0D", issue_on_signup=False)
    club.rows("UPDATE coupons SET validity = 'P10D'")
    club.sign_up(3)
    club.move_clock("2031-02-28T10:00")
    for state, hours in (
        ("succeeded", ["2031-02-28T10:00"] * 3),
        ("refunded", ["2031-03-10T09:00", "2031-03-10T11:00"]),
    ):
        for member, hour in zip(club.members, hours, strict=False):
            said = {"membership_id": str(member), "charge_id": str(member), "period_start": "2031-02-28", "amount": 9}
            club.tell(f"charge.{state}", hour, said)
        club.settle(club.members)
        club.move_clock("2031-03-20")
        while club.sweep() is not None:
            pass
    with transaction(club.engine, club.brand_id) as connection:
        now = clock.read(connection, club.brand_id)
        found = {one.membership_id: one.kind for batch in kinds.kinds(connection, club.brand_id, now) for one in batch}
    assert [found[member] is None for member in club.members] == [True, True, False]
    club.engine.dispose()
