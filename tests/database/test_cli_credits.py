"""`issuance credits` and `issuance grant`: at the desk, one by one or from a file."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from issuance.corrections import desk
from issuance.database.connections import transaction
from tests.database.cli import Brand, Cli
from tests.limits import Limit


@pytest.fixture
def code(brand: Brand, membership_id: UUID, engine: Engine) -> str:
    """That of the membership's one credit, which expires on 1 March 2090."""
    with transaction(engine, brand.brand_id) as connection:
        connection.execute(text("UPDATE credits SET expires_at = '2090-03-01Z'"))
        found = connection.scalar(text("SELECT code FROM credits WHERE membership_id = :id"), {"id": membership_id})
    return str(found)


def test_a_closed_week_is_made_up_for_from_a_file(
    cli: Cli, brand: Brand, membership_id: UUID, code: str, tmp_path: Path
) -> None:
    """Tried first, then done: the same is said of either, with the line of what can not be."""
    file = tmp_path / "closed.csv"
    file.write_text(
        "\ufeffaction,code,expires_at,membership_id,coupon_id,multi_use,max_uses,reason\n"
        f"extend,{code.lower()},2090-03-08T00:00:00Z,,,,,\n"
        "extend,NOSUCHCODE,2090-03-08T00:00:00Z,,,,,\n"
        f"grant,,2090-04-01T00:00:00Z,{membership_id},spa,TRUE,3,for the trouble\n"
    )
    asked = ["credits", "correct", file, "--brand", brand.brand_id, "--reason", "closed for a week", "--json"]
    for dry_run in (True, False):
        ran = cli(*asked, *(["--dry-run"] if dry_run else []))
        assert (ran.code, ran.json["dry_run"]) == (1, dry_run)
        assert [(one["line"], one["action"]) for one in ran.json["data"]] == [(2, "extend"), (4, "grant")]
        assert [(one["line"], one["code"]) for one in ran.json["refused"]] == [(3, "not_found")]
        assert ran.json["data"][0]["credit"]["expires_at"] == "2090-03-08T00:00:00+00:00"
        assert ran.json["data"][1]["credit"]["max_uses"] == 3
    entries = cli("audit", "--brand", brand.brand_id, "--action", "correction.made", "--json").json["data"]
    assert [(one["after"]["dry_run"], one["reason"]) for one in entries] == [
        (False, "closed for a week"),
        (True, "closed for a week"),
    ]
    again = cli(*asked[:-1])
    assert again.err.startswith("line 2: invalid: expires_at: must be later than 2090-03-08")


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("action,colour\nextend,red\n", "line 1: unknown column 'colour'"),
        ("", "The file is empty."),
        ('"action\nrevoke\n', "line 2: unexpected end of data"),
        ("action,code\nextend,ABC\n", "line 2: extend needs expires_at"),
        ("action,code,reason\nrevoke,ABC,why\neat,ABC,why\n", "line 3: action: "),
        ("action,code\nrevoke,ABC,DEF\n", "line 2: it has not as many cells as the first line"),
        ("action,code,coupon_id\nrevoke,ABC,spa\n", "line 2: revoke takes no coupon_id"),
        ("action,code,expires_at\nextend,ABC,tomorrow\n", "line 2: expires_at: must be an RFC 3339 instant"),
        ("action,code\ntransfer,ABC\n", "line 2: transfer needs one of guest_id and external_user_id"),
        ("action,code\nrevoke,ABC\n", "line 2: each correction needs a reason"),
        ("action,code,reason\nrevoke,ABC,why\nrevoke,ABC,\u200b\n", "line 3: reason: must say something"),
    ],
)
def test_a_file_with_a_bad_line_is_refused_as_a_whole(cli: Cli, brand: Brand, table: str, complaint: str) -> None:
    ran = cli("credits", "correct", "-", "--brand", brand.brand_id, stdin=table)
    assert ran.code == 2
    assert complaint in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize("form", ["semicolons", "tabs", "mark", "headings", "quotes", "empty rows"])
