"""What PostgreSQL itself refuses, whoever writes it: the last line, where the code above it was wrong."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError
from uuid_utils.compat import uuid7

from issuance.billing.events import Intake
from issuance.database.connections import transaction
from issuance.members import members, redemptions, wallets
from issuance.members.redemptions import Booking
from issuance.tenancy import brands
from tests.database.test_credits import issue

__all__ = ["issue"]

_ENTRY = text("""
    INSERT INTO ledger_entries (brand_id, entry_id, member_id, type, amount, redemption_id, created_at)
    SELECT brand_id, :entry_id, member_id, :type, :amount, :redemption_id, now()
      FROM members WHERE brand_id = :brand_id AND external_user_id = 'ada'
""")


@pytest.fixture
def redemption_id(engine: Engine, brand_id: UUID) -> UUID:
    """Ada has spent 3 of her 10 points on it."""
    with transaction(engine, brand_id) as connection:
        members.ensure(connection, brand_id, ["ada"])
        wallets.credit(connection, brand_id, "ada", 10, None)
        made: UUID = redemptions.redeem_points(connection, brand_id, 3, "ada", Booking())["id"]
        return made


def enter(connection: Connection, brand_id: UUID, kind: str, amount: int, redemption_id: UUID | None = None) -> None:
    row = {"brand_id": brand_id, "entry_id": uuid7(), "type": kind, "amount": amount, "redemption_id": redemption_id}
    with connection.begin_nested():
        connection.execute(_ENTRY, row)


def test_an_external_id_is_one_persons(connection: Connection, brand_id: UUID) -> None:
    """Whoever writes it, a brand's id of a person stands for one record."""
    members.ensure(connection, brand_id, ["ada"])
    again = "INSERT INTO members (brand_id, member_id, external_user_id) VALUES (:brand_id, gen_random_uuid(), 'ada')"
    with pytest.raises(IntegrityError, match="members_external_user_id_unique"):
        connection.execute(text(again), {"brand_id": brand_id})


def test_who_has_not_joined_is_not_archived(connection: Connection, brand_id: UUID) -> None:
    members.ensure(connection, brand_id, [], named=["ada"])
    with pytest.raises(IntegrityError, match="members_archived_have_joined"):
        connection.execute(text("UPDATE members SET archived_at = now() WHERE brand_id = :one"), {"one": brand_id})


@pytest.mark.parametrize("change", ["DELETE FROM members", "UPDATE members SET member_id = gen_random_uuid()"])
def test_a_person_stays(connection: Connection, brand_id: UUID, change: str) -> None:
    """What names them needs no lock on them."""
    members.ensure(connection, brand_id, ["ada"])
    with pytest.raises(IntegrityError, match="of members is refused"):
        connection.execute(text(f"{change} WHERE brand_id = :brand_id"), {"brand_id": brand_id})


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("UPDATE memberships SET member_id = :nobody", "memberships_of_member"),
        ("INSERT INTO wallets (brand_id, member_id) VALUES (:brand_id, :nobody)", "wallets_of_member"),
        ("UPDATE guests SET member_id = :nobody", "guests names somebody who is not there"),
        (
            """
            INSERT INTO guests (brand_id, membership_id, guest_id, place, name, member_id, lead_booker)
            SELECT brand_id, membership_id, gen_random_uuid(), 1, 'Bob', :nobody, false FROM memberships
            """,
            "guests names somebody who is not there",
        ),
        (
            """
            INSERT INTO redemptions (brand_id, redemption_id, points, member_id, created_at)
            VALUES (:brand_id, gen_random_uuid(), 1, :nobody, now())
            """,
            "redemptions names somebody who is not there",
        ),
    ],
    ids=lambda part: " ".join(part.split()[:3]),
)
def test_whoever_is_named_is_there(
    engine: Engine,
    brand_id: UUID,
    accept: Callable[..., Intake],
    signed_up: Callable[..., dict[str, Any]],
    statement: str,
    constraint: str,
) -> None:
    """No table names somebody who has no record, or one of another brand."""
    accept(signed_up())
    with transaction(engine) as connection:
        elsewhere, _ = brands.create(connection, name="elsewhere", timezone="UTC", sandbox=True)
        members.ensure(connection, elsewhere, ["ada"])
        theirs = connection.scalar(text("SELECT member_id FROM members WHERE brand_id = :one"), {"one": elsewhere})
    for nobody in (uuid7(), theirs):
        named = {"nobody": nobody, "brand_id": brand_id}
        bound = {name: value for name, value in named.items() if f":{name}" in statement}
        with pytest.raises(IntegrityError, match=constraint), transaction(engine, brand_id) as connection:
            connection.execute(text(statement), bound)


def test_whose_a_redemption_is_does_not_change(connection: Connection, brand_id: UUID, redemption_id: UUID) -> None:
    with pytest.raises(IntegrityError, match="of redemptions is refused"):
        connection.execute(text("UPDATE redemptions SET member_id = NULL WHERE brand_id = :one"), {"one": brand_id})


