"""Points: a wallet is the sum of an append-only ledger, right at every commit (SEMANTICS 12)."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from issuance.database.connections import transaction
from tests.end_to_end.members import THREADS, Brand


def ledger(brand: Brand, member: str) -> list[dict[str, Any]]:
    """All entries, read page by page."""
    entries: list[dict[str, Any]] = []
    query: dict[str, Any] = {"externalUserID": member, "limit": 7}
    while True:
        page = brand.call("GET", "/v1/wallet/transactions", params=query)
        entries += page["transactions"]
        if page["nextCursor"] is None:
            return entries
        query["cursor"] = page["nextCursor"]


def test_credited_points_are_in_the_wallet_and_in_the_ledger(brand: Brand) -> None:
    brand.member("ada")
    assert brand.wallet("ada") == {
        "balance": 0,
        "amountReceived": 0,
        "amountSpent": 0,
        "currency": {"name": "points", "symbol": "pts"},
        "revision": 1,
    }
    body = {"amount": 100, "externalUserID": "ada", "reason": "welcome bonus"}
    answer = brand.call("POST", "/v1/wallet/credit", json=body)
    assert answer == {"balance": 100, "currency": {"name": "points", "symbol": "pts"}}
    brand.call("POST", "/v1/wallet/credit", json={"amount": 11, "externalUserID": "ada"})
    newest, oldest = ledger(brand, "ada")
    assert (newest["amount"], newest["reason"]) == (11, None)
    assert oldest.keys() == {"id", "amount", "type", "reason", "redemptionID", "createdAt"}
    assert (oldest["amount"], oldest["type"], oldest["reason"]) == (100, "credit", "welcome bonus")
    eligibility = brand.call("GET", "/v1/eligibility", params={"externalUserID": "ada"})
    assert (eligibility["tier"], eligibility["wallet"]["balance"]) == ("", 111)


@pytest.mark.parametrize("amount", [0, -1, 1.5, "5", True, None, 10**12 + 1, 2**70])
def test_only_positive_integers_are_credited(brand: Brand, amount: Any) -> None:
    brand.member("ada")
    body = {"amount": amount, "externalUserID": "ada"}
    assert brand.refused("POST", "/v1/wallet/credit", 422, json=body) == "VALIDATION"
    assert brand.wallet("ada")["balance"] == 0


def test_a_wallet_stays_exact_in_json(brand: Brand) -> None:
    """No sum of points passes 2^53 - 1."""
    brand.member("ada")
    with transaction(brand.server.engine, brand.brand_id) as connection:
        full = text("INSERT INTO wallets SELECT brand_id, member_id, 9007199254740990, 0 FROM members")
        connection.execute(full)
    body = {"amount": 2, "externalUserID": "ada"}
    assert brand.refused("POST", "/v1/wallet/credit", 422, json=body) == "VALIDATION"
    assert brand.call("POST", "/v1/wallet/credit", json={**body, "amount": 1})["balance"] == 2**53 - 1


def test_unknown_and_archived_members_get_none(brand: Brand) -> None:
    body = {"amount": 1, "externalUserID": "nobody"}
    assert brand.refused("POST", "/v1/wallet/credit", 404, json=body) == "MEMBER_NOT_FOUND"
    brand.member("bob")
    brand.call("DELETE", "/v1/members/bob")
    body = {"amount": 1, "externalUserID": "bob"}
    assert brand.refused("POST", "/v1/wallet/credit", 409, json=body) == "MEMBER_ARCHIVED"


@pytest.mark.parametrize(("retained", "left"), [("false", 0), ("true", 30)])
def test_points_that_come_back_to_an_archived_member_are_forfeited_unless_retained(
    brand: Brand, retained: str, left: int
) -> None:
    """At once, by an entry of its own; those who were spent to the last point may have retained their balance too."""
    brand.member("ada", points=30)
    spent = brand.call("POST", "/v1/redemptions", 201, json={"points": 30, "externalUserID": "ada"})["id"]
    brand.call("DELETE", f"/v1/members/ada?retainBalance={retained}")
    brand.call("PATCH", f"/v1/redemptions/{spent}", json={"status": "CANCELED"})
    assert brand.wallet("ada")["balance"] == left
    kinds = [(entry["type"], entry["amount"]) for entry in ledger(brand, "ada")]
    assert kinds[0] == (("refund", 30) if left else ("forfeit", -30))
    brand.call("PUT", "/v1/members/ada", json={})
    assert brand.wallet("ada")["balance"] == left


@pytest.mark.parametrize("spent", [4, 10])
def test_points_that_one_archiving_forfeited_do_not_come_back_after_another(brand: Brand, spent: int) -> None:
    """Though the later one retained the balance; what was spent between the two comes back."""
    brand.member("ada", points=10)
    before = brand.call("POST", "/v1/redemptions", 201, json={"points": spent, "externalUserID": "ada"})["id"]
    brand.settle("2031-01-11T00:00:00Z")
    brand.call("DELETE", "/v1/members/ada")
    brand.settle("2031-01-12T00:00:00Z")
    brand.member("ada")
    brand.settle("2031-01-13T00:00:00Z")
    brand.member("ada", points=7)
    between = brand.call("POST", "/v1/redemptions", 201, json={"points": 7, "externalUserID": "ada"})["id"]
    brand.call("DELETE", "/v1/members/ada?retainBalance=true")
    for redemption, left in ((before, 0), (between, 7)):
        brand.call("PATCH", f"/v1/redemptions/{redemption}", json={"status": "CANCELED"})
        assert brand.wallet("ada")["balance"] == left


def test_32_threads_on_one_wallet_add_up(brand: Brand) -> None:
    """Crediting, spending and cancelling at once: sums exact, nothing below zero, nothing twice."""
    brand.member("ada", points=50)
    spending = {"points": 10, "externalUserID": "ada", "offer": "spa"}
    bodies: list[Any] = [spending, {"amount": 5, "externalUserID": "ada"}] * THREADS

    def path(body: Any) -> str:
        return "/v1/redemptions" if "points" in body else "/v1/wallet/credit"

    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(lambda body: brand.http.post(path(body), json=body), bodies))
        made = [answer.json()["id"] for answer in answers if answer.status_code == 201]
        short = [answer for answer in answers if answer.status_code == 422]
        assert len(made) + len(short) + THREADS == len(bodies)
        assert {answer.json()["error"]["code"] for answer in short} <= {"INSUFFICIENT_POINTS"}
        twice = [redemption for redemption in made[::2] for _ in range(3)]
        moved = list(
            pool.map(lambda one: brand.http.patch(f"/v1/redemptions/{one}", json={"status": "CANCELED"}), twice)
        )
    assert {answer.status_code for answer in moved} == {200}
    entries = ledger(brand, "ada")
    spent = 10 * (len(made) - len(made[::2]))
    wallet = brand.wallet("ada")
    assert (wallet["amountReceived"], wallet["amountSpent"]) == (50 + 5 * THREADS, spent)
    assert wallet["balance"] == sum(entry["amount"] for entry in entries) == 50 + 5 * THREADS - spent
    assert len({entry["id"] for entry in entries}) == len(entries)


def test_the_ledger_is_append_only_and_adds_itself_up(brand: Brand) -> None:
    """Not even raw SQL changes an entry, or leaves a wallet behind its ledger."""
    brand.member("ada", points=5)
    for statement in ("UPDATE ledger_entries SET amount = 50", "DELETE FROM ledger_entries"):
        with pytest.raises(DBAPIError, match="append-only"), transaction(brand.server.engine, brand.brand_id) as c:
            c.execute(text(statement))
    overdraw = text("""
        INSERT INTO ledger_entries (brand_id, entry_id, member_id, type, amount, created_at)
        SELECT brand_id, gen_random_uuid(), member_id, 'forfeit', -6, now() FROM members
    """)
    with (
        pytest.raises(DBAPIError, match="wallets_never_negative"),
        transaction(brand.server.engine, brand.brand_id) as c,
    ):
        c.execute(overdraw)


def test_cursors_are_the_lists_own(brand: Brand) -> None:
    brand.member("ada")
    for cursor in ("x", "é", "1-", f"1-{'0' * 31}", f"{10**17}-{'0' * 32}", f"-1-{'0' * 32}", f"1-{'0' * 32}\n"):
        query = {"externalUserID": "ada", "cursor": cursor}
        assert brand.refused("GET", "/v1/wallet/transactions", 422, params=query) == "VALIDATION"
    for limit in (0, 101):
        query = {"externalUserID": "ada", "limit": str(limit)}
        assert brand.refused("GET", "/v1/wallet/transactions", 422, params=query) == "VALIDATION"


def test_a_key_says_whose_wallet(brand: Brand) -> None:
    assert brand.refused("GET", "/v1/wallet", 404) == "MEMBER_NOT_FOUND"
    assert brand.refused("GET", "/v1/wallet?externalUserID=nobody", 404) == "MEMBER_NOT_FOUND"


def test_one_number_is_one_number(brand: Brand) -> None:
    """JSON's 5.0 is 5; an address says all that can be done at it."""
    brand.member("ada")
    assert brand.call("POST", "/v1/wallet/credit", json={"amount": 5.0, "externalUserID": "ada"})["balance"] == 5
    answer = brand.http.post("/v1/members/ada", json={})
    assert (answer.status_code, answer.headers["Allow"]) == (405, "DELETE, GET, HEAD, PUT")
