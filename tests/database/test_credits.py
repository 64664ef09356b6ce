"""A credit's life: time decides its status, and races over it are decided once (SEMANTICS 6, 11)."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from pydantic import TypeAdapter
from sqlalchemy import Engine, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from issuance.api.credits import Code
from issuance.billing.events import Intake
from issuance.corrections import desk
from issuance.corrections.wanted import Revoke
from issuance.credits import credits, lists
from issuance.database.connections import transaction
from issuance.database.tables import brands, guests, redemptions
from issuance.database.tables import credits as table
from issuance.errors import (
    AlreadyRedeemed,
    CreditExpired,
    CreditNotLive,
    CreditNotYetValid,
    CreditRevoked,
    IssuanceError,
    NotFound,
)
from issuance.members.redemptions import Booking, redeem_credit

NOW = datetime(2031, 1, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture
def issue(
    engine: Engine, brand_id: UUID, rule_id: UUID, accept: Callable[..., Intake], signed_up: Callable[..., Any]
) -> Callable[..., str]:
    """Issues a credit to a new membership, as it is told, on a brand whose clock stands at NOW; its code."""
    with transaction(engine, brand_id) as connection:
        connection.execute(update(brands).where(brands.c.brand_id == brand_id).values(clock_now=NOW))

    def make(**columns: Any) -> str:
        membership_id = uuid4()
        accept(signed_up(membership_id))
        with transaction(engine, brand_id) as connection:
            guest = select(guests.c.guest_id).where(guests.c.membership_id == membership_id)
            row = {
                "brand_id": brand_id,
                "credit_id": uuid4(),
                "code": uuid4().hex.upper()[:16],
                "credit_rule_id": rule_id,
                "rule_version": 1,
                "membership_id": membership_id,
                "guest_id": connection.scalar(guest),
                "period_start": NOW.date(),
                "coupon_id": "spa",
                "coupon_name": "Spa credit",
                "roll_over": False,
                "multi_use": False,
                "valid_from": NOW - DAY,
                "expires_at": NOW + DAY,
                "issued_at": NOW - DAY,
            }
            connection.execute(insert(table).values({**row, **columns}))
            return str(row["code"])

    return make


Issue = Callable[..., str]

REVOKED = {"revoked_at": NOW, "revoked_by": "operator", "revoked_reason": "x"}
LIVES: list[tuple[dict[str, Any], str, type[CreditNotLive] | None]] = [
    ({}, "live", None),
    ({"expires_at": None}, "live", None),
    ({"valid_from": NOW}, "live", None),
    ({"valid_from": NOW + DAY / 2}, "upcoming", CreditNotYetValid),
    # Time decides, not the sweep: nothing has marked this one.
    ({"expires_at": NOW}, "expired", CreditExpired),
    ({"expires_at": NOW, "expired_at": NOW}, "expired", CreditExpired),
    (REVOKED, "revoked", CreditRevoked),
    ({**REVOKED, "expires_at": NOW}, "revoked", CreditRevoked),
    ({"redeemed_at": NOW - DAY, "uses": 1}, "redeemed", AlreadyRedeemed),
    ({"redeemed_at": NOW - DAY, "uses": 1, "expires_at": NOW}, "redeemed", AlreadyRedeemed),
    ({"multi_use": True, "uses": 7}, "live", None),
    ({"multi_use": True, "uses": 7, "expires_at": NOW}, "expired", CreditExpired),
]


@pytest.mark.parametrize(("columns", "status", "refusal"), LIVES)
def test_the_status_follows_from_time_and_decides_what_can_be_done(
    engine: Engine,
    brand_id: UUID,
    issue: Issue,
    columns: dict[str, Any],
    status: str,
    refusal: type[CreditNotLive] | None,
) -> None:
    """Reading, filtering, redeeming and revoking all see one status."""
    code = issue(**columns)
    with transaction(engine, brand_id) as connection:
        assert credits.get(connection, brand_id, code)["status"] == status
        for other in credits.STATUSES:
            assert lists.page(connection, brand_id, 1, 25, status=other)[1] == (other == status)
    if refusal is None:
        with transaction(engine, brand_id) as connection:
            redeemed = redeem_credit(connection, brand_id, code, Booking(reference="booking 1"))
        assert redeemed["status"] == ("live" if columns.get("multi_use") else "redeemed")
        assert redeemed["redemption"]["status"] == "SUBMITTED"
        return
    with pytest.raises(refusal), transaction(engine, brand_id) as connection:
        redeem_credit(connection, brand_id, code, Booking())
    if refusal is not CreditNotYetValid:
        with pytest.raises(refusal), transaction(engine, brand_id) as connection:
            desk.correct(connection, brand_id, Revoke(code, "x"))[0]


@pytest.mark.parametrize(
    "between", " -\t\n\u00a0\u00ad\u2009\u200a\u202f\u2010\u2011\u2012\u2013\u2014\u200b\u2212\u3000\ufeff"
)
def test_a_code_is_read_however_it_was_written(engine: Engine, brand_id: UUID, issue: Issue, between: str) -> None:
    """In any case, with the spaces and dashes of keyboards, word processors and mail programs."""
    code = issue()
    typed = f"{between}{code[:3].lower()}{between}{code[3:].lower()}{between}"
    with transaction(engine, brand_id) as connection:
        assert credits.get(connection, brand_id, typed)["code"] == code
    assert TypeAdapter(Code).validate_python(typed) == typed, "in addresses too"


def test_a_multi_use_credit_counts_its_uses(engine: Engine, brand_id: UUID, issue: Issue) -> None:
    code = issue(multi_use=True)
    for use in (1, 2, 3):
        with transaction(engine, brand_id) as connection:
            redeemed = redeem_credit(connection, brand_id, code, Booking())
        assert (redeemed["uses"], redeemed["redeemed_at"], redeemed["status"]) == (use, None, "live")


def test_a_credit_that_is_not_valid_yet_can_be_revoked(engine: Engine, brand_id: UUID, issue: Issue) -> None:
    code = issue(valid_from=NOW + DAY / 2)
    with transaction(engine, brand_id) as connection:
        revoked = desk.correct(connection, brand_id, Revoke(code, "a mistake"))[0]
    assert (revoked["status"], revoked["revoked_reason"], revoked["revoked_at"]) == ("revoked", "a mistake", NOW)


def test_redeeming_races_with_itself_and_revocation_and_one_wins(engine: Engine, brand_id: UUID, issue: Issue) -> None:
    code = issue()

    def act(turn: int) -> str:
        try:
            with transaction(engine, brand_id) as connection:
                if turn % 4 == 3:
                    desk.correct(connection, brand_id, Revoke(code, "x"))[0]
                else:
                    redeem_credit(connection, brand_id, code, Booking())
        except IssuanceError as error:
            return error.code
        return "won"

    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(act, range(32)))
    assert outcomes.count("won") == 1
    assert set(outcomes) <= {"won", "already_redeemed"} or set(outcomes) <= {"won", "revoked"}
    with transaction(engine, brand_id) as connection:
        credit = credits.get(connection, brand_id, code)
        counted = select(func.count()).where(redemptions.c.credit_id == credit["id"])
        assert connection.scalar(counted) == credit["uses"] == (credit["status"] == "redeemed")


def test_filters_find_a_credit_by_all_that_it_names(
    engine: Engine, brand_id: UUID, rule_id: UUID, issue: Issue
) -> None:
    code, _ = issue(), issue(multi_use=True)
    with transaction(engine, brand_id) as connection:
        credit = credits.get(connection, brand_id, code)

        def found(**filters: Any) -> int:
            return lists.page(connection, brand_id, 1, 25, **filters)[1]

        assert found() == found(credit_rule_id=rule_id) == found(external_user_id="ada") == 2
        assert found(membership_id=credit["membership_id"]) == found(guest_id=credit["guest"]["id"]) == 1
        assert found(multi_use=True) == found(multi_use=False) == 1
        assert found(external_user_id="bob") == found(membership_id=uuid4()) == 0


def test_another_brands_code_is_unknown(engine: Engine, brand_id: UUID, issue: Issue) -> None:
    code = issue()
    other = uuid4()
    with transaction(engine) as connection:
        connection.execute(insert(brands).values(brand_id=other, name="o", timezone="UTC", environment="live"))
    with pytest.raises(NotFound), transaction(engine, other) as connection:
        redeem_credit(connection, other, code, Booking())
    with pytest.raises(NotFound), transaction(engine, other) as connection:
        desk.correct(connection, other, Revoke(code, "x"))[0]


@pytest.mark.parametrize(
    ("column", "value", "name"),
    [("guest_id", uuid4(), "credits_of_guest"), ("rule_version", 99, "credits_of_version")],
)
def test_a_credit_refers_to_what_is_there(issue: Callable[..., str], column: str, value: object, name: str) -> None:
    """No credit of a guest or of a rule version that PostgreSQL does not have."""
    with pytest.raises(IntegrityError) as refused:
        issue(**{column: value})
    assert isinstance(refused.value.orig, psycopg.errors.ForeignKeyViolation)
    assert refused.value.orig.diag.constraint_name == name


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM guests",
        "UPDATE guests SET guest_id = gen_random_uuid()",
        "DELETE FROM rule_versions",
        "UPDATE rule_versions SET version = version + 1",
        "UPDATE credits SET guest_id = gen_random_uuid()",
        "UPDATE credits SET rule_version = 99",
    ],
)
def test_what_credits_refer_to_stays(issue: Callable[..., str], engine: Engine, brand_id: UUID, change: str) -> None:
    """Neither a guest nor a rule version goes away from under a credit, nor a credit from them."""
    issue()
    with pytest.raises(IntegrityError, match="append-only"), transaction(engine, brand_id) as connection:
        connection.execute(text(change))
