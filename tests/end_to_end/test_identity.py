"""Issuance knows people by ids of its own: no log line and no kept answer names them by the id that the brand gave."""

import json
from uuid import uuid4

from sqlalchemy import text

from issuance.database.connections import transaction
from tests.end_to_end.members import Brand
from tests.logs import lines
from tests.waiting import eventually


def test_no_log_line_holds_the_id_that_the_brand_gave(brand: Brand) -> None:
    """Whatever is done to a member or said of a guest, refused or not: in addresses, bodies, tokens and events."""
    ada, bob = (f"{name} {uuid4().hex}" for name in ("ada", "bob"))
    kind = brand.rule()
    brand.member(ada, points=30, displayName="Ada")
    lead = {"name": "Ada", "external_user_id": ada, "lead_booker": True, "guest_id": str(uuid4())}
    guest = {"name": "Bob", "external_user_id": bob, "guest_id": str(uuid4())}
    order = brand.sign_up(kind, ada, guests=[lead])
    brand.event("membership.guests_changed", membership_id=order, guests=[lead, guest])
    brand.settle()
    brand.call("POST", f"/customers/credits/{brand.credits(external_user_id=ada)[0]['code']}/redeem")
    spent = brand.call("POST", "/v1/redemptions", 201, json={"points": 3, "externalUserID": ada})["id"]
    brand.call("PATCH", f"/v1/redemptions/{spent}", json={"status": "CANCELED"})
    token = brand.as_member(ada)
    token.call("GET", "/v1/wallet")
    token.refused("GET", f"/v1/wallet?externalUserID={bob}", 403)
    brand.refused("GET", f"/v1/members/{bob}", 404)
    brand.refused("PUT", f"/v1/members/{ada}", 422, json={"tier": 7})
    brand.refused("POST", "/v1/redemptions", 422, json={"points": 10**6, "externalUserID": ada})
    data = {"membership_id": order, "membership_type_id": kind, "external_user_id": bob, "starts_on": "2031-01-10"}
    second = {"specversion": "1.0", "id": bob, "source": "test", "type": "membership.signed_up"}
    answer = brand.call("POST", "/billing-events", 202, json={**second, "time": "2031-01-10T12:00:00Z", "data": data})
    assert answer["rejected"], "a second sign-up"
    brand.call("DELETE", f"/v1/members/{ada}")
    brand.settle()

    def events() -> list[str]:
        return [json.loads(line)["event"] for line in lines(brand.server.log) if str(brand.brand_id) in line]

    eventually(lambda: "credit_issued" in events() and events().count("request") > 20)  # the scenario is in the log
    whole = brand.server.log.read_text()
    assert [name for name in (ada.split()[1], bob.split()[1]) if name in whole] == []


def test_a_kept_answer_is_known_by_the_members_own_id(brand: Brand) -> None:
    """An Idempotency-Key is its caller's, whatever the brand calls them."""
    brand.member("ada", points=5)
    token = brand.as_member("ada")
    token.call("POST", "/v1/redemptions", 201, json={"points": 1}, headers={"Idempotency-Key": "k"})
    with transaction(brand.server.engine, brand.brand_id) as connection:
        callers = set(connection.scalars(text("SELECT caller FROM idempotency_keys")))
    assert callers == {f"member {brand.member_id('ada')}"}
