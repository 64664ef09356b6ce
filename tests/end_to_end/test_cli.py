"""The command line (INTERFACE 9): what it prints, where, and with which exit code."""

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import pytest

from issuance import coupons, hints, membership_types, rules
from issuance.cli.main import main
from issuance.coupons import CouponBody
from issuance.database import engine_for, transaction
from issuance.laws import LAWS
from issuance.membership_types import NewMembershipType
from issuance.rules import NewCreditRule
from issuance.settings import settings
from issuance.settling import working


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Ran]


@pytest.fixture
def cli(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database_url: str, redis_url: str
) -> Iterator[Cli]:
    """Runs the command line in this process: the exit code, stdout and stderr."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.delenv("LOG_LEVEL", raising=False)
    handlers = logging.getLogger().handlers[:]

    def run(*arguments: object, stdin: str = "") -> Ran:
        settings.cache_clear()
        monkeypatch.setattr(sys, "argv", ["issuance", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return Ran(int(str(ended.value.code)), printed.out, printed.err)

    yield run
    settings.cache_clear()
    logging.getLogger().handlers[:] = handlers


class Brand(NamedTuple):
    """A brand with one membership type, one coupon and one rule that issues on sign-up."""

    brand_id: UUID
    membership_type_id: UUID
    credit_rule_id: UUID


@pytest.fixture
def brand(cli: Cli, database_url: str) -> Brand:
    made = cli("brands", "create", "--name", "Spa", "--timezone", "Europe/Lisbon", "--sandbox").json
    brand_id = UUID(made["brand_id"])
    with transaction(engine_for(database_url), brand_id) as connection:
        kind = membership_types.create(connection, brand_id, NewMembershipType(name="Gold", billing="external"))
        discount = {"type": "percent", "value": 10}
        coupons.put(connection, brand_id, "spa", CouponBody.model_validate({"name": "Spa", "discount": discount}))
        rule = rules.create(
            connection,
            brand_id,
            NewCreditRule(
                membership_type_id=kind["id"], coupon_id="spa", coupon_name="Spa", issue_on_signup=True, roll_over=True
            ),
        )
    return Brand(brand_id, kind["id"], rule["id"])


def sign_up(brand: Brand, membership_id: UUID, **attributes: object) -> dict[str, Any]:
    """A sign-up in 2090, after every rule of these tests was made."""
    data = {
        "membership_id": str(membership_id),
        "membership_type_id": str(brand.membership_type_id),
        "external_user_id": f"user-{membership_id}",
        "starts_on": "2090-01-31",
        "billing_frequency": "P1M",
    }
    event = {"specversion": "1.0", "id": str(uuid4()), "source": "test", "time": "2090-01-31T10:00:00Z"}
    return {**event, "type": "membership.signed_up", "data": data, **attributes}


def settle(database_url: str, brand: Brand, *membership_ids: UUID) -> None:
    """What a worker would do, on a clock that stands after the sign-ups."""
    engine = engine_for(database_url)
    with transaction(engine, brand.brand_id) as connection:
        connection.exec_driver_sql(
            "UPDATE brands SET clock_now = '2090-02-01T00:00:00Z' WHERE brand_id = %s", (brand.brand_id,)
        )
    working.settle_soon(engine, brand.brand_id, list(membership_ids))


def test_help_names_every_command(cli: Cli) -> None:
    """`issuance --help` shows the commands of INTERFACE 9."""
    ran = cli("--help")
    assert ran.code == 0
    for command in (
        "up",
        "demo",
        "brands",
        "keys",
        "events",
        "issue",
        "replay",
        "runs",
        "explain",
        "forecast",
        "check",
        "schema",
    ):
        assert f"\n  {command} " in ran.out


def test_a_group_without_a_command_is_bad_use(cli: Cli) -> None:
    """`issuance keys` answers with its help, as bad use."""
    ran = cli("keys")
    assert ran.code == 2
    assert "revoke" in ran.err
    assert not ran.out


def test_brands_create_prints_json(cli: Cli) -> None:
    """Other programs read the brand's id and its first key from stdout; the key says its environment."""
    sandbox = cli("brands", "create", "--name", "A", "--timezone", "Asia/Tokyo", "--sandbox").json
    live = cli("brands", "create", "--name", "B", "--timezone", "UTC").json
    assert set(sandbox) == set(live) == {"brand_id", "key"}
    assert sandbox["key"].startswith("iss_sandbox_")
    assert live["key"].startswith("iss_live_")
    listed = cli("brands", "list", "--json").json["data"]
    assert {sandbox["brand_id"], live["brand_id"]} <= {row["brand_id"] for row in listed}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("brands", "create", "--name", "X", "--timezone", "Mars/Base"), 2),
        (("brands", "create", "--name", "", "--timezone", "UTC"), 2),
        (("brands", "create", "--timezone", "UTC"), 2),
        (("no-such-command",), 2),
        (("explain", "not-a-uuid"), 2),
        (("explain", UUID(int=1)), 1),
        (("explain", UUID(int=1), "--from", "2031-02-30"), 2),
        (("forecast", UUID(int=1)), 1),
        (("forecast", UUID(int=1), "--months", "61"), 2),
        (("runs", "show", UUID(int=1)), 1),
        (("issue", UUID(int=1)), 1),
        (("replay", "--from", "2031-01-01", "--to", "2031-01-02"), 2),
        (("replay", "--rule", UUID(int=1), "--from", "2031-01-01", "--to", "2031-01-02"), 1),
        (("keys", "revoke", UUID(int=1)), 1),
        (("keys", "list", "--brand", UUID(int=1)), 1),
        (("check", "--law", "11"), 2),
        (("events", "load", "no-such-file.jsonl", "--brand", UUID(int=1)), 1),
    ],
)
def test_an_error_is_one_line(cli: Cli, arguments: tuple[object, ...], code: int) -> None:
    """Errors are one line on stderr, exit 2 for bad use and 1 for failure; never a traceback."""
    ran = cli(*arguments)
    assert ran.code == code, ran.err
    assert ran.err.startswith("issuance: ")
    assert ran.err.count("\n") == 1
    assert not ran.out


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("DATABASE_URL", "postgresql://127.0.0.1:1/nowhere", 1),
        ("DATABASE_URL", "", 2),
        ("DATABASE_URL", "mysql://somewhere", 2),
        ("ISSUANCE_PORT", "high", 2),
        ("LOG_LEVEL", "loud", 2),
    ],
)
def test_a_wrong_setting_is_one_line(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, name: str, value: str, code: int
) -> None:
    """A missing or wrong setting, or a server that is not there, is one clear line."""
    monkeypatch.setenv(name, value)
    ran = cli("brands", "list")
    assert ran.code == code, ran.err
    assert ran.err.count("\n") == 1


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
    lines = ran.err.splitlines()
    assert [line.split(":")[:2] for line in lines] == [
        ["line 2", " malformed"],
        ["line 4", " malformed"],
        ["line 7", " malformed"],
    ]
    again = cli("events", "load", "-", "--brand", brand.brand_id, "--json", stdin="\n".join(good))
    assert again.code == 0
    assert again.json == {"accepted": 0, "duplicates": 3, "rejected": []}


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