def test_a_place_on_an_order_is_one_guests(
    connection: Connection, brand_id: UUID, accept: Callable[..., Intake], signed_up: Callable[..., dict[str, Any]]
) -> None:
    """Two guests of one order have two places; another order has places of its own."""
    accept(signed_up(), signed_up())
    another = text("""
        INSERT INTO guests (brand_id, membership_id, guest_id, place, name, lead_booker)
        SELECT brand_id, membership_id, gen_random_uuid(), :place, 'Bob', false FROM guests WHERE brand_id = :brand_id
    """)
    assert connection.execute(another, {"brand_id": brand_id, "place": 1}).rowcount == 2
    with pytest.raises(IntegrityError, match="guests_place_once"):
        connection.execute(another, {"brand_id": brand_id, "place": 0})


def test_a_wallet_does_not_go_below_zero(connection: Connection, brand_id: UUID, redemption_id: UUID) -> None:
    """An entry that takes more than there is can not be written."""
    with pytest.raises(IntegrityError, match="wallets_never_negative"):
        enter(connection, brand_id, "forfeit", -8)
    enter(connection, brand_id, "forfeit", -7)


def test_a_redemption_is_spent_once_and_refunded_once(
    connection: Connection, brand_id: UUID, redemption_id: UUID
) -> None:
    """A second refund or a second spending of one redemption can not be written."""
    with pytest.raises(IntegrityError, match="ledger_entries_once"):
        enter(connection, brand_id, "spend", -1, redemption_id)
    enter(connection, brand_id, "refund", 3, redemption_id)
    with pytest.raises(IntegrityError, match="ledger_entries_once"):
        enter(connection, brand_id, "refund", 1, redemption_id)


@pytest.mark.parametrize(
    "end", ["expired_at = now()", "revoked_at = now(), revoked_by = 'facts', revoked_reason = 'x'"]
)
def test_a_redeemed_credit_is_neither_expired_nor_revoked(
    connection: Connection, issue: Callable[..., Any], end: str
) -> None:
    """Redeemed is for good, until the redemption itself is canceled."""
    code = issue()
    connection.execute(text("UPDATE credits SET uses = 1, redeemed_at = valid_from WHERE code = :code"), {"code": code})
    with pytest.raises(IntegrityError, match="credits_redeemed_for_good"):
        connection.execute(text(f"UPDATE credits SET {end} WHERE code = :code"), {"code": code})


def test_a_single_use_credit_is_used_once(connection: Connection, issue: Callable[..., Any]) -> None:
    """Its uses do not count beyond one; those of a multi-use credit do, and without a last one it is never redeemed."""
    single, many = issue(), issue(multi_use=True)
    use = text("UPDATE credits SET uses = 2 WHERE code = :code")
    with pytest.raises(IntegrityError, match="credits_uses_counted"), connection.begin_nested():
        connection.execute(use, {"code": single})
    connection.execute(use, {"code": many})
    with pytest.raises(IntegrityError, match="credits_multi_use_redeemed_at_last"):
        connection.execute(text("UPDATE credits SET redeemed_at = now() WHERE code = :code"), {"code": many})


def test_a_credit_of_n_uses_is_redeemed_at_its_nth(connection: Connection, issue: Callable[..., Any]) -> None:
    """Neither before its last use nor without being redeemed at it, and never beyond it."""
    code = issue(multi_use=True, max_uses=2)
    say = "UPDATE credits SET uses = {}, redeemed_at = {} WHERE code = :code"
    for uses, redeemed_at, name in [
        (1, "now()", "credits_multi_use_redeemed_at_last"),
        (2, "NULL", "credits_multi_use_redeemed_at_last"),
        (3, "NULL", "credits_uses_counted"),
    ]:
        with pytest.raises(IntegrityError, match=name), connection.begin_nested():
            connection.execute(text(say.format(uses, redeemed_at)), {"code": code})
    connection.execute(text(say.format(2, "valid_from")), {"code": code})


@pytest.mark.parametrize(
    ("said", "constraint"),
    [
        ("roll_over = true, roll_over_limit = 0", "rule_versions_roll_over_limit"),
        ("roll_over = true, roll_over_limit = 61", "rule_versions_roll_over_limit"),
        ("roll_over = false, roll_over_limit = 1", "rule_versions_roll_over_limit"),
        ("roll_over = true, roll_over_limit = 1, issuing_frequency = 'P0D'", "rule_versions_roll_over_limit"),
        ("multi_use = false, max_uses = 2", "rule_versions_max_uses"),
        ("multi_use = true, max_uses = 1", "rule_versions_max_uses"),
        ("multi_use = true, max_uses = 1001", "rule_versions_max_uses"),
    ],
)
def test_a_limit_without_anything_to_limit_can_not_be_stored(
    connection: Connection, issue: Callable[..., Any], said: str, constraint: str
) -> None:
    """SEMANTICS 6: `roll_over_limit` goes with `roll_over`, not with P0D; `max_uses` with `multi_use`."""
    issue()
    with pytest.raises(IntegrityError, match=constraint):
        connection.execute(text(f"UPDATE rule_versions SET {said}"))
