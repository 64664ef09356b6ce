"""The inbox: durable, unique, each event on its own (SEMANTICS 7-8, INTERFACE 6)."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, Engine, func, insert, select
from sqlalchemy import event as listening

from issuance.billing import cloud_events, events, rejections
from issuance.billing.events import Intake
from issuance.database.connections import transaction
from issuance.database.tables import billing_events, guests, membership_types, memberships, schedules
from issuance.members import members
from tests.database.conftest import event

SignedUp = Callable[..., dict[str, Any]]
Accept = Callable[..., Intake]


def codes(intake: Intake) -> dict[int, str]:
    return {rejection.index: rejection.code for rejection in intake.rejected}


def charged(membership_id: object, charge_id: str, **data: Any) -> dict[str, Any]:
    period = {"period_start": "2031-01-01", **data}
    return event("charge.succeeded", {"membership_id": str(membership_id), "charge_id": charge_id, **period})


def count(connection: Connection, table: Any, brand_id: UUID) -> int:
    return int(connection.execute(select(func.count()).where(table.c.brand_id == brand_id)).scalar_one())


def test_a_sign_up_makes_its_membership(
    accept: Accept, signed_up: SignedUp, connection: Connection, brand_id: UUID
) -> None:
    """The member, the membership, the order's guests and a schedule, so that it is found by state."""
    membership_id = uuid4()
    intake = accept(signed_up(membership_id, external_user_id="bob"))
    assert (intake.accepted, intake.membership_ids) == (1, [membership_id])
    of = memberships.c.membership_id == membership_id
    row = connection.execute(select(memberships).where(of)).one()
    assert (row.status, str(row.starts_on), str(row.billing_anchor)) == ("upcoming", "2031-01-01", "2031-01-01")
    assert row.billing_frequency == "P1M"
    assert members.known(connection, brand_id, ["bob"])["bob"].display_name is None
    schedule = connection.execute(select(schedules).where(schedules.c.schedule_id == membership_id)).one()
    assert (schedule.due_at, schedule.settled_at) == (None, None)


def test_who_signs_up_alone_is_the_lead_booker(accept: Accept, signed_up: SignedUp, connection: Connection) -> None:
    membership_id = uuid4()
    accept(signed_up(membership_id, external_user_id="bob", guests=[]))
    guest = connection.execute(select(guests).where(guests.c.membership_id == membership_id)).one()
    own = select(memberships.c.member_id).where(memberships.c.membership_id == membership_id)
    assert (guest.name, guest.member_id, guest.lead_booker) == ("bob", connection.scalar(own), True)


def test_a_guest_without_an_id_always_gets_the_same_one(
    accept: Accept, signed_up: SignedUp, connection: Connection
) -> None:
    party = [{"name": "Ada", "lead_booker": True}, {"name": "Bob"}]
    body = signed_up(guests=party)
    first, again = cloud_events.parse(body), cloud_events.parse(body)
    assert first.data["guests"] == again.data["guests"]
    assert first.data["guests"][0]["guest_id"] != first.data["guests"][1]["guest_id"]


def test_the_same_event_again_is_a_duplicate(accept: Accept, signed_up: SignedUp) -> None:
    body = signed_up()
    assert accept(body).accepted == 1
    again = accept(body, {**body, "subject": "x", "extension": "y"})
    assert (again.accepted, again.duplicates, again.rejected, again.membership_ids) == (0, 2, [], [])


def test_instants_are_compared_as_instants(accept: Accept, signed_up: SignedUp) -> None:
    body = signed_up()
    assert accept(body, {**body, "time": "2031-01-01T10:00:00.000+01:00"}).duplicates == 1


def test_the_same_id_with_another_body_is_refused_and_kept(
    accept: Accept, signed_up: SignedUp, connection: Connection, brand_id: UUID
) -> None:
    body = signed_up()
    accept(body)
    other = {**body, "data": {**body["data"], "starts_on": "2031-02-01"}}
    later = {**body, "time": "2031-01-02T00:00:00Z"}
    intake = accept(other, later, {**body, "source": "elsewhere"})
    assert codes(intake) == {0: "event_conflict", 1: "event_conflict", 2: "already_signed_up"}
    rows, total = rejections.page(connection, brand_id, 1, 25)
    assert total == 3
    assert {row["code"] for row in rows} == set(codes(intake).values())


