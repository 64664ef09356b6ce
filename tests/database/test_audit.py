"""What PostgreSQL holds of who did it, whoever writes."""

from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from issuance import audit
from issuance.audit import Actor
from issuance.database.connections import show, transaction


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
