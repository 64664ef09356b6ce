"""Explain names what decided: instants, the nearest charge, each open one (INTERFACE 5)."""

from collections.abc import Callable
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from issuance.catalog import membership_types, rules
from issuance.catalog.membership_types import NewMembershipType
from issuance.catalog.rule_versions import CreditRuleChange
from issuance.console.reading import timeline
from issuance.database.connections import transaction
from issuance.engine import plans
from issuance.memberships import explanations
from tests.database.billers import Biller
from tests.database.clubs import Club


@pytest.fixture
def billed(new_club: Callable[..., Club]) -> tuple[Club, UUID]:
    """A membership since 31 January that a biller charges: January paid, March's debit failed."""
    club = new_club()
    with transaction(club.engine, club.brand_id) as connection:
        external = membership_types.create(connection, club.brand_id, NewMembershipType(name="Billed"))
    club.rows("UPDATE rule_versions SET membership_type_id = :new", new=external["id"])
    club.type_id = external["id"]
    (membership_id,) = club.accept()
    for charge_id, state, start in (("jan", "succeeded", "2031-01-31"), ("mar", "failed", "2031-03-31")):
        says = {"membership_id": str(membership_id), "charge_id": charge_id, "period_start": start}
        club.tell(f"charge.{state}", f"{start}T09:00", says)
    club.move_clock("2031-04-10")
    club.settle([membership_id])
    return club, membership_id


def row(club: Club, membership_id: UUID, start: str) -> dict[str, Any]:
    with transaction(club.engine, club.brand_id) as connection:
        explained = explanations.explain(connection, club.brand_id, membership_id)
    (found,) = [row for row in explained.rows if str(row["period_start"]) == start]
    return found


def test_a_period_without_a_charge_names_the_nearest(billed: tuple[Club, UUID]) -> None:
    """February was never charged: the nearest by its start is January's."""
    said = row(*billed, "2031-02-28")
    assert (said["reason"], said["facts"]["charges"]) == ("charge_unpaid", [])
    assert said["facts"]["nearest_charge"]["charge_id"] == "jan"
    assert "The nearest is charge jan (succeeded) for 2031-01-31 to 2031-02-28." in said["text"]


def test_each_open_charge_is_named(billed: tuple[Club, UUID]) -> None:
    said = row(*billed, "2031-02-28")
    assert [charge["charge_id"] for charge in said["facts"]["open_charges"]] == ["mar"]
    club, membership_id = billed
    says = {"membership_id": str(membership_id), "charge_id": "feb", "period_start": "2031-02-28"}
    club.tell("charge.succeeded", "2031-04-01T09:00", says)
    held = row(club, membership_id, "2031-02-28")
    assert held["reason"] == "needs_attention"
    assert "Open is charge mar (failed) for 2031-03-31 to 2031-04-30." in held["text"]


def test_where_no_version_was_in_force_both_instants_are_named(billed: tuple[Club, UUID]) -> None:
    """To the microsecond: a rule saved at :38.197 and a sign-up at :38 differ."""
    club, membership_id = billed
    club.rows("UPDATE rule_versions SET created_at = '2031-01-31T10:00:00.197Z'")
    said = row(club, membership_id, "2031-01-31")
    assert said["reason"] == "version_not_in_force"
    assert "it was scheduled at 2031-01-31T10:00:00+00:00" in said["text"]
    assert "the next version counts from 2031-01-31T10:00:00.197000+00:00" in said["text"]


def test_an_explanation_says_who_took_a_credit_back(billed: tuple[Club, UUID]) -> None:
    """What happened, the operator, or an archiving: whose no it is decides whether it can be lifted."""
    club, membership_id = billed
    became = {"facts": "it was revoked.", "operator": "by the operator.", "archiving": "for good, by an archiving."}
    for by, words in became.items():
        club.rows("UPDATE credits SET revoked_at = issued_at, revoked_reason = 'x', revoked_by = :by", by=by)
        assert words in row(club, membership_id, "2031-01-31")["text"]


