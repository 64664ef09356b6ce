"""What PostgreSQL holds of who did it, whoever writes."""

import json
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from issuance import audit
from issuance.audit import Actor
from issuance.catalog import coupons
from issuance.catalog.coupons import CouponBody
from issuance.database.connections import show, transaction
from issuance.fields import alike
from issuance.members import members
from issuance.members.profiles import MemberBody


@pytest.mark.parametrize("change", ["DELETE FROM audit_entries", "UPDATE audit_entries SET reason = 'none'"])
def test_an_entry_is_for_ever(connection: Connection, brand_id: UUID, change: str) -> None:
    audit.write(connection, brand_id, "coupon.updated", "tea", reason="cold")
    with pytest.raises((IntegrityError, ProgrammingError), match="append-only"):
        connection.execute(text(change))


def test_a_change_that_is_undone_leaves_no_entry(engine: Engine, brand_id: UUID) -> None:
    """It is written in the transaction that made the change."""
    with engine.connect() as connection:
        show(connection, brand_id)
        audit.write(connection, brand_id, "coupon.updated", "tea")
        connection.rollback()
    with transaction(engine, brand_id) as connection:
        assert [one["action"] for one in audit.page(connection, brand_id, 1, 25)[0]] == ["brand.created"]


def test_an_actor_is_one_transactions(engine: Engine, brand_id: UUID) -> None:
    """The next one on the same connection is the system's own again."""
    for acting in (Actor("person", brand_id, "Eve").acting("request 1"), None):
        with transaction(engine, brand_id, acting) as connection:
            audit.write(connection, brand_id, "coupon.updated", "tea")
    with transaction(engine, brand_id) as connection:
        later, earlier, _ = audit.page(connection, brand_id, 1, 25)[0]
    assert (earlier["actor"], earlier["request_id"]) == (
        {"kind": "person", "id": str(brand_id), "name": "Eve"},
        "request 1",
    )
    assert (later["actor"], later["request_id"]) == ({"kind": "system", "id": None, "name": None}, None)


@pytest.mark.parametrize("wrong", ['actor = \'{"kind": "ghost"}\'', "action = 'eaten'"])
def test_what_is_no_actor_or_action_is_not_stored(connection: Connection, brand_id: UUID, wrong: str) -> None:
    columns, value = wrong.split(" = ")
    values = {"actor": '\'{"kind": "system"}\'', "action": "'coupon.updated'", columns: value}
    insert = f"""
        INSERT INTO audit_entries (brand_id, entry_id, brand_time, subject_id, actor, action)
        VALUES (:brand_id, gen_random_uuid(), now(), 'tea', {values["actor"]}, {values["action"]})
    """
    with pytest.raises(IntegrityError, match="audit_entries_"):
        connection.execute(text(insert), {"brand_id": brand_id})


KEPT: Any = {"a": 1, "b": {"c": [1, {"d": 2.5, "e": None}], "f": True}, "g": 10**23}
SAME: Any = {"g": 1e23, "b": {"f": True, "c": [1.0, {"e": None, "d": 2.50}]}, "a": 1.0}


@pytest.mark.parametrize(
    "other", [{"a": 1}, {**KEPT, "a": True}, {**KEPT, "a": "1"}, {**KEPT, "b": {"c": [{"d": 2.5, "e": None}, 1]}}, []]
)
def test_json_says_the_same_whatever_the_order_of_its_names_and_the_form_of_its_numbers(
    connection: Connection, other: Any
) -> None:
    """As PostgreSQL compares it."""
    by_postgres = text("SELECT CAST(:one AS jsonb) = CAST(:other AS jsonb)")
    for one, it_is in ((SAME, True), (other, False)):
        said = {"one": json.dumps(KEPT), "other": json.dumps(one)}
        assert (connection.scalar(by_postgres, said), alike(KEPT, one), alike(one, KEPT)) == (it_is, it_is, it_is)


def test_a_change_to_what_was_so_already_has_no_entry(connection: Connection, brand_id: UUID) -> None:
    """Nor a revision: what members and coupons keep of any JSON is compared as JSON. True for 1 is a change, with its
    entry."""

    def entries() -> list[str]:
        return [one["action"] for one in audit.page(connection, brand_id, 1, 25)[0]]

    def save(said: Any) -> tuple[Any, Any]:
        member, _ = members.upsert(connection, brand_id, "ada", MemberBody(attributes=said))
        body = {"name": "Tea", "discount": {"type": "percent", "value": 50}, "offerings": [said]}
        coupon = coupons.put(connection, brand_id, "tea", CouponBody.model_validate(body))
        return member["revision"], coupon["updated_at"]

    first = save(KEPT)
    assert entries() == ["coupon.created", "member.created", "brand.created"]
    assert save(SAME) == first
    assert len(entries()) == 3
    assert save({**KEPT, "a": True})[0] == first[0] + 1
    assert entries()[:2] == ["coupon.updated", "member.updated"]
