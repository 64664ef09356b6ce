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
from issuance.memberships import exporting
from tests.database.clubs import Club
from tests.database.test_forgetting import ADA, EMAIL, NAME, Story, story
from tests.stripe import SECRET

__all__ = ["story"]

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
    assert [row["received"] for row in document["transfers"]] == [True]
    assert [row["action"] for row in document["done"]] == ["redemption.created"]
    assert "bob" not in json.dumps(document, default=str).lower()
