"""`issuance doctor` says what is wrong, and what to do about it."""

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from issuance import heartbeats
from issuance.cli.diagnoses import postgresql
from issuance.database.connections import engine_for, transaction
from issuance.heartbeats import Heart
from issuance.laws import verdicts
from issuance.tenancy import brands
from issuance.webhooks import webhooks
from tests.database.cli import Cli


def findings(cli: Cli, *, code: int) -> list[dict[str, Any]]:
    ran = cli("doctor", "--json")
    assert ran.code == code, ran.out + ran.err
    assert ran.json["well"] == (code == 0)
    found: list[dict[str, Any]] = ran.json["findings"]
    assert all(one["do"] for one in found if one["state"] == "wrong" and one["about"] != "schema")
    return found


def said(found: list[dict[str, Any]], state: str) -> str:
    return json.dumps([one for one in found if one["state"] == state])


def test_where_all_is_well_it_exits_0(
    cli: Cli, fresh_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On servers that answer, with a process for everything that has to be done; its lines are for people."""
    url = fresh_database()
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("ISSUANCE_SEALING_KEY", "a sealing key of thirty-two letters")
    # What the tests' own server does for speed, or this machine's disk, is not what is tried here.
    for look in ("of_durability", "of_backups"):
        monkeypatch.setattr(postgresql, look, lambda _: iter(()))
    engine = engine_for(url)
    Heart(engine, "scheduler", lambda: False).beat()
    Heart(engine, "worker", lambda: False, ["events", "bulk", "webhooks"]).beat()
    found = findings(cli, code=0)
    about = {one["about"] for one in found}
    assert {
        "versions",
        "PostgreSQL",
        "clocks",
        "pooler",
        "connections",
        "disk",
        "rights",
        "schema",
        "Redis",
        "processes",
    } <= about
    lines = cli("doctor").out.splitlines()
    assert any(line.startswith("ok") and "scheduler lives" in line for line in lines)


def test_what_is_wrong_is_said_with_what_to_do(
    cli: Cli, fresh_database: Callable[[], str], direct: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dead scheduler, processes that never were, commits that are not on disk, brands that are not kept apart, an
    event that nobody settles: each by its name, all in one go. Past a pooler, whose sessions go on as they began."""
    url = direct(fresh_database())
    monkeypatch.setenv("DATABASE_URL", url)
    Heart(engine_for(url), "scheduler", lambda: False).beat()
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("UPDATE heartbeats SET beat_at = beat_at - interval '1 hour'")
        connection.execute("ALTER TABLE offers NO FORCE ROW LEVEL SECURITY")
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET synchronous_commit = off")
    wrong = said(findings(cli, code=1), "wrong")
    for part in heartbeats.NEEDED:
        assert part in wrong
    for word in ("for 3,6", "was never heard of", "synchronous_commit", "offers"):
        assert word in wrong, wrong


def test_one_that_is_away_hides_no_other(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither password nor traceback is shown."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://somebody:hunter2@127.0.0.1:1/nowhere")
    wrong = said(found := findings(cli, code=1), "wrong")
    assert "PostgreSQL" in wrong
    assert "Redis" in said(found, "ok")
    monkeypatch.setenv("REDIS_URL", "amqp://somebody:hunter2@127.0.0.1:1/")
    assert "RabbitMQ" in said(findings(cli, code=1), "wrong")
    monkeypatch.setenv("REDIS_URL", "redis://:hunter2@127.0.0.1:1/0")
    ran = cli("doctor")
    assert ran.code == 1
    assert "WRONG  Redis: it does not answer" in ran.out
    assert "hunter2" not in ran.out + ran.err
    assert "Traceback" not in ran.err


def test_a_schema_that_does_not_fit_is_one_line(
    cli: Cli, fresh_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what to run."""
    url = fresh_database()
    monkeypatch.setenv("DATABASE_URL", url)
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'before_0001' WHERE version_num LIKE 'before%'")
    assert "issuance schema upgrade" in said(findings(cli, code=1), "wrong")


def test_a_brand_that_was_never_checked_is_told_of(
    cli: Cli, fresh_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From two days after it was made, as one is whose last check is so long ago."""
    url = fresh_database()
    monkeypatch.setenv("DATABASE_URL", url)
    with transaction(engine_for(url)) as connection:
        brand_id, _ = brands.create(connection, name="new", timezone="UTC", sandbox=False)
    assert "checked" not in said(findings(cli, code=1), "look")
    with transaction(engine_for(url)) as connection:
        connection.execute(text("UPDATE brands SET created_at = created_at - interval '3 days'"))
    assert "a brand has not been checked for 3 days" in said(findings(cli, code=1), "look")
    with transaction(engine_for(url), brand_id) as connection:
        verdicts.keep(connection, brand_id, {1: 0})
    assert "checked" not in said(findings(cli, code=1), "look")


def test_secrets_that_are_not_as_the_key_has_them_are_told_of(
    cli: Cli, fresh_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that stand as they are though there is a key, and those that are encrypted where none is given."""
    url = fresh_database()
    monkeypatch.setenv("DATABASE_URL", url)
    with transaction(engine_for(url)) as connection:
        brand_id, _ = brands.create(connection, name="new", timezone="UTC", sandbox=False)
    with transaction(engine_for(url), brand_id) as connection:
        webhook_id = webhooks.create(connection, brand_id, "https://example.com/", ["credit.issued"])["id"]
    monkeypatch.setenv("ISSUANCE_SEALING_KEY", "a sealing key of thirty-two letters")
    assert "1 secret is kept as before there was a sealing key" in said(findings(cli, code=1), "look")
    with transaction(engine_for(url), brand_id) as connection:
        webhooks.rotate(connection, brand_id, webhook_id)
    assert "1 secret is kept" in said(findings(cli, code=1), "look"), "the former one signs for a while"
    with transaction(engine_for(url), brand_id) as connection:
        connection.execute(text("UPDATE webhooks SET former_until = clock_timestamp()"))
    assert "secrets" not in {one["about"] for one in findings(cli, code=1)}
    monkeypatch.delenv("ISSUANCE_SEALING_KEY")
    assert "no sealing key is given here" in said(findings(cli, code=1), "wrong")