def test_what_was_given_by_hand_is_explained_as_given(new_club: Callable[..., Club]) -> None:
    """Under the version that is stamped on it, before its period is charged and after; so says a replay's plan."""
    club = new_club("external")
    (member,) = club.sign_up(1)
    club.move_clock("2031-02-05")
    with transaction(club.engine, club.brand_id) as connection:
        rules.change(connection, club.brand_id, club.rule_id, CreditRuleChange(coupon_name="Coffee"))
    club.move_clock("2031-03-01")
    club.rows("UPDATE credits SET uses = 1, redeemed_at = valid_from")
    assert club.issue()["counts"] == {"issued": 1}
    charge = {"membership_id": str(member), "charge_id": "feb", "period_start": "2031-02-28"}
    for is_charged in (False, True):
        if is_charged:
            club.settle(club.tell("charge.succeeded", "2031-03-01", charge))
        said = row(club, member, "2031-02-28")
        assert (said["outcome"], said["reason"], said["rule_version"]) == ("issued", "issued", 2)
        assert "was issued a credit by hand for 2031-02-28 to 2031-03-31; it is live." in said["text"]
        dry = club.replay(dry_run=True)
        with transaction(club.engine, club.brand_id) as connection:
            planned = plans.page(connection, club.brand_id, dry["id"], 1, 25)[0]
        told = {str(one["period_start"]): (one["reason"], one["rule_version"]) for one in planned}
        assert told["2031-02-28"] == ("already_issued", 2)
    club.rows("UPDATE credits SET revoked_at = issued_at, revoked_reason = 'x', revoked_by = 'facts' WHERE manual")
    party = [{"name": "Zoe", "external_user_id": "zoe", "lead_booker": True}]
    club.tell("membership.guests_changed", "2031-02-28T12:00", {"membership_id": str(member), "guests": party})
    assert row(club, member, "2031-02-28")["reason"] == "guest_removed"
    club.engine.dispose()


def test_a_credit_is_of_one_occurrence_where_a_rule_became_p0d(new_club: Callable[..., Club]) -> None:
    """The P0D credit has the key of the sign-up's period, of which explain went on to say that it is withheld and its
    credit live (campaigns/people, seed 20)."""
    club = new_club("automatic", issue_on_signup=True)
    club.rows("UPDATE rule_versions SET created_at = '2031-03-15'")
    (membership_id,) = club.sign_up()
    club.move_clock("2031-04-10")
    change = CreditRuleChange.model_validate({"issuing_frequency": "P0D", "include_upcoming": True})
    with transaction(club.engine, club.brand_id) as connection:
        rules.change(connection, club.brand_id, club.rule_id, change)
    club.move_clock("2031-05-02")
    club.sweep()
    with transaction(club.engine, club.brand_id) as connection:
        explained = explanations.explain(connection, club.brand_id, membership_id).rows
    first = {row["reason"]: row for row in explained if str(row["period_start"]) == "2031-01-31"}
    assert set(first) == {"issued", "version_not_in_force"}
    assert "it is live" in first["issued"]["text"]
    assert first["version_not_in_force"]["facts"]["credit_id"] is None
    assert first["version_not_in_force"]["text"].startswith("No version of the rule was in force")


def test_a_credit_that_a_moved_date_took_back_has_a_row(biller: Biller) -> None:
    """No period begins on its date any more: the row says which move it was."""
    biller.rule()
    biller.sign_up("2031-01-01")
    biller.paid("2031-02-01", "2031-03-01")
    biller.to("2031-03-10")
    biller.moved("2031-03-15", time="2031-02-20")
    assert biller.held() == ["2031-02-01 live", "2031-03-01 revoked"]
    (said,) = biller.explain("2031-03-01", "2031-03-14").rows
    assert said["text"] == (
        "member m was issued a credit for 2031-03-01 to 2031-03-15; it was revoked."
        " No period begins on 2031-03-01 any more: the billing date was moved on 2031-02-20."
    )
    with biller.open() as connection:
        which = (connection, biller.club.brand_id, biller.ids["m"])
        pages = [
            explanations.explain(*which, first=date(2031, 1, 1), last=date(2031, 3, 14), page=page, per_page=1)
            for page in (1, 2, 3)
        ]
    assert [str(one["period_start"]) for page in pages for one in page.rows][1:] == ["2031-02-01", "2031-03-01"]
    assert {page.total for page in pages} == {3}


def test_a_gift_is_explained_on_the_day_that_it_rides_on(biller: Biller) -> None:
    """Withheld or out; the console's timeline has it in that month."""
    biller.sign_up("2028-05-01", "2028-05-01")
    biller.to("2031-03-10")
    biller.rule(issuing_frequency="P0D", include_upcoming=True)
    biller.to("2031-04-01")
    biller.charge("failed", "2031-04-01")
    (said,) = biller.explain("2031-04-01", "2031-04-30").rows
    assert (str(said["period_start"]), said["reason"]) == ("2028-05-01", "charge_unpaid")
    with biller.open() as connection:
        (row,) = timeline.read(connection, biller.club.brand_id, biller.ids["m"]).rows
    assert list(row.cells) == ["2031-04"]