def test_a_spreadsheets_csv_is_read_as_it_comes(cli: Cli, brand: Brand, code: str, tmp_path: Path, form: str) -> None:
    """As Excel writes it in much of Europe: semicolons, a byte order mark, headings of another case, rows of nothing at
    the end."""
    table = f"action,code,reason\r\nrevoke,{code},Café closed\r\n"
    written = {
        "semicolons": table.replace(",", ";"),
        "tabs": table.replace(",", "\t"),
        "mark": f"\ufeff{table}",
        "headings": table.replace("action,code", "Action, CODE "),
        "quotes": '"' + table.replace(",", '";"').replace("\r\n", '"\r\n"')[:-1],
        "empty rows": f"{table},,\r\n,,\r\n",
    }[form]
    file = tmp_path / "from-excel.csv"
    file.write_bytes(written.encode())
    ran = cli("credits", "correct", file, "--brand", brand.brand_id)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[-1] == "1 credit corrected, 0 refused."


@pytest.mark.parametrize("broken_by", [RuntimeError, KeyboardInterrupt])
def test_what_broke_off_says_what_is_done_and_goes_on_there(
    cli: Cli,
    brand: Brand,
    membership_id: UUID,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: Limit,
    broken_by: type[BaseException],
) -> None:
    """No grant of the file is made twice."""
    file = tmp_path / "grants.csv"
    grants = f"grant,{membership_id},spa\n" * 5
    file.write_text(f"action,membership_id,coupon_id\n{grants}")
    asked = ["credits", "correct", file, "--brand", brand.brand_id, "--reason", "x"]
    plain, calls = desk.correct_all, iter([False, True])

    def breaking(*arguments: Any, **more: Any) -> Any:
        if next(calls, False):
            raise broken_by
        return plain(*arguments, **more)

    limit("corrections", at_once=2)
    monkeypatch.setattr(desk, "correct_all", breaking)
    broken = cli(*asked, "--json")
    assert broken.code != 0
    assert [one["line"] for one in json.loads(broken.out)["data"]] == [2, 3]
    assert "Lines before 4 are done. Of lines 4 to 5" in broken.err
    on = cli(*asked, "--from-line", 4, "--json")
    assert (on.code, [one["line"] for one in on.json["data"]]) == (0, [4, 5, 6])


def test_nothing_to_correct_is_one_line(cli: Cli, brand: Brand) -> None:
    ran = cli("credits", "correct", "-", "--brand", brand.brand_id, stdin="action,code\n")
    assert (ran.code, ran.out) == (0, "0 credits corrected, 0 refused.\n")


def test_the_desk_corrects_one_credit(cli: Cli, brand: Brand, membership_id: UUID, code: str) -> None:
    """People get a line; what is refused is a line on stderr and exit 1, bad use exit 2."""
    why = ["--reason", "x", "--brand", brand.brand_id]
    extended = cli("credits", "extend", code, "--expires-at", "2090-04-01T00:00:00Z", *why)
    assert extended.out.startswith(f"Credit {code} of ")
    assert extended.out.endswith("is live, until 2090-04-01T00:00:00+00:00.\n")
    assert cli("credits", "revoke", code, *why, "--json").json["status"] == "revoked"
    refused = cli("credits", "revoke", code, *why)
    assert (refused.code, refused.err) == (1, "issuance: The credit was revoked.\n")
    assert cli("credits", "reinstate", code, *why, "--json").json["status"] == "live"
    assert cli("credits", "transfer", code, *why).code == 2
    granted = cli("grant", membership_id, "--coupon", "spa", "--reason", "x", "--multi-use", "--max-uses", 2, "--json")
    assert (granted.json["credit_rule_id"], granted.json["max_uses"]) == (None, 2)
    guest = granted.json["guest"]["id"]
    assert cli("credits", "transfer", code, "--guest", guest, *why).code == 1
