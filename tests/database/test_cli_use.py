"""How the command line is used, and misused (INTERFACE 9): what it prints, where, and with which exit code."""

import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from tests.database.cli import Brand, Cli


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


@pytest.mark.parametrize("limit", ["--max-per-day", "--times-busiest-day"])
def test_a_guard_is_off_or_has_limits(cli: Cli, brand: Brand, limit: str) -> None:
    """Not both: which of them was meant nobody could tell."""
    assert cli("guard", "--off", limit, 5, "--brand", brand.brand_id).code == 2
    assert set(cli("guard", "--brand", brand.brand_id, "--json").json.values()) == {None}


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
        (("check", "--law", "99"), 2),
        (("keys", "rotate", UUID(int=1), "--overlap-hours", "nan"), 2),
        (("keys", "rotate", UUID(int=1), "--overlap-hours", "1e300"), 2),
        (("guard", "--max-per-day", "9" * 30), 2),
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
    assert name in ran.err


@pytest.mark.parametrize("asked", ["--help", "brands --help", "brands list", "brands list --json", "version"])
def test_a_reader_who_leaves_is_no_error(database_url: str, redis_url: str, asked: str) -> None:
    """`issuance … | head` ends without a word on stderr, whatever it shows; `python -m issuance.cli` is the same."""
    nobody_reads, out = os.pipe()
    os.close(nobody_reads)
    environment = {**os.environ, "DATABASE_URL": database_url, "REDIS_URL": redis_url}
    command = [sys.executable, "-m", "issuance.cli", *asked.split()]
    ran = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, env=environment, check=False)
    os.close(out)
    assert (ran.returncode, ran.stderr) == (1, b"")


#: The commands that read a file, up to its name.
READ_A_FILE = (
    "credits correct",
    "members erase-again",
    "billers stripe add --secret-file",
    "billers mapped add --secret-file /dev/null --mapping-file",
)


@pytest.mark.parametrize("command", [*READ_A_FILE, "events load"])
def test_a_file_that_can_not_be_read_is_bad_use(cli: Cli, brand: Brand, tmp_path: Path, command: str) -> None:
    """Whichever command it is for: one line that names it, and exit 2."""
    for file in (tmp_path / "missing", tmp_path):
        ran = cli(*command.split(), file, *([] if "erase-again" in command else ["--brand", brand.brand_id]))
        assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
        assert ran.err.startswith(f"issuance: {file} can not be read: ")


@pytest.mark.parametrize(
    "said",
    [
        (),
        ("--delete",),
        ("RULE", "--delete", "--says", "{}"),
        ("--says", "[1]"),
    ],
)
def test_a_preview_of_nothing_that_could_be_is_bad_use(cli: Cli, brand: Brand, said: tuple[str, ...]) -> None:
    """One line that says what is to be said, and exit 2."""
    named = [str(brand.credit_rule_id) if word == "RULE" else word for word in said]
    ran = cli("preview", *named, "--brand", brand.brand_id)
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert ran.err.startswith("issuance: ")
    assert "Error" not in ran.err


@pytest.mark.parametrize("command", READ_A_FILE)
@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_a_file_that_is_not_utf_8_is_bad_use(
    cli: Cli, brand: Brand, tmp_path: Path, command: str, encoding: str
) -> None:
    """One line that names the line and says what to do, and exit 2."""
    file = tmp_path / "file"
    file.write_bytes("action,code,reason\nrevoke,ABC,Café\n".encode(encoding))
    ran = cli(*command.split(), file, *([] if "erase-again" in command else ["--brand", brand.brand_id]))
    assert (ran.code, ran.out, ran.err.count("\n")) == (2, "", 1)
    assert f"{file}, line {1 if encoding == 'utf-16' else 2}: this is not UTF-8; save the file as UTF-8" in ran.err


def test_lists_are_found_in_one_way(cli: Cli, brand: Brand, membership_id: UUID) -> None:
    """`issuance THINGS list`, and what it shows is what other commands ask for; a group that people mostly look at
    lists without the word too, and takes its options before or after it."""
    where = ("--brand", brand.brand_id)
    member = f"user-{membership_id}"
    for things, expected in {
        "rules": str(brand.credit_rule_id),
        "types": str(brand.membership_type_id),
        "coupons": "spa",
        "memberships": str(membership_id),
    }.items():
        listed = cli(things, "list", *where, "--json")
        assert [row["id"] for row in listed.json["data"]] == [expected]
        assert listed.json["meta"] == {"page": 1, "per_page": 100, "total": 1}
        assert expected in cli(things, *where).out
        assert cli(things, *where, "list", "--json").json == cli(things, "--json", *where).json == listed.json
    assert cli("members", "list", *where, "--json").json["data"][0]["external_user_id"] == member
    issued = cli("credits", "list", "--member", member, "--status", "live", *where, "--json").json["data"]
    assert [one["membership_id"] for one in issued] == [str(membership_id)]
    assert issued[0]["code"] in cli("credits", "list", *where).out
    assert cli("credits", "list", "--status", "expired", *where).out == "No such credits.\n"
    assert cli("credits", "list", "--status", "lost", *where).code == 2
    for things, none in {
        "runs": "No runs yet.", "held": "No rule is held.", "webhooks": "No webhooks yet.",
    }.items():  # fmt: skip
        assert cli(things, "list", *where).out == cli(things, *where).out == f"{none}\n"
    assert cli("runs", *where, "show", UUID(int=1)).err == f"issuance: There is no run {UUID(int=1)}.\n"
    assert "  watch " in cli("runs", "--help").out
    assert cli("rules", "list", "--page", "2", *where).out == "Page 2 has none.\n"
