"""Brands, keys, their events, and the schema, from the command line."""

import json
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from issuance.database.connections import engine_for
from tests.database.cli import Brand, Cli, sign_up
from tests.unit.test_cli_start import FOR_SOME, imported


def test_brands_create_prints_json(cli: Cli) -> None:
    """Other programs read the brand's id and its first key from stdout; the key says its environment."""
    sandbox = cli("brands", "create", "--name", "A", "--timezone", "Asia/Tokyo", "--sandbox").json
    live = cli("brands", "create", "--name", "B", "--timezone", "UTC").json
    assert set(sandbox) == set(live) == {"brand_id", "key"}
    assert sandbox["key"].startswith("iss_sandbox_")
    assert live["key"].startswith("iss_live_")
    listed = cli("brands", "list", "--json").json["data"]
    assert {sandbox["brand_id"], live["brand_id"]} <= {row["brand_id"] for row in listed}


def test_keys_live_and_die(cli: Cli, brand: Brand) -> None:
    """A key is printed once, listed without itself, and revoked."""
    created = cli("keys", "create", "--brand", brand.brand_id, "--scopes", "read, write").json
    assert set(created) == {"key_id", "key"}
    listed = cli("keys", "list", "--brand", brand.brand_id, "--json")
    assert created["key"] not in listed.out
    assert cli("keys", "revoke", created["key_id"]).code == 0
    row = next(
        row
        for row in cli("keys", "list", "--brand", brand.brand_id, "--json").json["data"]
        if row["key_id"] == created["key_id"]
    )
    assert row["scopes"] == ["read", "write"]
    assert row["revoked_at"] is not None
    assert cli("keys", "create", "--brand", brand.brand_id, "--scopes", "read,fly").code == 2


def test_events_load_reports_each_bad_line(cli: Cli, brand: Brand, tmp_path: Path) -> None:
    """Bad lines are reported with their number and reason; the rest is loaded, once, and exit 1 says so."""
    good = [json.dumps(sign_up(brand, uuid4())) for _ in range(3)]
    file = tmp_path / "events.jsonl"
    file.write_bytes("\n".join([good[0], "{not json", "", '{"specversion": "1.0"}', *good[1:]]).encode() + b"\n\xff\n")
    ran = cli("events", "load", file, "--brand", brand.brand_id)
    assert ran.code == 1
    assert ran.out == "accepted 3, duplicates 0, rejected 3\n"
    *lines, warning = ran.err.splitlines()
    assert warning.startswith("warning: 3 × ahead_of_clock, first in line 1: ")
    assert [line.split(":")[:2] for line in lines] == [
        ["line 2", " malformed"],
        ["line 4", " malformed"],
        ["line 7", " malformed"],
    ]
    kept = cli("events", "rejected", "--brand", brand.brand_id, "--json").json["data"]
    assert {row["event"] for row in kept} == {"{not json", '{"specversion": "1.0"}', "\N{REPLACEMENT CHARACTER}"}
    again = cli("events", "load", "-", "--brand", brand.brand_id, "--json", stdin="\n".join(good))
    assert again.code == 0
    nothing: dict[str, object] = {"rejected": [], "warnings": [], "warnings_by_code": {}}
    assert again.json == {"accepted": 0, "duplicates": 3, **nothing}


def test_an_event_of_the_same_id_with_another_body_is_kept(cli: Cli, brand: Brand) -> None:
    """A refused event is listed with its reason; retried before the cause is mended, it is refused again."""
    event = sign_up(brand, uuid4())
    other = {**event, "time": "2090-02-01T10:00:00Z"}
    lines = f"{json.dumps(event)}\n{json.dumps(other)}"
    ran = cli("events", "load", "-", "--brand", brand.brand_id, "--json", stdin=lines)
    assert [(bad["line"], bad["code"]) for bad in ran.json["rejected"]] == [(2, "event_conflict")]
    (kept,) = cli("events", "rejected", "--brand", brand.brand_id, "--json").json["data"]
    assert kept["code"] == "event_conflict"
    retried = cli("events", "retry", kept["id"], "--brand", brand.brand_id)
    assert retried.code == 1
    assert retried.err.count("\n") == 1
    assert len(cli("events", "rejected", "--brand", brand.brand_id, "--json").json["data"]) == 1


def test_schema_apply_and_diff(
    cli: Cli, fresh_database: Callable[[], str], direct: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """apply may be run again; diff is silent about a current database and exits 1 where it differs. Past a pooler, as
    all work on the schema."""
    url = direct(fresh_database())
    monkeypatch.setenv("DATABASE_URL", url)
    assert cli("schema", "apply").code == 0
    assert cli("schema", "diff").code == 0
    with engine_for(url).begin() as connection:
        connection.exec_driver_sql("ALTER TABLE brands ADD COLUMN colour text")
    ran = cli("schema", "diff", "--json")
    assert ran.code == 1
    assert any("colour" in difference for difference in ran.json["differences"])
    engine_for(url).dispose()


def test_what_a_command_shows_needs_few_imports(database_url: str) -> None:
    """Up to the end of one that succeeds: `rich` for its table, and nothing for logs, which it writes none of."""
    assert imported("brands", "list", "--json", database_url=database_url)[1].isdisjoint(FOR_SOME)
    number, names = imported("brands", "list", database_url=database_url)
    assert names & FOR_SOME == {"rich"}
    assert number < 700
