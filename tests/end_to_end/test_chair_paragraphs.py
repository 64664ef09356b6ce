"""SEMANTICS 17 over HTTP: approve what was planned, undo what was issued."""

from __future__ import annotations

from typing import Any

from campaigns.model.brand import Server
from tests.end_to_end.scenario import Scenario

RULES = "/customers/membership-credit-rules"


def monthly(model_server: Server, **flags: Any) -> Scenario:
    """A membership that is billed by us from 5 January 2031 on, whose rule's credits roll over."""
    told = Scenario(model_server, billing="automatic")
    told.rule(roll_over=True, **flags)
    told.sign_up("2031-01-05")
    return told


def settled(told: Scenario, run: Any) -> Any:
    """A run when it is done."""
    told.rows()
    return told.brand.call("GET", f"/runs/{run['id']}")


def test_undo_of_a_version_from_an_instant_on(model_server: Server) -> None:
    """What that version issued at or after it is revoked by the operator; what was redeemed is listed."""
    told = monthly(model_server)
    told.to("2031-04-06")
    told.redeem(2)
    body = {"rule_version": 1, "from": "2031-03-05T00:00:00Z", "reason": "the wrong coupon"}
    run = told.brand.call("POST", f"{RULES}/{told.brand.id('rule')}/undo", 202, json=body)
    assert [run[name] for name in ("kind", "rule_version", "reason")] == ["undo", 1, "the wrong coupon"]
    assert settled(told, run)["counts"] == {"revoked": 1, "already_redeemed": 1}
    assert told.held() == ["2031-02-05 live", "2031-03-05 revoked", "2031-04-05 redeemed"]
    (listed,) = told.brand.call("GET", f"/runs/{run['id']}/plan")["data"]
    assert (listed["status"], listed["period_start"]) == ("redeemed", "2031-04-05")
    again = told.brand.call("POST", f"{RULES}/{told.brand.id('rule')}/undo", 202, json=body)
    assert settled(told, again)["counts"] == {}


def test_undo_of_a_run(model_server: Server) -> None:
    """The credits that it issued; not of an undo, nor of a dry run."""
    told = monthly(model_server)
    told.to("2031-02-06")
    told.redeem(0)
    told.issue()
    told.rows()
    run = next(run for run in told.brand.call("GET", "/runs")["data"] if run["kind"] == "issue")
    undone = told.brand.call("POST", f"/runs/{run['id']}/undo", 202, json={"reason": "a mistake"})
    assert undone["undoes_run_id"] == run["id"]
    assert settled(told, undone)["counts"] == {"revoked": 1}
    assert told.held() == ["2031-02-05 redeemed", "2031-02-05 revoked"]
    span = {"from": "2031-01-01", "to": "2031-02-28", "dry_run": True}
    dry = told.brand.call("POST", "/replays", 202, json=span)
    for other in (settled(told, dry), undone):
        refused = told.brand.call("POST", f"/runs/{other['id']}/undo", 409, json={"reason": "a mistake"})
        assert refused["error"]["code"] == "conflict"


def test_what_is_wrong_with_an_undo_is_named(model_server: Server) -> None:
    """A reason is needed, a version that was there, an instant."""
    told = monthly(model_server)
    path, good = f"{RULES}/{told.brand.id('rule')}/undo", {"from": "2031-03-05T00:00:00Z", "reason": "x"}
    for body, field in [
        ({"rule_version": 1, "from": "2031-03-05T00:00:00Z"}, "reason"),
        ({**good, "rule_version": 2}, "rule_version"),
        ({**good, "rule_version": "1"}, "rule_version"),
        ({**good, "rule_version": 1, "from": "2031-03-05"}, "from"),
        ({**good, "rule_version": 1, "more": 1}, "more"),
    ]:
        assert field in told.brand.call("POST", path, 422, json=body)["error"]["fields"]


def test_a_manual_issue_is_planned_and_approved(model_server: Server) -> None:
    """`dry_run: true` → 202 a run whose plan says who would get what; approved it is a run that does it, once."""
    told = monthly(model_server, issue_on_signup=True)
    told.to("2031-02-06")
    told.redeem(0)
    told.redeem(1)
    plan = told.brand.call("POST", f"{RULES}/{told.brand.id('rule')}/issue", 202, json={"dry_run": True})
    assert settled(told, plan)["counts"] == {"issued": 1}
    (row,) = told.brand.call("GET", f"/runs/{plan['id']}/plan")["data"]
    assert (row["outcome"], row["period_start"], row["guest"]["lead_booker"]) == ("issued", "2031-02-05", True)
    assert told.held("live") == []
    done = told.brand.call("POST", f"/runs/{plan['id']}/approve", 202, json={"reason": "as planned"})
    assert [done[name] for name in ("kind", "plan_id", "dry_run")] == ["issue", plan["id"], False]
    assert told.brand.call("POST", f"/runs/{plan['id']}/approve", 202)["id"] == done["id"]
    assert settled(told, done)["counts"] == {"issued": 1}
    assert told.held("live") == ["2031-02-05"]
    refused = told.brand.call("POST", f"/runs/{done['id']}/approve", 409, json={})
    assert refused["error"]["code"] == "not_a_plan"
