"""Commands leave their mark as operations do (SEMANTICS 16): one entry each that changed something.

The table below names them all: a new command that is not in it fails here.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import typer.main
from sqlalchemy import Engine, text

from issuance.cli.main import app
from issuance.database.connections import transaction
from issuance.members import members
from issuance.members.profiles import MemberBody
from tests.database.cli import Brand, Cli, sign_up
from tests.serving import REPO
from tests.states import hold_rule, leave_untranslated, set_apart

#: Commands that change something, by what the audit calls it.
WRITE = {
    "brands create": "brand.created",
    "keys create": "key.created",
    "keys revoke": "key.revoked",
    "keys rotate": "key.rotated",
    "people add": "person.added",
    "people remove": "person.removed",
    "people sign-out": "person.signed_out",
    "events retry": "rejected_event.retried",
    "billers stripe add": "biller.created",
    "billers mapped add": "biller.created",
    "billers map": "biller_price.mapped",
    "billers secrets": "biller.updated",
    "billers translate": "biller.retried",
    "billers stripe reconcile": "run.created",  # it asks Stripe
    "members archive": "member.archived",
    "members erase": "member.erased",
    "members lift": "member.lifted",
    "grant": "credit.granted",
    "credits extend": "credit.extended",
    "credits transfer": "credit.transferred",
    "credits revoke": "credit.revoked",
    "credits reinstate": "credit.reinstated",
    "credits correct": "correction.made",
    "issue": "run.created",
    "replay": "run.created",
    "runs pause": "run.paused",
    "runs resume": "run.resumed",
    "runs cancel": "run.cancelled",
    "runs approve": "run.created",
    "runs undo": "run.created",
    "guard": "guard.updated",
    "held approve": "held_rule.approved",
    "held refuse": "held_rule.refused",
    "preview": "run.created",  # as `runs undo`; it waits for workers (test_previews)
    "quarantine retry": "membership.retried",
    "check": "brand.repaired",  # where there is no run to start (test_repair)
}
#: Those that write none, and why.
NONE = {
    "billers list": "reads",
    "billers stripe list": "reads",
    "billers mapped list": "reads",
    "billers stripe map": "`billers map`, by its other name",
    "billers stripe secrets": "`billers secrets`, by its other name",
    "billers stripe translate": "`billers translate`, by its other name",
    "billers stripe try": "acts as a program with a key; its brand is made as `brands create` makes one",
    "doctor": "reads",
    "up": "starts processes; the brand that it makes is made by `brands create`",
    "serve": "starts processes, which write entries of their own",
    "demo": "acts as a program with a key; its brand is made as `brands create` makes one",
    "keys rotate-tokens": "no brand's: a secret of the installation",
    "brands list": "reads",
    "people list": "reads",
    "keys list": "reads",
    "events load": "facts from billers: the inbox is their record",
    "events rejected": "reads",
    "events list": "reads",
    "rules list": "reads",
    "types list": "reads",
    "coupons list": "reads",
    "memberships list": "reads",
    "members list": "reads",
    "credits list": "reads",
    "webhooks list": "reads",
    "runs list": "reads",
    "held list": "reads",
    "runs show": "reads",
    "runs watch": "reads",
    "explain": "reads",
    "forecast": "reads",
    "members export": "reads",
    "members erased": "reads",
    "members erase-again": "an entry a member, as `members erase` writes it (test_forgetting)",
    "liability": "reads",
    "quarantine list": "reads",
    "audit list": "reads",
    "audit months": "reads",
    "audit detach": "an entry in each brand that has some in a month that goes (test_months)",
    "schema apply": "no brand's: the schema keeps its own record, schema_steps",
    "schema upgrade": "no brand's: the schema keeps its own record, schema_steps",
    "schema status": "reads",
    "schema diff": "reads",
    "version": "reads",
}


def commands(group: Any, path: str = "") -> Iterator[str]:
    """Every command that can be given, those of groups by both words."""
    if hasattr(group, "commands"):
        for name, command in group.commands.items():
            yield from commands(command, f"{path} {name}".strip())
    else:
        yield path


def test_every_command_is_here() -> None:
    """One that is new has to say what the audit calls it, or why it needs no entry."""
    assert set(commands(typer.main.get_command(app))) == set(WRITE) | set(NONE)


def entries(cli: Cli, brand_id: UUID) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cli("audit", "--brand", brand_id, "--json").json["data"]
    return found


def test_a_brand_begins_with_one_entry(cli: Cli, engine: Engine) -> None:
    """Its first key is a part of it."""
    made = cli("brands", "create", "--name", "Spa", "--timezone", "UTC").json
    (entry,) = entries(cli, made["brand_id"])
    assert (entry["action"], entry["subject"]["id"]) == ("brand.created", made["brand_id"])
    assert entry["after"] == {"name": "Spa", "timezone": "UTC", "environment": "live"}
    assert made["key"] not in json.dumps(entry)
    assert entry["actor"]["kind"] == "command"
    assert "@" in entry["actor"]["name"]
    assert entry["request_id"] is None


@pytest.fixture
def run_id(cli: Cli, brand: Brand) -> str:
    made: str = cli("issue", brand.credit_rule_id, "--json").json["id"]
    return made


def prepare(command: str, cli: Cli, brand: Brand, engine: Engine, run_id: str, membership_id: UUID) -> list[object]:
    """The arguments of a command that has something to change."""
    with transaction(engine, brand.brand_id) as connection:
        if command == "runs resume":
            connection.execute(text("UPDATE runs SET state = 'paused' WHERE run_id = :id"), {"id": run_id})
        if command in ("runs approve", "runs undo"):
            over = "UPDATE runs SET state = 'finished', finished_at = now(), dry_run = :dry WHERE run_id = :id"
            connection.execute(text(over), {"id": run_id, "dry": command == "runs approve"})
    if command.startswith("held"):
        hold_rule(engine, brand.brand_id, brand.credit_rule_id)
    if command == "quarantine retry":
        set_apart(engine, brand.brand_id, membership_id)
    if command in ("keys revoke", "keys rotate"):
        made = cli("keys", "create", "--brand", brand.brand_id, "--name", "till").json
        return [made["key_id"]]
    if command == "events retry":
        unknown = str(uuid4())
        event = json.dumps(sign_up(brand._replace(membership_type_id=UUID(unknown)), uuid4()))
        cli("events", "load", "-", "--brand", brand.brand_id, stdin=event)
        with transaction(engine, brand.brand_id) as connection:
            mended = text("UPDATE rejected_events SET body = replace(body, :unknown, :type_id)")
            connection.execute(mended, {"unknown": unknown, "type_id": str(brand.membership_type_id)})
        rejected = cli("events", "rejected", "--brand", brand.brand_id, "--json").json["data"][0]["id"]
        return [rejected, "--brand", brand.brand_id]
    if command.startswith("people "):
        eve = ["--email", f"{uuid4()}@example.com", "--brand", brand.brand_id]
        if command != "people add":
            cli("people", "add", *eve, "--role", "viewer")
        return [*eve, *(["--role", "viewer"] if command == "people add" else [])]
    if command.startswith("members "):
        return forgetting(command.partition(" ")[2], cli, brand, engine)
    if command.startswith("billers "):
        return plugging(command, cli, brand, engine)
    if command.startswith("credits "):
        return correcting(command.partition(" ")[2], cli, brand, engine)
    more: dict[str, list[object]] = {
        "grant": [membership_id, "--coupon", "spa", "--reason", "a test"],
        "keys create": ["--brand", brand.brand_id, "--scopes", "read,write", "--name", "till"],
        "issue": [brand.credit_rule_id],
        "replay": ["--rule", brand.credit_rule_id, "--from", "2090-01-01", "--to", "2090-01-31", "--dry-run"],
        "quarantine retry": [membership_id],
        "guard": ["--max-per-day", 5, "--brand", brand.brand_id],
        "held approve": [brand.credit_rule_id, "--reason", "as it should be"],
        "held refuse": [brand.credit_rule_id, "--reason", "a mistake"],
        "runs undo": [run_id, "--reason", "a mistake"],
    }
    return more.get(command, [run_id])


def forgetting(verb: str, cli: Cli, brand: Brand, engine: Engine) -> list[object]:
    """The arguments of a command about a member who is there, archived, or erased."""
    bea = f"bea {uuid4()}"
    with transaction(engine, brand.brand_id) as connection:
        members.upsert(connection, brand.brand_id, bea, MemberBody())
        if verb != "archive":
            members.archive(connection, brand.brand_id, bea)
    if verb == "lift":
        cli("members", "erase", bea, "--brand", brand.brand_id)
    return [bea, "--brand", brand.brand_id]


def plugging(command: str, cli: Cli, brand: Brand, engine: Engine) -> list[object]:
    """The arguments of a command about billers."""
    folder = Path(tempfile.mkdtemp())
    secret, mapping = folder / "secret", REPO / "docs/billers/chargebee.json"
    secret.write_text("whsec_of_a_test")
    plugged = ["--brand", brand.brand_id, "--secret-file", secret]
    if command.endswith(" add"):
        return [*plugged, *(["--mapping-file", mapping] if "mapped" in command else [])]
    made = cli("billers", "stripe", "add", *plugged).json["biller_id"]
    if command == "billers map":
        return ["--biller", made, "price_gold", brand.membership_type_id]
    if command == "billers secrets":
        secret.write_text("whsec_another_one")
        return ["--biller", made, "--secret-file", secret]
    leave_untranslated(engine, brand.brand_id, made)
    return ["--biller", made]


def correcting(verb: str, cli: Cli, brand: Brand, engine: Engine) -> list[object]:
    """The arguments of a correction of the membership's one credit."""
    with transaction(engine, brand.brand_id) as connection:
        code = connection.scalar(text("SELECT code FROM credits WHERE brand_id = :id"), {"id": brand.brand_id})
        connection.execute(text("UPDATE credits SET expires_at = '2090-03-01Z'"))
        members.ensure(connection, brand.brand_id, ["bea"])
    reason = ["--reason", "a test", "--brand", brand.brand_id]
    if verb == "reinstate":
        cli("credits", "revoke", code, *reason)
    file = Path(tempfile.mkdtemp()) / "corrections.csv"
    file.write_text(f"action,code,expires_at\nextend,{code},2091-01-01T00:00:00Z\n")
    more: dict[str, list[object]] = {
        "extend": ["--expires-at", "2091-01-01T00:00:00Z"],
        "transfer": ["--member", "bea"],
    }
    return [file if verb == "correct" else code, *more.get(verb, []), *reason]


