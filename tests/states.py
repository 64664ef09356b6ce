"""States that only mishaps lead to, put there for a test of what comes after them."""

from uuid import UUID

from sqlalchemy import Engine, text

from issuance.database.connections import transaction


def hold_rule(engine: Engine, brand_id: UUID, credit_rule_id: object) -> None:
    """A guard holds a rule."""
    hold = "INSERT INTO held_rules VALUES (:brand_id, :id, now(), 5)"
    _execute(engine, brand_id, hold, credit_rule_id)


def set_apart(engine: Engine, brand_id: UUID, membership_id: object) -> None:
    """A membership's attempts are used up."""
    apart = "UPDATE schedules SET quarantined_at = now(), attempts = 5 WHERE brand_id = :brand_id AND schedule_id = :id"
    _execute(engine, brand_id, apart, membership_id)


def leave_untranslated(engine: Engine, brand_id: UUID, biller_id: object) -> None:
    """A biller sent what could not be translated."""
    kept = """
        INSERT INTO biller_deliveries (brand_id, biller_id, delivery_id, body, state, code, message)
        VALUES (:brand_id, :id, 'evt_1', '{}', 'unmappable', 'unmapped_price', 'a test')
    """
    _execute(engine, brand_id, kept, biller_id)


def _execute(engine: Engine, brand_id: UUID, statement: str, of: object) -> None:
    with transaction(engine, brand_id) as connection:
        done = connection.execute(text(statement), {"brand_id": brand_id, "id": of})
    assert done.rowcount == 1, statement
