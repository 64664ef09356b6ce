"""SEMANTICS 6 over HTTP: a credit's last use (`max_uses`), and how far it rolls over (`roll_over_limit`)."""

from __future__ import annotations

from typing import Any

import pytest

from campaigns.model.brand import Server
from tests.end_to_end.scenario import Scenario, instant


def monthly(model_server: Server, **flags: Any) -> Scenario:
    """A membership that is billed by us from 5 January 2031 on, with a rule for its month's credit."""
    told = Scenario(model_server, billing="automatic")
    told.rule(**flags)
    told.sign_up("2031-01-05")
    return told


def test_it_is_redeemed_at_its_last_use(model_server: Server) -> None:
    """`max_uses: n`: redeemed at the n-th use, not before it, and not used again."""
    told = monthly(model_server, multi_use=True, max_uses=2)
    told.to("2031-02-06")
    told.redeem()
    assert [told.only()[name] for name in ("status", "uses", "max_uses")] == ["live", 1, 2]
    told.redeem()
    assert [told.only()[name] for name in ("status", "uses")] == ["redeemed", 2]
    assert told.redeem(0, 409)["error"]["code"] == "already_redeemed"


def test_a_use_that_is_cancelled_in_time_makes_it_live_again(model_server: Server) -> None:
    """`uses` counts those that are not cancelled; cancelled too late it is expired."""
    told = monthly(model_server, multi_use=True, max_uses=2)
    told.to("2031-02-06")
    first, second = (told.redeem()["redemption"]["id"] for _ in range(2))
    told.brand.call("PATCH", f"/v1/redemptions/{first}", json={"status": "CANCELED"})
    assert [told.only()[name] for name in ("status", "uses", "redeemed_at")] == ["live", 1, None]
    told.redeem()
    assert told.only()["status"] == "redeemed"
    told.to("2031-03-05")
    told.brand.call("PATCH", f"/v1/redemptions/{second}", json={"status": "CANCELED"})
    assert [told.rows()[0][name] for name in ("status", "uses")] == ["expired", 1]


def test_one_that_has_uses_left_is_unredeemed(model_server: Server) -> None:
    """What revokes unredeemed credits revokes it; one that is used up stays redeemed."""
    told = monthly(model_server, multi_use=True, max_uses=2, issue_on_signup=True, roll_over=True)
    told.to("2031-02-06")
    told.redeem(0)
    told.redeem(0)
    told.redeem(1)
    told.status("cancelled", time="2031-01-04")
    assert told.held() == ["2031-01-05 redeemed", "2031-02-05 revoked"]


def test_it_counts_as_held_until_it_is_used_up(model_server: Server) -> None:
    """Section 9: a multi-use credit that is not used up counts as held; used up it does not."""
    told = monthly(model_server, multi_use=True, max_uses=2)
    told.to("2031-02-06")
    for uses, held in [(1, 1), (2, 2)]:
        told.redeem()
        told.issue()
        assert len(told.rows()) == held, uses


@pytest.mark.parametrize(("limit", "expires_at"), [(1, "2031-04-05"), (2, "2031-05-05"), (12, "2032-03-05")])
def test_it_rolls_over_into_so_many_further_periods(model_server: Server, limit: int, expires_at: str) -> None:
    """It expires at the end of the n-th period after its own."""
    told = monthly(model_server, roll_over=True, roll_over_limit=limit)
    told.to("2031-02-06")
    assert told.when("expires_at") == instant(expires_at)


def test_the_coupon_may_end_sooner(model_server: Server) -> None:
    """`expires_at` is the earliest of the limits."""
    told = Scenario(model_server, billing="automatic", validity="P10D")
    told.rule(roll_over=True, roll_over_limit=1)
    told.sign_up("2031-01-05")
    told.to("2031-02-06")
    assert told.when("expires_at") == instant("2031-02-15")


def test_a_short_first_period_is_one(model_server: Server) -> None:
    """Joining on the 25th with billing on the 1st: the sign-up's credit rolls over into February, and no further."""
    told = Scenario(model_server, billing="automatic")
    told.rule(roll_over=True, roll_over_limit=1, issue_on_signup=True)
    told.sign_up("2031-01-25", billing_anchor="2031-02-01")
    assert told.when("expires_at") == instant("2031-03-01")


def test_periods_are_the_rules_own(model_server: Server) -> None:
    """A quarterly credit rolls over into quarters."""
    told = monthly(model_server, roll_over=True, roll_over_limit=1, issuing_frequency="P3M")
    told.to("2031-04-06")
    assert told.when("expires_at") == instant("2031-10-05")


def test_the_end_moves_with_the_billing_date(model_server: Server) -> None:
    """As for roll_over=false: unredeemed credits' limits go by the new dates."""
    told = monthly(model_server, roll_over=True, roll_over_limit=1)
    told.to("2031-02-06")
    told.billing_date("2031-02-20")
    assert [told.only()[name][:10] for name in ("period_end", "expires_at")] == ["2031-02-20", "2031-03-20"]


def test_after_an_outage_only_what_would_still_roll_over_is_issued(model_server: Server) -> None:
    """No credit is issued dead: of the missed periods those that lie too far back are over."""
    told = monthly(model_server, roll_over=True, roll_over_limit=1)
    told.to("2031-05-20", jump=True)
    assert told.held("live") == ["2031-04-05", "2031-05-05"]
    assert told.why("2031-03-05", "2031-03-05") == {"2031-03-05": "period_over"}


@pytest.mark.parametrize(
    ("says", "field"),
    [
        ({"max_uses": 2}, "max_uses"),
        ({"multi_use": True, "max_uses": 1}, "max_uses"),
        ({"multi_use": True, "max_uses": 1001}, "max_uses"),
        ({"multi_use": True, "max_uses": "2"}, "max_uses"),
        ({"roll_over_limit": 1}, "roll_over_limit"),
        ({"roll_over": True, "roll_over_limit": 0}, "roll_over_limit"),
        ({"roll_over": True, "roll_over_limit": 61}, "roll_over_limit"),
        ({"roll_over": True, "roll_over_limit": 1, "issuing_frequency": "P0D"}, "roll_over_limit"),
    ],
)
def test_a_limit_without_anything_to_limit_is_refused(model_server: Server, says: dict[str, Any], field: str) -> None:
    """422 with the field, of a new rule and of one that is changed."""
    told = Scenario(model_server)
    told.rule()
    body = {"membership_type_id": told.brand.id("gold"), "coupon_id": "spa", "coupon_name": "Spa", **says}
    path = "/customers/membership-credit-rules"
    for verb, where, sent in [("POST", path, body), ("PUT", f"{path}/{told.brand.id('rule')}", says)]:
        assert field in told.brand.call(verb, where, 422, json=sent)["error"]["fields"]


def test_turning_the_flag_off_clears_the_limit(model_server: Server) -> None:
    """And what is not named stays."""
    told = Scenario(model_server)
    told.rule(roll_over=True, roll_over_limit=3, multi_use=True, max_uses=2)
    path = f"/customers/membership-credit-rules/{told.brand.id('rule')}"
    for says, limits in [
        ({"coupon_name": "New"}, [3, 2]),
        ({"roll_over": False}, [None, 2]),
        ({"multi_use": False}, [None, None]),
    ]:
        rule = told.brand.call("PUT", path, json=says)
        assert [rule["roll_over_limit"], rule["max_uses"]] == limits