def test_doubles_within_a_batch_count_once(accept: Accept, signed_up: SignedUp) -> None:
    body = signed_up()
    intake = accept(body, body, {**body, "time": "2031-01-02T00:00:00Z"})
    assert (intake.accepted, intake.duplicates, codes(intake)) == (1, 1, {2: "event_conflict"})


def test_a_double_of_a_refused_event_is_refused_too(accept: Accept, signed_up: SignedUp) -> None:
    membership_id = uuid4()
    accept(signed_up(membership_id))
    second = signed_up(membership_id)
    assert codes(accept(second, second)) == {0: "already_signed_up", 1: "already_signed_up"}


def test_a_batch_is_judged_as_its_events_alone_one_after_another(accept: Accept, signed_up: SignedUp) -> None:
    """Whatever comes under whatever id: sign-ups and charges, known, new, doubled and at odds with each other."""

    def become(way: str, seed: int) -> list[object]:
        rng, ids = random.Random(seed), [uuid4() for _ in range(3)]

        def told() -> list[dict[str, Any]]:
            some = []
            for _ in range(rng.randrange(1, 9)):
                which, one, amount = rng.choice(ids), rng.choice("123"), rng.choice([9, 10])
                body = rng.choice([signed_up(which), charged(which, "c", amount=amount)])
                some.append({**body, "source": f"{way} {seed}", "id": one})
            return some

        for body in told():
            accept(body)
        batch = told()
        intakes = [accept(*batch)] if way == "together" else [accept(body) for body in batch]
        refused = [remark.code for intake in intakes for remark in intake.rejected]
        taken = [(intake.accepted, intake.duplicates) for intake in intakes]
        kept = [codes(accept(body)) for body in batch]
        return [[sum(some) for some in zip(*taken, strict=True)], refused, kept]

    for seed in range(80):
        assert become("together", seed) == become("alone", seed), seed


def test_bad_events_leave_their_neighbours_unharmed(
    accept: Accept, signed_up: SignedUp, connection: Connection, brand_id: UUID
) -> None:
    one_lead = {"name": "A", "lead_booker": True}
    membership_id = uuid4()
    moved = {"membership_id": str(membership_id), "starts_on": "2031-02-01"}
    intake = accept(
        "not an object",
        {**signed_up(), "type": "membership.exploded"},
        signed_up(starts_on="2031-02-30"),
        signed_up(billing_frequency="P37M"),
        signed_up(guests=[{**one_lead, "lead_booker": False}]),
        signed_up(guests=[one_lead, one_lead]),
        signed_up(membership_type_id=str(uuid4())),
        signed_up(billing_anchor="2030-12-31"),
        signed_up(**{"na\x00me": 1}),
        charged(membership_id, "c\x00"),
        charged(membership_id, "c", amount=float("nan")),
        signed_up(membership_id),
        signed_up(membership_id),
        signed_up(guests=[{**one_lead, "external_user_id": "ann"}, {"name": "B", "external_user_id": "ann"}]),
        event("membership.type_changed", {"membership_id": str(membership_id), "membership_type_id": str(uuid4())}),
        charged(membership_id, "c", period_end="2030-12-31"),
        event("membership.guests_changed", {"membership_id": str(membership_id), "guests": []}),
        event("membership.start_moved", {**moved, "billing_anchor": "2031-01-31"}),
    )
    malformed = dict.fromkeys([0, 2, 3, 7, 8, 9, 10, 15, 17], "malformed")
    assert codes(intake) == malformed | {
        1: "unknown_type",
        4: "lead_booker",
        5: "lead_booker",
        6: "unknown_membership_type",
        12: "already_signed_up",
        13: "two_guests_of_one_member",
        14: "unknown_membership_type",
        16: "lead_booker",
    }
    assert (intake.accepted, intake.membership_ids) == (1, [membership_id])
    assert count(connection, billing_events, brand_id) == 1
    assert rejections.page(connection, brand_id, 1, 1)[1] == len(intake.rejected)


def test_a_moved_billing_date_may_lie_before_the_start(accept: Accept, signed_up: SignedUp) -> None:
    """Only a sign-up's own anchor may not (SEMANTICS 2)."""
    membership_id = uuid4()
    moved = {"membership_id": str(membership_id), "billing_anchor": "2030-12-31"}
    intake = accept(signed_up(membership_id), event("membership.billing_date_moved", moved))
    assert (intake.accepted, intake.rejected) == (2, [])