def test_explain_says_it_in_a_sentence(cli: Cli, brand: Brand, database_url: str) -> None:
    """explain finds the brand by the membership, and tells each turn in words and as JSON."""
    membership_id = uuid4()
    cli("events", "load", "-", "--brand", brand.brand_id, stdin=json.dumps(sign_up(brand, membership_id)))
    settle(database_url, brand, membership_id)
    ran = cli("explain", membership_id, "--rule", brand.credit_rule_id, "--json")
    (row,) = ran.json["data"]
    assert (row["period_start"], row["outcome"], row["reason"]) == ("2090-01-31", "issued", "issued")
    people = cli("explain", membership_id)
    assert "2090-01-31" in people.out
    assert "was issued a credit" in people.out
    assert "No turns" in cli("explain", membership_id, "--from", "2090-02-01", "--to", "2090-02-02").out


def test_forecast_counts_month_by_month(cli: Cli, brand: Brand, database_url: str) -> None:
    """forecast finds the brand by the rule; of a membership with charges to come it counts one credit a month."""
    membership_id = uuid4()
    cli("events", "load", "-", "--brand", brand.brand_id, stdin=json.dumps(sign_up(brand, membership_id)))
    settle(database_url, brand, membership_id)
    ran = cli("forecast", brand.credit_rule_id, "--months", 2, "--json")
    assert ran.json == {"data": [{"month": "2090-02", "credits": 1}, {"month": "2090-03", "credits": 1}]}
    people = cli("forecast", brand.credit_rule_id, "--brand", brand.brand_id)
    assert people.out.count("2090-") == 11
    assert "2091-01" in people.out


def test_a_manual_issue_is_a_run(cli: Cli, brand: Brand, database_url: str) -> None:
    """issue starts a run; it can be paused, resumed, listed, watched to its end, and cancelled no more."""
    membership_id = uuid4()
    cli("events", "load", "-", "--brand", brand.brand_id, stdin=json.dumps(sign_up(brand, membership_id)))
    settle(database_url, brand, membership_id)
    run_id = cli("issue", brand.credit_rule_id, "--include-upcoming", "--json").json["id"]
    assert cli("runs", "pause", run_id).code == 0
    assert cli("runs", "watch", run_id, "--json").json["state"] == "paused"
    assert cli("runs", "resume", run_id).code == 0
    working.work_on_run(engine_for(database_url), brand.brand_id, UUID(run_id))
    assert cli("runs", "watch", run_id, "--json").json["counts"] == {"holds_live_credit": 1}
    assert "holds_live_credit" in cli("runs", "show", run_id).out
    assert [row["id"] for row in cli("runs", "--brand", brand.brand_id, "--json").json["data"]] == [run_id]
    assert cli("runs", "cancel", run_id).code == 1


