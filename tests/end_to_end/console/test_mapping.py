"""A biller's prices, forecasts beside what came, and a first member by hand: all of it from pages (INTERFACE 12)."""

import re
from typing import Any

from sqlalchemy import text

from issuance.database.connections import transaction
from tests.end_to_end.client import Client
from tests.end_to_end.console.browsers import Browser
from tests.serving import NewBrand, Server
from tests.waiting import eventually

_WAITS = text("""
    INSERT INTO biller_deliveries (brand_id, biller_id, delivery_id, body, state, code, message, waits_for, adapter)
    VALUES (:brand_id, :biller_id, 'evt_1', '{}', 'unmappable', 'unmapped_price', 'nobody mapped it', 'price_1', 1)
""")


def test_a_price_that_nobody_mapped_is_mapped_where_it_is_shown(
    server: Server, brand: NewBrand, admin: Browser
) -> None:
    """What waited for it is tried again; a change of it may change the running period too; it is taken out again."""
    with server.client(brand.key) as http:
        client = Client(http)
        biller = client.ok("POST", "/billers", 201, {"kind": "stripe", "secret": "whsec_" + "a" * 32})["id"]
        with transaction(server.engine, brand.brand_id) as connection:
            connection.execute(_WAITS, {"brand_id": brand.brand_id, "biller_id": biller})
        address = f"/console/{brand.brand_id}/billers/{biller}"
        page = admin.get(address)
        assert "nobody mapped it" in page
        assert f'value="{client.type_id}"' in page
        says = {"price": "price_1", "membership_type_id": client.type_id, "back": address}
        mapped = admin.send(page, f"{address}/prices", current_period="switch", **says)
        assert "1 delivery is translated anew" in mapped
        (price,) = client.data("/billers")[0]["prices"]
        assert price == {"price": "price_1", "membership_type_id": client.type_id, "current_period": "switch"}
        admin.send(
            page, f"{address}/prices", current_period="keep", price="price_2", membership_type_id="", back=address
        )
        assert [one["membership_type_id"] for one in client.data("/billers")[0]["prices"]] == [client.type_id, None]
        admin.send(page, f"{address}/prices/forget", price="price_1", back=address)
        assert [one["price"] for one in client.data("/billers")[0]["prices"]] == ["price_2"]


def test_what_was_foretold_stands_beside_what_came_of_it(server: Server, brand: NewBrand, admin: Browser) -> None:
    """By the last forecast before the month began."""
    root = f"/console/{brand.brand_id}"
    with server.client(brand.key) as http:
        client = Client(http, "automatic")
        rule = client.rule(issuing_frequency="P1M", issue_on_signup=True)
        for member in ("ada", "bea", "cleo"):
            client.send(client.sign_up(external_user_id=member))
        admin.send(admin.get("/console/me"), f"{root}/rules/forecast")
        eventually(lambda: all(run["state"] == "finished" for run in client.data("/runs")))
        client.until("2031-02-02T00:00:00Z")
    seen: list[list[str]] = []

    def stands() -> bool:
        shown = admin.get(f"{root}/rules/{rule['id']}")
        seen.append(re.findall(r"<tr><th scope=\"row\">Feb 2031</th>(.*?)</tr>", shown))
        return any(re.findall(r">([^<]+)</td>", row) == ["3", "3", "+0"] for row in seen[-1])

    eventually(stands)


def test_a_first_member_is_signed_up_by_hand(server: Server, brand: NewBrand, admin: Browser) -> None:
    """With a credit on joining; what is wrong is told in words, and nobody is signed up."""
    root = f"/console/{brand.brand_id}"
    with server.client(brand.key) as http:
        client = Client(http)
        client.rule(issue_on_signup=True)
        page = admin.get(f"{root}/memberships")
        says: dict[str, Any] = {
            "name": "Ada Lovelace",
            "email": "ada@example.com",
            "external_user_id": "ada",
            "membership_type_id": client.type_id,
            "starts_on": "2031-01-01",
            "billing_frequency": "P1M",
        }
        wrong = admin.send(page, f"{root}/events/sign-up", **{**says, "starts_on": "soon"}, back=f"{root}/memberships")
        assert "starts_on" in wrong
        made = admin.send(page, f"{root}/events/sign-up", **says, paid="yes", back=f"{root}/memberships")
        assert "Ada Lovelace is signed up." in made
        client.until(client.now)
        (credit,) = client.data("/customers/credits")
        assert (credit["holder"]["name"], credit["status"]) == ("Ada Lovelace", "live")
        (membership,) = client.data("/customers/memberships")
        assert membership["status"] == "active"