ELSEWHERE = ("brands create", "check", "preview", "billers stripe reconcile")


@pytest.mark.parametrize("command", [one for one in WRITE if one not in ELSEWHERE])
def test_a_command_has_exactly_one_entry(
    cli: Cli, brand: Brand, engine: Engine, run_id: str, membership_id: UUID, command: str
) -> None:
    """And none where it is given wrongly."""
    arguments = prepare(command, cli, brand, engine, run_id, membership_id)
    before = entries(cli, brand.brand_id)
    assert cli(*command.split(), *arguments, "--nonsense").code == 2
    assert entries(cli, brand.brand_id) == before
    done = cli(*command.split(), *arguments)
    assert done.code == 0, done.err
    entry, *others = entries(cli, brand.brand_id)
    assert others == before
    assert (entry["action"], entry["actor"]["kind"]) == (WRITE[command], "command")


def test_keys_are_known_by_their_names(cli: Cli, brand: Brand) -> None:
    """In the list, and in the audit; revoked a second time, a key leaves no second entry."""
    made = cli("keys", "create", "--brand", brand.brand_id, "--name", "till 3").json
    assert cli("keys", "list", "--brand", brand.brand_id, "--json").json["data"][0]["name"] == "till 3"
    for _ in range(2):
        assert cli("keys", "revoke", made["key_id"]).code == 0
    found = [one["action"] for one in entries(cli, brand.brand_id) if one["subject"]["id"] == made["key_id"]]
    assert found == ["key.revoked", "key.created"]


