"""Runs in the console: a rule's version is undone, a biller's plan approved, a plan kept no longer."""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from campaigns.console.forms import forms_of
from issuance.billers import billers, starting
from issuance.billers.billers import New
from issuance.database.connections import transaction
from tests.end_to_end.client import RULES, Client
from tests.end_to_end.console.browsers import Browser
from tests.serving import NewBrand, Server
from tests.stripe import SECRET
from tests.waiting import eventually


@pytest.fixture
def client(server: Server, brand: NewBrand) -> Iterator[Client]:
    with server.client(brand.key) as http:
        yield Client(http, "automatic")


def finished(client: Client, run_id: object) -> dict[str, Any]:
    eventually(lambda: client.ok("GET", f"/runs/{run_id}")["state"] == "finished")
    found: dict[str, Any] = client.ok("GET", f"/runs/{run_id}")
    return found


def standing(client: Client) -> set[tuple[str, int, str]]:
    """Each credit's rule and version, and where it stands."""
    return {(one["credit_rule_id"], one["rule_version"], one["status"]) for one in client.data("/customers/credits")}


@pytest.mark.parametrize("deleted", [False, True], ids=["in force", "deleted"])
def test_a_wrong_version_is_undone_and_other_rules_keep_what_they_gave(
    client: Client, brand: NewBrand, admin: Browser, *, deleted: bool
) -> None:
    """From a day on, with a reason; what the rule gave by another version stays, and nothing comes back by itself."""
    wrong, other = client.rule(issue_on_signup=True), client.rule(issue_on_signup=True)
    client.send(client.sign_up())
    client.until("2031-01-02T00:00:00Z")
    client.ok("PUT", f"{RULES}/{wrong['id']}", 200, {"coupon_name": "By mistake"})
    client.until("2031-01-03T00:00:00Z")
    client.send(client.sign_up(external_user_id="bob", starts_on="2031-01-03"))
    if deleted:
        client.ok("DELETE", f"{RULES}/{wrong['id']}", 204)
    address = f"/console/{brand.brand_id}/rules/{wrong['id']}"
    (form,) = [form for form in forms_of(admin.get(address)) if form.action.endswith("/undo")]
    assert form.fields["version"] == "2", "the latest that gave something comes first"

    def undo(since: str) -> Any:
        says = {**form.fields, "since": since, "reason": "a mistake"}
        return admin.http.post(form.action, data=says)

    assert "Say the day" in undo("").text
    sent = undo("2031-01-02")
    run = finished(client, sent.url.path.rpartition("/")[2])
    assert (run["kind"], run["rule_version"], run["reason"]) == ("undo", 2, "a mistake")
    assert run["counts"] == {"revoked": 1}
    assert "what was issued from 2 Jan 2031, 00:00 on" in admin.get(sent.url.path)
    client.until("2031-01-04T00:00:00Z")
    assert standing(client) == {
        (wrong["id"], 1, "live"),
        (wrong["id"], 2, "revoked"),
        (other["id"], 1, "live"),
    }


def test_the_undo_of_a_sweep_says_that_it_is_of_all_rules(client: Client, brand: NewBrand, admin: Browser) -> None:
    rule = client.rule(issue_on_signup=True, issuing_frequency="P1M")
    client.send(client.sign_up())
    client.until("2031-02-01T00:00:00Z")
    runs = client.data("/runs")
    issued = client.ok("POST", f"{RULES}/{rule['id']}/issue", 202, {"dry_run": True})
    approved = client.ok("POST", f"/runs/{finished(client, issued['id'])['id']}/approve", 202)
    for run_id, of_all in (
        (next(run["id"] for run in runs if run["kind"] == "sweep"), True),
        (finished(client, approved["id"])["id"], False),
    ):
        page = admin.get(f"/console/{brand.brand_id}/runs/{run_id}")
        assert "Undo: take back for good" in page
        assert ("of all rules" in page) is of_all


def forget(server: Server, brand_id: UUID) -> None:
    """The plans of a brand, as tidying forgets them."""
    with transaction(server.engine, brand_id) as connection:
        connection.execute(text("UPDATE run_batches SET plan = NULL WHERE brand_id = :id"), {"id": brand_id})


