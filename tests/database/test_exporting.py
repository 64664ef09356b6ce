"""What an export says beside a member's own rows: texts that are kept as they came, what was transferred, what they did
(SEMANTICS 20)."""

import json
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from issuance import audit, database
from issuance.audit.actors import Actor
from issuance.billers import billers, deliveries
from issuance.billers.billers import New
from issuance.corrections import desk
from issuance.corrections.wanted import Transfer
from issuance.members import members
from issuance.members.profiles import MemberBody
from issuance.memberships import exporting
from tests.database.canaries import ADA, BOB, EMAIL, NAME, Story, story, told
from tests.database.clubs import Club
from tests.hooks import Hook
from tests.stripe import SECRET

__all__ = ["story", "told"]

INVOICE = {"object": "invoice", "customer": "cus_1", "customer_email": EMAIL, "customer_name": NAME}


def deliver(club: Club, biller_id: UUID, **bodies: Any) -> None:
    with database.transaction(club.engine, club.brand_id) as connection:
        for delivery_id, body in bodies.items():
            deliveries.store(connection, club.brand_id, biller_id, delivery_id, json.dumps(body).encode())


def exported(story: Story) -> dict[str, Any]:
    with story.work() as connection:
        return exporting.export(connection, story.club.brand_id, ADA)


def test_texts_that_name_a_member_are_in_the_export_and_of_others_no_word(story: Story) -> None:
    """Whole where they tell of nobody else; else that there is one. What names somebody else only is not in it."""
    club = story.club
    story.take(*({**told, "id": str(uuid4())} for told in story.told[:2]))
    with story.work() as connection:
        biller_id = billers.create(connection, club.brand_id, New("stripe", [SECRET], None))
        for key, body in {"hers": {"guest": {"name": NAME, "email": EMAIL}}, "other's": {"name": "Bob Other"}}.items():
            connection.execute(
                text("INSERT INTO idempotency_keys (brand_id, caller, key, request_hash, status, body)"
                     " VALUES (:b, 'key 1', :key, 'x', 200, :body)"),
                {"b": club.brand_id, "key": key, "body": json.dumps(body).encode()},
            )  # fmt: skip
        connection.execute(
            text("INSERT INTO biller_objects VALUES (:b, :biller, 'cus_1', CAST(:data AS jsonb))"),
            {"b": club.brand_id, "biller": biller_id, "data": json.dumps({"member": ADA})},
        )
    guests = json.dumps([{"name": NAME, "email": EMAIL}, {"name": "Bob"}])
    deliver(
        club,
        biller_id,
        hers={"id": "evt_1", "data": {"object": INVOICE}},
        beside={"id": "evt_2", "data": {"object": {**INVOICE, "metadata": {"guests": guests}}}},
        other={"id": "evt_3", "data": {"object": {"object": "invoice", "customer_email": "bob@example.org"}}},
    )
    document = exported(story)
    refused = [row["said"] and row["said"]["data"]["external_user_id"] for row in document["rejected_events"]]
    assert sorted(refused, key=str) == [None, ADA]
    assert {row["delivery_id"]: row["said"] and row["said"]["id"] for row in document["biller_deliveries"]} == {
        "hers": "evt_1",
        "beside": None,
    }
    assert [(row["object_id"], row["said"]) for row in document["biller_objects"]] == [("cus_1", {"member": ADA})]
    assert [row["key"] for row in document["answers"]] == ["hers"]
    assert "bob" not in json.dumps(document, default=str).lower()


def test_an_address_in_other_letters_is_found(story: Story) -> None:
    """In what came and was answered as bytes too: nothing else of hers stands there."""
    club = story.club
    charge = {"object": "charge", "receipt_email": EMAIL, "billing_details": {"email": EMAIL.upper(), "name": "C. L."}}
    with story.work() as connection:
        biller_id = billers.create(connection, club.brand_id, New("stripe", [SECRET], None))
        connection.execute(
            text("INSERT INTO idempotency_keys (brand_id, caller, key, request_hash, status, body)"
                 " VALUES (:b, 'key 1', 'hers', 'x', 200, :body)"),
            {"b": club.brand_id, "body": json.dumps({"email": EMAIL}).encode()},
        )  # fmt: skip
    deliver(club, biller_id, hers={"id": "evt_1", "data": {"object": charge}})
    document = exported(story)
    assert [row["said"] and row["said"]["id"] for row in document["biller_deliveries"]] == ["evt_1"]
    assert [row["said"] for row in document["answers"]] == [{"email": EMAIL}]
    story.archive()
    story.erase()
    assert story.left() == []


