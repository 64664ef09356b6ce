"""Rules that a guard holds, and what a person says of them (SEMANTICS 17)."""

from typing import Any, Literal
from uuid import UUID

from sqlalchemy import Connection, Row, text

from issuance import audit
from issuance.engine import runs, schedules
from issuance.errors import NotHeld
from issuance.tenancy import clock as clocks

_SELECT = """
    SELECT h.credit_rule_id, h.since, h.most,
           (SELECT count(*) FROM held_credits c
             WHERE c.brand_id = :brand_id AND c.credit_rule_id = h.credit_rule_id AND c.state = 'waiting') AS held
      FROM held_rules h WHERE h.brand_id = :brand_id
"""
_PAGE = text(f"{_SELECT} ORDER BY h.since, h.credit_rule_id LIMIT :limit OFFSET :offset")
_NUMBER = text("SELECT count(*) FROM held_rules WHERE brand_id = :brand_id")
_ONE = text(f"{_SELECT} AND h.credit_rule_id = :rule_id")
# Memberships that share a schedule are alike: all of them wait.
_WAITING = """
    s.schedule_id IN (SELECT p.schedule_id
                        FROM membership_schedules p JOIN held_credits c USING (brand_id, membership_id)
                       WHERE c.brand_id = :brand_id AND c.credit_rule_id = :rule_id AND c.state = 'waiting')
"""
_WAKE = text(schedules.LOCK_FOUND.format(which=_WAITING)), text(schedules.MAKE_DUE.format(which=_WAITING))
_SAY = text("""
    UPDATE held_credits SET state = :state
     WHERE brand_id = :brand_id AND credit_rule_id = :rule_id AND state = 'waiting'
""")
_LET_GO = text("DELETE FROM held_rules WHERE brand_id = :brand_id AND credit_rule_id = :rule_id")
_NEW_WINDOW = text("""
    UPDATE credit_rules SET guard_epoch = guard_epoch + 1 WHERE brand_id = :brand_id AND credit_rule_id = :rule_id
""")


def page(connection: Connection, brand_id: UUID, page: int, per_page: int) -> tuple[list[dict[str, Any]], int]:
    """A page of the rules that are held, the longest first, and how many there are."""
    parameters = {"brand_id": brand_id, "limit": per_page, "offset": (page - 1) * per_page}
    rows = [_shaped(row) for row in connection.execute(_PAGE, parameters)]
    return rows, int(connection.scalar(_NUMBER, {"brand_id": brand_id}) or 0)


def approve(connection: Connection, brand_id: UUID, rule_id: UUID, reason: str) -> dict[str, Any]:
    """Release a rule's held credits regardless of the limit. Each is decided again; the window of 24 hours restarts
    and does not count them. Returns the rule as it was held. Raises NotFound, NotHeld."""
    row = _speak(connection, brand_id, rule_id, reason, "approved")
    connection.execute(_NEW_WINDOW, {"brand_id": brand_id, "rule_id": rule_id})
    return row


def refuse(connection: Connection, brand_id: UUID, rule_id: UUID, reason: str) -> dict[str, Any]:
    """Skip for good what is held of a rule now. Returns the rule as it was held. Raises NotFound, NotHeld."""
    return _speak(connection, brand_id, rule_id, reason, "refused")


def let_lapse(connection: Connection, brand_id: UUID, rule_id: UUID) -> None:
    """Hold nothing of a rule any more, as none of it is owed. Call it alone (`clock.lock_alone`)."""
    parameters = {"brand_id": brand_id, "rule_id": rule_id}
    connection.execute(_SAY, {**parameters, "state": "lapsed"})
    connection.execute(_LET_GO, parameters)


def _speak(
    connection: Connection, brand_id: UUID, rule_id: UUID, reason: str, state: Literal["approved", "refused"]
) -> dict[str, Any]:
    # No settling runs meanwhile, so the answer applies to exactly what was shown.
    clocks.lock_alone(connection, brand_id)
    runs.check_rule(connection, brand_id, rule_id)
    parameters = {"brand_id": brand_id, "rule_id": rule_id}
    held = connection.execute(_ONE, parameters).one_or_none()
    if held is None:
        raise NotHeld
    if state == "approved":
        schedules.make_due(connection, _WAKE, brand_id, clocks.read(connection, brand_id).now, rule_id=rule_id)
    connection.execute(_SAY, {**parameters, "state": state})
    connection.execute(_LET_GO, parameters)
    row = _shaped(held)
    action: Literal["held_rule.approved", "held_rule.refused"] = (
        "held_rule.approved" if state == "approved" else "held_rule.refused"
    )
    audit.write(connection, brand_id, action, rule_id, reason=reason, before=row)
    return row


def _shaped(row: Row[Any]) -> dict[str, Any]:
    return {"credit_rule_id": row.credit_rule_id, "held": row.held, "since": row.since, "limit": row.most}