def test_a_run_whose_plan_is_kept_no_longer_is_still_shown(
    client: Client, brand: NewBrand, admin: Browser, server: Server
) -> None:
    """With its counts and what became of it: a dry run, an undo, a preview. It is not said that nothing differs, and
    nothing is offered that can not be done."""
    rule = client.rule(issue_on_signup=True, issuing_frequency="P1M")
    client.send(client.sign_up())
    code = client.data("/customers/credits")[0]["code"]
    client.ok("POST", f"/customers/credits/{code}/redeem", 200, {})
    undo = {"rule_version": 1, "from": "2031-01-01T00:00:00Z", "reason": "a mistake"}
    change = {"credit_rule_id": rule["id"], "delete": True}
    made = {
        "plan": client.ok("POST", f"{RULES}/{rule['id']}/issue", 202, {"dry_run": True, "include_upcoming": True}),
        "undo": client.ok("POST", f"{RULES}/{rule['id']}/undo", 202, undo),
        "preview": client.ok("POST", f"{RULES}/preview", 202, change),
    }
    root = f"/console/{brand.brand_id}"
    for run in made.values():
        finished(client, run["id"])
    pages = {name: admin.get(f"{root}/runs/{run['id']}") for name, run in made.items()}
    assert "Approve: do it" in pages["plan"]
    assert code in pages["undo"]
    assert "Who gains and loses" in pages["preview"]
    forget(server, brand.brand_id)
    pages = {name: admin.get(f"{root}/runs/{run['id']}") for name, run in made.items()}
    assert {name for name, page in pages.items() if "not kept any more" not in page} == set()
    assert "Approve: do it" not in pages["plan"]
    assert "used already" in pages["undo"], "its counts stay"
    assert "as it would be" in pages["preview"], "its months stay"
    edit = admin.get(f"{root}/rules/{rule['id']}/edit", preview=made["preview"]["id"])
    assert "not kept any more" in edit
    assert "No credit differs" not in edit


def test_the_plan_of_a_biller_is_approved_on_its_page(
    client: Client, brand: NewBrand, admin: Browser, server: Server
) -> None:
    """It counts the biller's objects, and names by the biller's words whom we do not know yet."""
    rule = client.rule()
    row = {
        "membership_id": str(rule["id"]), "guest_id": str(rule["id"]), "lead_booker": True,
        "credit_rule_id": rule["id"], "rule_version": 1, "period_start": "2031-01-01", "period_end": None,
        "outcome": "issued", "reason": "issued", "source_ref": "sub_of_ada",
    }  # fmt: skip
    with transaction(server.engine, brand.brand_id) as connection:
        biller_id = billers.create(connection, brand.brand_id, New("stripe", [SECRET], None))
        run_id = starting.start(connection, brand.brand_id, biller_id, None, dry_run=True)
        connection.execute(
            text("UPDATE runs SET state = 'finished', finished_at = now(), total = 7 WHERE run_id = :id"),
            {"id": run_id},
        )
        connection.execute(
            text("""INSERT INTO run_batches (brand_id, run_id, batch, first_id, last_id, size, finished_at, counts,
                                             plan, planned)
                    VALUES (:brand_id, :run_id, 1, :run_id, :run_id, 7, now(), '{"issued": 1}',
                            jsonb_build_array(CAST(:row AS jsonb)), 1)"""),
            {"brand_id": brand.brand_id, "run_id": run_id, "row": json.dumps(row)},
        )
    page = admin.get(f"/console/{brand.brand_id}/runs/{run_id}")
    assert "objects of the biller" in page
    assert "sub_of_ada" in page
    (form,) = [form for form in forms_of(page) if form.action.endswith("/approve")]
    answer = admin.http.post(form.action, data={**form.fields, "reason": "looks right"})
    assert "It is approved" in answer.text
    assert f"/runs/{run_id}" in answer.text, "whose plan it does"
    assert client.ok("GET", answer.url.path.removeprefix(f"/console/{brand.brand_id}"))["plan_id"] == str(run_id)
