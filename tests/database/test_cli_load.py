"""`issuance events load`: files as billers write them, and what would come of them."""

import gzip
import json
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, text

from issuance.database.connections import engine_for, transaction
from tests.database.cli import Brand, Cli, sign_up

_WRITTEN = text("""
    SELECT (SELECT count(*) FROM billing_events WHERE brand_id = :brand_id)
         + (SELECT count(*) FROM rejected_events WHERE brand_id = :brand_id)
         + (SELECT count(*) FROM memberships WHERE brand_id = :brand_id)
         + (SELECT count(*) FROM members WHERE brand_id = :brand_id)
         + (SELECT count(*) FROM credits WHERE brand_id = :brand_id)
""")


@pytest.mark.parametrize("form", ["BOM", "gzip", "CRLF", "array", "batch"])
def test_a_file_may_have_any_usual_form(cli: Cli, brand: Brand, tmp_path: Path, form: str) -> None:
    """What spreadsheets, Windows and billers' exports make of it."""
    events = [sign_up(brand, uuid4()) for _ in range(3)]
    lines = "\n".join(json.dumps(event) for event in events)
    file = tmp_path / "events"
    file.write_bytes(
        {
            "BOM": b"\xef\xbb\xbf" + lines.encode(),
            "gzip": gzip.compress(lines.encode()),
            "CRLF": lines.replace("\n", "\r\n").encode() + b"\r\n",
            "array": json.dumps(events, indent=1).encode(),
            "batch": json.dumps(events).encode(),
        }[form]
    )
    ran = cli("events", "load", file, "--brand", brand.brand_id, "--json")
    assert (ran.code, ran.json["accepted"]) == (0, 3)


def test_what_is_no_file_of_events_is_one_line(cli: Cli, brand: Brand, tmp_path: Path) -> None:
    file = tmp_path / "members.csv"
    file.write_text("id;name;start\n" * 50)
    ran = cli("events", "load", file, "--brand", brand.brand_id)
    assert ran.code in (1, 2)
    assert ran.err.count("\n") == 1
    assert cli("events", "rejected", "--brand", brand.brand_id, "--json").json["data"] == []


def test_a_line_that_is_no_json_is_kept_once(cli: Cli, brand: Brand) -> None:
    """Loaded again, and retried, it is still one row."""
    for _ in range(2):
        assert cli("events", "load", "-", "--brand", brand.brand_id, stdin="{not json\n").code == 1
    ((kept,)) = (cli("events", "rejected", "--brand", brand.brand_id, "--json").json["data"],)
    assert [(row["code"], row["event"]) for row in kept] == [("malformed", "{not json")]
    retried = cli("events", "retry", kept[0]["id"], "--brand", brand.brand_id)
    assert (retried.code, retried.err.count("\n")) == (1, 1)
    assert len(cli("events", "rejected", "--brand", brand.brand_id, "--json").json["data"]) == 1


def test_what_a_retry_warns_of_is_told(cli: Cli, brand: Brand, database_url: str) -> None:
    """As the API does, to people and to programs: the sign-up lies ahead of the brand's clock."""
    of_brand = ("--brand", brand.brand_id)
    for as_json in ([], ["--json"]):
        unknown = str(uuid4())
        event = json.dumps(sign_up(brand._replace(membership_type_id=UUID(unknown)), uuid4()))
        assert cli("events", "load", "-", *of_brand, stdin=event).code == 1
        mended = text("UPDATE rejected_events SET body = replace(body, :unknown, :type_id)")
        with transaction(engine_for(database_url), brand.brand_id) as connection:
            connection.execute(mended, {"unknown": unknown, "type_id": str(brand.membership_type_id)})
        (kept,) = cli("events", "rejected", *of_brand, "--json").json["data"]
        retried = cli("events", "retry", kept["id"], *of_brand, *as_json)
        assert (retried.code, "ahead_of_clock" in retried.err) == (0, not as_json)
    assert [(one["index"], one["code"]) for one in retried.json["warnings"]] == [(0, "ahead_of_clock")]


def history(brand: Brand, number: int) -> list[dict[str, Any]]:
    """A member since 2090-01-31, and their charges of January to March, of which the last failed."""
    membership_id = uuid4()
    events = [sign_up(brand, membership_id)]
    for month, state in (("01-31", "succeeded"), ("02-28", "succeeded"), ("03-31", "failed")):
        says = {"membership_id": str(membership_id), "charge_id": f"{number} {month}", "period_start": f"2090-{month}"}
        events.append(
            {
                **events[0],
                "id": str(uuid4()),
                "type": f"charge.{state}",
                "time": f"2090-{month}T11:00:00Z",
                "data": says,
            }
        )
    return events


def test_a_dry_run_says_what_then_comes_and_writes_nothing(
    cli: Cli, brand: Brand, tmp_path: Path, connection: Connection
) -> None:
    """Events by type, what is refused and doubted, memberships by status, credits by rule and month."""
    move = text("UPDATE brands SET clock_now = '2090-04-10T00:00Z' WHERE brand_id = :brand_id")
    cli_brand = {"brand_id": brand.brand_id}
    connection.execute(move, cli_brand)
    connection.commit()
    connection.execute(text("SELECT set_config('issuance.brand_id', '*', true)"))
    file = tmp_path / "events.jsonl"
    told = [event for number in range(20) for event in history(brand, number)]
    file.write_text("\n".join([*map(json.dumps, told), "{not json", json.dumps({**told[0], "id": "second"})]))
    before = connection.scalar(_WRITTEN, cli_brand)
    connection.commit()
    ran = cli("events", "load", file, "--dry-run", "--brand", brand.brand_id, "--json")
    connection.execute(text("SELECT set_config('issuance.brand_id', '*', true)"))
    assert connection.scalar(_WRITTEN, cli_brand) == before
    said = ran.json
    assert (ran.code, said["dry_run"], said["accepted"]) == (1, True, 80)
    assert said["events"] == {"charge.failed": 20, "charge.succeeded": 40, "membership.signed_up": 20}
    assert [bad["code"] for bad in said["rejected"]] == ["malformed", "already_signed_up"]
    assert said["memberships"] == {
        "signed_up": 20,
        "known": 0,
        "waiting_for_sign_up": 0,
        "by_status": {"needs_attention": 20},
    }
    assert [(row["month"], row["now"]) for row in said["credits"]][:2] == [("2090-01", 20), ("2090-02", 20)]
    assert all(date.fromisoformat(f"{row['month']}-01").year == 2090 for row in said["credits"])
    people = cli("events", "load", file, "--dry-run", "--brand", brand.brand_id)
    assert "Nothing was written." in people.out
