"""Forgetting whom a biller names (SEMANTICS 20): its webhooks are kept as they came, but for who was erased."""

import copy
import json
from typing import Any

from sqlalchemy import Engine, text

from issuance.billers import billers, receiving
from issuance.database.connections import transaction
from issuance.memberships import archiving, forgetting
from tests.database.stripes import Club, new_club
from tests.stripe import sequences

_KEPT = """
    SELECT convert_from(body, 'UTF8') FROM biller_deliveries WHERE brand_id = :brand_id
     UNION ALL SELECT object_id || CAST(data AS text) FROM biller_objects WHERE brand_id = :brand_id
     UNION ALL SELECT CAST(data AS text) FROM billing_events WHERE brand_id = :brand_id
     UNION ALL SELECT CAST(g AS text) FROM guests g WHERE brand_id = :brand_id
     UNION ALL SELECT CAST(m AS text) FROM members m WHERE brand_id = :brand_id
"""
GUESTS = [{"name": "Canary Lovelace", "email": "canary@example.org", "external_user_id": "canary-7"}, {"name": "Bob"}]


def named(event: dict[str, Any], **more: str) -> dict[str, Any]:
    """The webhook as it comes of a subscription of two, one of whom is the canary."""
    event = copy.deepcopy(event)
    about = event["data"]["object"]
    about["metadata"] = {"external_user_id": "lead-1", "guests": json.dumps(GUESTS)}
    about |= {"customer_email": "canary@example.org", "customer_name": "Canary Lovelace"}
    return {**event, **more}


def receive(club: Club, event: dict[str, Any]) -> None:
    """It comes, signed, and is translated."""
    with transaction(club.engine, club.brand_id) as connection:
        biller = billers.get(connection, club.brand_id, club.biller_id)
    receiving.keep(club.engine, biller, json.dumps(event).encode())
    club.translate()


def left(club: Club) -> list[str]:
    with transaction(club.engine, club.brand_id) as connection:
        return [row for row in connection.scalars(text(_KEPT), {"brand_id": club.brand_id}) if "canary" in row.lower()]


def test_raw_webhooks_name_no_erased_person_and_new_ones_are_taken_without(engine: Engine) -> None:
    """Neither the member nor a guest; the party stays as it is, and what Stripe says later is translated as before."""
    (sequence,) = [one for one in sequences() if one["name"].startswith("17 ")]
    first, *later = [named(event) for event in sequence["stripe_events"]]
    club = new_club(engine, "Europe/Berlin", {"issue_on_signup": True})
    club.map("price_gold")
    receive(club, first)
    club.settle("2031-01-20T00:00:00+00:00")
    with transaction(engine, club.brand_id) as connection:
        connection.execute(text("UPDATE members SET joined_at = now() WHERE external_user_id = 'canary-7'"))
        archiving.archive(connection, club.brand_id, "canary-7", retain_balance=False)
    assert len(left(club)) > 2, "there is something to forget"
    parties = "SELECT guest_id, lead_booker, removed_at FROM guests WHERE brand_id = :brand_id ORDER BY place"
    with transaction(engine, club.brand_id) as connection:
        before = connection.execute(text(parties), {"brand_id": club.brand_id}).all()
        forgetting.erase(connection, club.brand_id, "canary-7")
    assert left(club) == []
    for event in later:
        receive(club, event)
    club.settle("2031-04-01T00:00:00+00:00")
    assert club.why() == set()
    assert left(club) == []
    with transaction(engine, club.brand_id) as connection:
        after = connection.execute(text(parties), {"brand_id": club.brand_id}).all()
    assert [row[0] for row in after][: len(before)] == [row[0] for row in before]
    listed = [guest["name"] for fact in club.facts() for guest in fact[3].get("guests", [])]
    assert "Bob" in listed
