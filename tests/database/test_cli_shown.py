"""Names with control characters reach no terminal raw, whatever command shows them."""

import json
from uuid import uuid4

import pytest

from issuance.database.connections import engine_for, transaction
from issuance.engine import arrivals
from tests.database.cli import Brand, Cli, sign_up
from tests.unit.test_shown import STEERING, obeyed


@pytest.mark.parametrize("name", [text for text in STEERING.values() if text.isprintable() or "\ud800" not in text])
def test_a_guests_name_is_shown_and_not_obeyed(cli: Cli, brand: Brand, database_url: str, name: str) -> None:
    """By explain, in tables and as JSON; a rule's coupon and a brand with such a name are no different."""
    membership_id = uuid4()
    event = sign_up(brand, membership_id)
    event["data"]["guests"] = [{"name": f"[b]{name}", "lead_booker": True}]
    cli("events", "load", "-", "--brand", brand.brand_id, stdin=json.dumps(event))
    engine = engine_for(database_url)
    with transaction(engine, brand.brand_id) as connection:
        clock = "UPDATE brands SET clock_now = '2090-02-01T00:00:00Z' WHERE brand_id = %s"
        connection.exec_driver_sql(clock, (brand.brand_id,))
        connection.exec_driver_sql("UPDATE rule_versions SET coupon_name = %s", (f"spa {name}",))
    arrivals.settle_soon(engine, brand.brand_id, [membership_id])
    table = cli("explain", membership_id)
    assert "[b]" in table.out, "markup is shown too"
    ran = cli("explain", membership_id, "--json")
    assert ran.json["data"][0]["guest"]["name"] == f"[b]{name}"
    forecast = cli("forecast", brand.credit_rule_id)
    assert "spa" in forecast.out
    with transaction(engine) as connection:
        connection.exec_driver_sql("UPDATE brands SET name = %s WHERE brand_id = %s", (name, brand.brand_id))
    for said in (table, ran, forecast, cli("brands", "list"), cli("brands", "list", "--json")):
        assert said.code == 0
        assert obeyed(said.out.replace("\n", "")) == []


def test_what_was_typed_wrongly_is_shown_too(cli: Cli) -> None:
    """An error's line holds what somebody may have pasted."""
    ran = cli("explain", "\x1b]52;c;cm0gLXJm\x07 and\nmore")
    assert ran.code == 2
    assert ran.err.startswith("issuance: ")
    assert ran.err.count("\n") == 1
    assert obeyed(ran.err.replace("\n", "")) == []