def test_a_dry_run_shows_its_plan_and_issues_nothing(cli: Cli, brand: Brand, database_url: str) -> None:
    """replay --dry-run plans; the rows of the plan come with the run."""
    membership_id = uuid4()
    cli("events", "load", "-", "--brand", brand.brand_id, stdin=json.dumps(sign_up(brand, membership_id)))
    settle(database_url, brand, membership_id)
    span = ("--from", "2090-01-01", "--to", "2090-01-31")
    run_id = cli("replay", "--membership", membership_id, *span, "--dry-run", "--json").json["id"]
    working.work_on_run(engine_for(database_url), brand.brand_id, UUID(run_id))
    run = cli("runs", "show", run_id, "--json").json
    assert run["dry_run"] is True
    assert run["counts"] == {"already_issued": 1}
    assert len(run["plan"]) == 1
    assert "dry run" in cli("runs", "show", run_id).out


def test_check_passes_on_a_lawful_brand(cli: Cli, brand: Brand, database_url: str) -> None:
    """check names every law it looked at and exits 0 where all hold."""
    membership_id = uuid4()
    cli("events", "load", "-", "--brand", brand.brand_id, stdin=json.dumps(sign_up(brand, membership_id)))
    settle(database_url, brand, membership_id)
    ran = cli("check", "--brand", brand.brand_id)
    assert ran.code == 0, ran.out
    assert ran.out.count("holds") == len(LAWS)
    assert cli("check", "--brand", brand.brand_id, "--law", "4", "--json").json["holds"] is True


def test_check_names_the_offender(cli: Cli, brand: Brand, database_url: str) -> None:
    """A broken law is exit 1, with the ids to act on."""
    membership_id = uuid4()
    cli("events", "load", "-", "--brand", brand.brand_id, stdin=json.dumps(sign_up(brand, membership_id)))
    settle(database_url, brand, membership_id)
    with transaction(engine_for(database_url), brand.brand_id) as connection:
        connection.exec_driver_sql("DELETE FROM credits WHERE membership_id = %s", (membership_id,))
    ran = cli("check", "--brand", brand.brand_id, "--json")
    assert ran.code == 1
    broken = {verdict["law"]: verdict["offenders"] for verdict in ran.json["laws"] if verdict["offenders"]}
    assert set(broken) == {2}
    assert broken[2][0]["membership_id"] == str(membership_id)
    people = cli("check", "--brand", brand.brand_id)
    assert people.code == 1
    assert str(membership_id) in people.out


def test_check_repairs_what_is_missing(
    cli: Cli, brand: Brand, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--repair issues what was lost, as a run that can be seen, and says how it is afterwards."""
    membership_id = uuid4()
    cli("events", "load", "-", "--brand", brand.brand_id, stdin=json.dumps(sign_up(brand, membership_id)))
    settle(database_url, brand, membership_id)
    engine = engine_for(database_url)
    with transaction(engine, brand.brand_id) as connection:
        connection.exec_driver_sql("DELETE FROM credits WHERE membership_id = %s", (membership_id,))
    monkeypatch.setattr(hints, "work_on_run", lambda _, brand_id, run_id: working.work_on_run(engine, brand_id, run_id))
    ran = cli("check", "--brand", brand.brand_id, "--repair", "--json")
    assert ran.code == 0, ran.out
    (run_id,) = ran.json["repairs"]
    listed = cli("runs", "--brand", brand.brand_id, "--json").json["data"]
    assert [(run["id"], run["kind"], run["counts"]) for run in listed] == [(run_id, "replay", {"issued": 1})]
    again = cli("check", "--brand", brand.brand_id, "--repair", "--json")
    assert (again.code, again.json["repairs"]) == (0, [])


def test_schema_apply_and_diff(cli: Cli, fresh_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """apply may be run again; diff is silent about a current database and exits 1 where it differs."""
    url = fresh_database()
    monkeypatch.setenv("DATABASE_URL", url)
    assert cli("schema", "apply").code == 0
    assert cli("schema", "diff").code == 0
    with engine_for(url).begin() as connection:
        connection.exec_driver_sql("ALTER TABLE brands ADD COLUMN colour text")
    ran = cli("schema", "diff", "--json")
    assert ran.code == 1
    assert any("colour" in difference for difference in ran.json["differences"])
    engine_for(url).dispose()


def test_a_reader_who_leaves_is_no_error(database_url: str, redis_url: str) -> None:
    """`issuance … | head` ends without a word on stderr; `python -m issuance.cli` is the same command."""
    nobody_reads, out = os.pipe()
    os.close(nobody_reads)
    environment = {**os.environ, "DATABASE_URL": database_url, "REDIS_URL": redis_url}
    command = [sys.executable, "-m", "issuance.cli", "brands", "list", "--json"]
    ran = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, env=environment, check=False)
    os.close(out)
    assert (ran.returncode, ran.stderr) == (1, b"")