def test_what_lists_say_of_a_guest_without_ids_is_in_the_export(story: Story) -> None:
    """Whoever is recognised by an address or a name (SEMANTICS 5), and what is said of them beside its fields. A place
    that was somebody else's before shows nothing of them."""
    club = story.club
    by_name = {"name": "Canary L.", "phone": "0170-1"}
    story.take(story._event("membership.guests_changed", story._party(story.bobs, by_name), "12"))
    club.settle([story.bobs])
    document = exported(story)
    lists = [fact for fact in document["facts"] if fact["membership_id"] == story.bobs]
    assert [len(fact["data"]["guests"]) for fact in lists] == [1] * 4
    assert {"guests.1.phone": "0170-1"} in [fact["unknown_fields"] for fact in lists]
    assert "bob" not in json.dumps(document, default=str).lower()

    with story.work() as connection:
        members.upsert(connection, club.brand_id, "carl", MemberBody())
    order, seat = uuid4(), {"guest_id": str(uuid4()), "lead_booker": False}
    hers, carls = ({**seat, "name": name, "external_user_id": one} for name, one in ((NAME, ADA), ("Carl", "carl")))
    story.take(
        story._event("membership.signed_up", story._signs_up(order, "bob", guests=[BOB, hers])),
        story._event("membership.guests_changed", story._party(order, carls), "11"),
    )
    club.settle([order])
    with story.work() as connection:
        of_carl = exporting.export(connection, club.brand_id, "carl")
    assert "Carl" in json.dumps(of_carl, default=str)
    assert "canary" not in json.dumps(of_carl["facts"], default=str).lower()


def test_another_guest_with_the_same_id_on_another_order_is_not_them(story: Story, told: Hook) -> None:
    """Billers may number the guests of each order: an export says nothing of whoever is theirs there, and erasing
    leaves them as they are, on lists, in what webhooks are told, and on orders that never named her."""
    club, numbers = story.club, [str(UUID(int=number)) for number in (1, 2)]
    orders, sign_ups = [uuid4() for _ in range(3)], []
    hers = {"name": NAME, "external_user_id": ADA}
    carl, dora = ({"name": f"{name} Other", "email": f"{name}@example.org"} for name in ("carl", "dora"))
    for order, who, guests in zip(orders, (ADA, "carl", "dora"), ([hers], [carl, hers], [dora]), strict=True):
        party = [{**guest, "guest_id": numbers[place], "lead_booker": not place} for place, guest in enumerate(guests)]
        sign_ups.append(story._event("membership.signed_up", story._signs_up(order, who, guests=party)))
    story.take(*sign_ups)
    club.settle(orders)
    said = json.dumps(exported(story), default=str).lower()
    assert [name for name in ("carl", "dora") if name in said] == []

    def of_others() -> list[Any]:
        found = club.rows("SELECT name, email FROM guests WHERE name LIKE '% Other' ORDER BY name")
        for table in ("webhook_events", "billing_events"):
            like = f"SELECT count(*) FROM {table} WHERE CAST(data AS text) LIKE :name"
            found += [club.value(like, name=f"%{name} Other%") for name in ("carl", "dora")]
        return found

    before = of_others()
    assert 0 not in before, "there is something that could go"
    story.archive()
    story.erase()
    assert story.left() == []
    assert of_others() == before
    assert story.broken() == {}


def test_what_a_member_gave_got_and_did_is_in_the_export(story: Story) -> None:
    club = story.club
    of_bob = "SELECT code FROM credits JOIN guests USING (brand_id, membership_id, guest_id) WHERE name = 'Bob Other'"
    with story.work() as connection:
        desk.correct(connection, club.brand_id, Transfer(club.value(of_bob), "a gift", external_user_id=ADA))
    member_id = club.value("SELECT member_id FROM members WHERE external_user_id = :ada", ada=ADA)
    acting = Actor("member", member_id).acting()
    with database.transaction(club.engine, club.brand_id, acting) as connection:
        audit.write(connection, club.brand_id, "redemption.created", uuid4())
    document = exported(story)
    assert {row["actor"] for row in document["transactions"]} == {"system"}
    assert [row["received"] for row in document["transfers"]] == [True]
    assert [row["action"] for row in document["done"]] == ["redemption.created"]
    assert "bob" not in json.dumps(document, default=str).lower()