def test_a_link_for_somebody_who_has_the_role_is_an_entry_too(cli: Cli, brand: Brand) -> None:
    """It lets in, and lets choose a password."""
    eve = ["--email", f"{uuid4()}@example.com", "--brand", brand.brand_id, "--role", "viewer"]
    for _ in range(2):
        person_id = cli("people", "add", *eve, "--json").json["person_id"]
    found = [one["action"] for one in entries(cli, brand.brand_id) if one["subject"]["id"] == person_id]
    assert found == ["person.invited", "person.added"]


def test_the_audit_is_read_by_filters(cli: Cli, brand: Brand, run_id: str) -> None:
    """People get a table; what is no action or no instant is bad use."""
    asked = ["audit", "--brand", brand.brand_id, "--action", "run.created"]
    (entry,) = cli(*asked, "--subject", run_id, "--json").json["data"]
    assert cli(*asked, "--to", "2000-01-01T00:00:00Z", "--json").json["data"] == []
    assert cli(*asked, "--from", entry["at"], "--to", entry["at"], "--json").json["data"] == [entry]
    assert run_id in cli(*asked).out
    assert cli("audit", "--brand", brand.brand_id, "--action", "run.eaten").code == 2
    assert cli("audit", "--brand", brand.brand_id, "--from", "yesterday").code == 2


def test_the_audit_is_read_in_pages_as_every_list_is(cli: Cli, brand: Brand) -> None:
    """A page that can not be is bad use; one that has nothing says so."""
    assert cli("audit", "--brand", brand.brand_id, "--page", 10**20).code == 2
    beyond = cli("audit", "--brand", brand.brand_id, "--page", 9)
    assert (beyond.code, beyond.out.strip()) == (0, "Page 9 has none.")
    assert cli("audit", "--brand", brand.brand_id, "--json").json["meta"].keys() == {"page", "per_page", "total"}