def test_an_event_ahead_of_its_sign_up_waits(accept: Accept, signed_up: SignedUp) -> None:
    membership_id = uuid4()
    waiting = accept(charged(membership_id, "c1"))
    assert (waiting.accepted, waiting.membership_ids) == (1, [])
    assert accept(signed_up(membership_id)).membership_ids == [membership_id]


def test_eight_at_once_is_once(
    engine: Engine, accept: Accept, signed_up: SignedUp, connection: Connection, brand_id: UUID
) -> None:
    """The same events posted eight times in parallel, in eight orders: each is accepted once."""
    ids = [uuid4() for _ in range(50)]
    bodies = [signed_up(i, external_user_id=f"u{i}") for i in ids] + [charged(i, f"c{i}") for i in ids]

    def post(seed: int) -> Intake:
        return accept(*random.Random(seed).sample(bodies, len(bodies)))

    with ThreadPoolExecutor(8) as pool:
        intakes = list(pool.map(post, range(8)))
    assert sum(intake.accepted for intake in intakes) == 100
    assert sum(intake.duplicates for intake in intakes) == 700
    assert count(connection, memberships, brand_id) == 50
    assert count(connection, schedules, brand_id) == 50


def test_one_sign_up_of_a_membership_wins(accept: Accept, signed_up: SignedUp) -> None:
    """Eight different sign-ups of one membership at once: one is accepted, the others are refused."""
    membership_id = uuid4()
    with ThreadPoolExecutor(8) as pool:
        intakes = list(pool.map(lambda _: accept(signed_up(membership_id)), range(8)))
    assert sorted(intake.accepted for intake in intakes) == [0] * 7 + [1]
    assert [r.code for intake in intakes for r in intake.rejected] == ["already_signed_up"] * 7


def test_a_thousand_events_take_a_handful_of_statements(engine: Engine, brand_id: UUID, signed_up: SignedUp) -> None:
    bodies: list[object] = [signed_up(external_user_id=f"u{n}") for n in range(events.MOST_EVENTS)]
    statements: list[str] = []

    def note(*call: Any) -> None:
        statements.append(str(call[1]))

    listening.listen(engine, "before_execute", note)
    try:
        with transaction(engine, brand_id) as connection:
            assert events.accept(connection, brand_id, bodies).accepted == events.MOST_EVENTS
    finally:
        listening.remove(engine, "before_execute", note)
    assert len(statements) <= 11


def test_a_refused_event_can_be_retried_and_dismissed(
    connection: Connection, brand_id: UUID, signed_up: SignedUp
) -> None:
    """Refused again, it stays where it is; accepted or dismissed, it is gone."""
    type_id = uuid4()
    events.accept(connection, brand_id, [signed_up(membership_type_id=str(type_id)), "nothing"])
    kept = {row["code"]: row["id"] for row in rejections.page(connection, brand_id, 1, 25)[0]}
    mended = kept["unknown_membership_type"]
    assert codes(rejections.retry(connection, brand_id, mended)) == {0: "unknown_membership_type"}
    assert mended in [row["id"] for row in rejections.page(connection, brand_id, 1, 25)[0]]
    made = {"brand_id": brand_id, "membership_type_id": type_id, "name": "Gold", "billing": "external"}
    connection.execute(insert(membership_types).values(**made))
    assert rejections.retry(connection, brand_id, mended).accepted == 1
    assert [row["id"] for row in rejections.page(connection, brand_id, 1, 25)[0]] == [kept["malformed"]]
    rejections.dismiss(connection, brand_id, kept["malformed"])
    assert rejections.page(connection, brand_id, 1, 25) == ([], 0)


def test_what_is_refused_again_and_again_has_one_row(connection: Connection, brand_id: UUID) -> None:
    """Billers try again: the operator sees it once, with the reason that holds now."""
    body = event("membership.exploded", {})
    for _ in range(3):
        events.accept(connection, brand_id, [body, body])
    events.accept(connection, brand_id, [{**body, "id": "another"}])
    assert rejections.page(connection, brand_id, 1, 25)[1] == 2


def test_an_event_too_long_to_keep_is_not_retried(connection: Connection, brand_id: UUID, signed_up: SignedUp) -> None:
    events.accept(connection, brand_id, [{"specversion": "2.0", "data": "x" * 100_000}])
    rows, _ = rejections.page(connection, brand_id, 1, 25)
    with pytest.raises(rejections.NotKeptWhole):
        rejections.retry(connection, brand_id, rows[0]["id"])
