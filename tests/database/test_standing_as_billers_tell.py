"""Pauses, ends, trouble, starts and types as billers really tell of them (SEMANTICS 7 and 18)."""

import pytest

from tests.database.billers import Biller
from tests.database.clubs import at
from tests.database.test_laws import broken


def a_paying_member(biller: Biller) -> None:
    biller.rule()
    biller.sign_up("2031-01-01")
    biller.paid("2031-02-01")


@pytest.mark.parametrize("between", ["dunning", "pause"])
def test_an_announced_end_stays_through_dunning_and_pauses(biller: Biller, between: str) -> None:
    """`active` lifts the trouble or the pause that stands, and not the end that is ahead."""
    a_paying_member(biller)
    biller.to("2031-02-05")
    biller.status("cancelled", ends_on="2031-03-15")
    biller.to("2031-02-10")
    if between == "dunning":
        biller.charge("failed", "2031-02-01", charge_id="seats", period_end="2031-03-01")
        biller.status("needs_attention", time="2031-02-10T01:00")
    else:
        biller.status("paused")
    biller.to("2031-02-20")
    biller.status("active")
    biller.paid("2031-03-01", "2031-04-01")
    assert biller.live() == ["2031-02-01", "2031-03-01"]


def test_a_plain_active_on_an_active_membership_lifts_the_announced_end(biller: Biller) -> None:
    a_paying_member(biller)
    biller.status("cancelled", ends_on="2031-02-15", time="2031-02-01T09:00")
    biller.to("2031-02-10")
    biller.status("active")
    biller.paid("2031-03-01")
    assert biller.live() == ["2031-02-01", "2031-03-01"]


@pytest.mark.parametrize("status", ["active", "needs_attention", "paused"])
def test_any_status_may_announce_an_end_and_null_takes_it_back(biller: Biller, status: str) -> None:
    a_paying_member(biller)
    biller.to("2031-02-05")
    biller.status(status, ends_on="2031-03-15")
    biller.to("2031-02-06")
    biller.status("paused", ends_on=None)
    biller.to("2031-02-07")
    biller.status("active")
    biller.paid("2031-03-01", "2031-04-01")
    assert biller.live() == ["2031-02-01", "2031-03-01", "2031-04-01"]


@pytest.mark.parametrize(
    "said",
    [
        {"status": "cancelled"},
        {"status": "expired"},
        {"status": "paused"},
        {"status": "cancelled", "ends_on": "2031-06-01"},
        {"status": "cancelled", "ends_on": "2031-02-25"},
    ],
)
def test_trouble_frees_nothing_by_being_followed_by_a_pause_or_an_end(biller: Biller, said: dict[str, str]) -> None:
    """What was held waits until the membership is active again."""
    a_paying_member(biller)
    biller.to("2031-02-10")
    biller.status("needs_attention")
    biller.to("2031-03-01")
    biller.charge("succeeded", "2031-03-01")
    assert biller.live() == ["2031-02-01"]
    biller.to("2031-03-05")
    biller.status(**said)
    biller.to("2031-03-06")
    assert biller.live() == ["2031-02-01"]
    biller.to("2031-03-10")
    biller.status("active")
    assert biller.live() == ["2031-02-01", "2031-03-01"]


@pytest.mark.parametrize("order", [("m", "n"), ("n", "m")])
def test_one_invoice_pays_for_two_memberships(biller: Biller, order: tuple[str, str]) -> None:
    """A charge is known by its membership and its id."""
    biller.rule()
    for member in "mn":
        biller.sign_up("2031-01-01", membership=member)
    biller.to("2031-02-01")
    for member in order:
        biller.charge("succeeded", "2031-02-01", charge_id="invoice", membership=member)
    assert biller.live() == biller.live(membership="n") == ["2031-02-01"]


def test_a_trial_that_is_extended_moves_the_start(biller: Biller) -> None:
    """The sign-up's credit of the old start is taken back; the new start's goes out, and so do its billing days."""
    biller.rule(issue_on_signup=True)
    biller.sign_up("2031-01-15")
    assert biller.held() == ["2031-01-15 upcoming"]
    biller.to("2031-01-10")
    biller.tell("membership.start_moved", starts_on="2031-01-29")
    biller.to("2031-01-15")
    assert biller.live() == []
    biller.to("2031-01-29")
    assert biller.live() == ["2031-01-29"]
    biller.paid("2031-02-28")
    assert biller.live() == ["2031-01-29", "2031-02-28"]


def test_no_law_is_broken_by_the_credit_of_a_start_that_was_moved_long_ago(biller: Biller) -> None:
    """It was issued at the sign-up, before its start, and has expired since; only then the move is told."""
    biller.rule(issue_on_signup=True, roll_over_limit=1)
    biller.sign_up("2031-01-15")
    biller.to("2031-03-20")
    assert biller.held() == ["2031-01-15 expired"]
    biller.tell("membership.start_moved", time="2031-01-02", starts_on="2031-01-29")
    with biller.open() as connection:
        assert broken(connection, biller.club.brand_id) == {}


def test_a_start_that_has_been_can_not_be_moved(biller: Biller) -> None:
    biller.rule(issue_on_signup=True)
    biller.sign_up("2031-01-15")
    biller.to("2031-01-16")
    biller.tell("membership.start_moved", starts_on="2031-01-29")
    biller.to("2031-02-02")
    assert biller.held() == ["2031-01-15 live"]


@pytest.mark.parametrize("said", [{"status": "cancelled"}, {"status": "paused"}, {"status": "expired"}])
def test_cancelled_or_paused_before_the_start_takes_the_sign_ups_credit_back(
    biller: Biller, said: dict[str, str]
) -> None:
    biller.rule(issue_on_signup=True)
    biller.sign_up("2031-01-15")
    biller.to("2031-01-10")
    biller.status(**said)
    biller.to("2031-01-15")
    assert biller.held() == ["2031-01-15 revoked"]


def two_types(biller: Biller) -> None:
    """Gold and silver, each with a monthly rule of its own coupon, and a gold member who has paid for February."""
    biller.kind("silver")
    biller.rule("Gold")
    biller.rule("Silver", "silver")
    biller.sign_up("2031-01-01")
    biller.paid("2031-02-01")


def test_an_upgrade_keeps_the_running_period(biller: Biller) -> None:
    """The new type's rules begin with the next period; it is one membership."""
    two_types(biller)
    biller.to("2031-02-10")
    biller.type_changed("silver")
    assert (biller.live("Gold"), biller.live("Silver")) == (["2031-02-01"], [])
    biller.paid("2031-03-01")
    assert (biller.live("Gold"), biller.live("Silver")) == (["2031-02-01"], ["2031-03-01"])


def test_an_upgrade_can_switch_the_running_period(biller: Biller) -> None:
    two_types(biller)
    biller.to("2031-02-10")
    biller.type_changed("silver", current_period="switch")
    assert (biller.live("Gold"), biller.live("Silver")) == ([], ["2031-02-01"])
    (silver,) = [row for row in biller.book() if row.rule == "Silver"]
    assert silver.valid_from == at("2031-02-10")


def test_back_and_forth_gives_nothing_twice(biller: Biller) -> None:
    """What was revoked so lives again."""
    two_types(biller)
    for day, kind in [(10, "silver"), (12, "gold"), (14, "silver"), (16, "gold")]:
        biller.to(f"2031-02-{day}")
        biller.type_changed(kind, current_period="switch")
    assert (biller.live("Gold"), biller.live("Silver")) == (["2031-02-01"], [])
    assert biller.held() == ["2031-02-01 live", "2031-02-01 revoked"]


@pytest.mark.parametrize("current_period", ["keep", "switch"])
def test_a_change_at_the_hour_of_the_renewal_goes_for_the_period_of_that_day(
    biller: Biller, current_period: str
) -> None:
    two_types(biller)
    biller.paid("2031-03-01")
    assert biller.live("Gold") == ["2031-02-01", "2031-03-01"]
    biller.to("2031-03-01T10:00")
    biller.type_changed("silver", current_period=current_period)
    assert (biller.live("Gold"), biller.live("Silver")) == (["2031-02-01"], ["2031-03-01"])


def test_the_sign_ups_occurrence_stays_its_types(biller: Biller) -> None:
    """Also when the type changes before the start; the new type's once-ever rule rides on the next billing period."""
    biller.kind("silver")
    biller.rule("Gold", issue_on_signup=True)
    biller.rule("Silver", "silver", issue_on_signup=True)
    biller.rule("Welcome", "silver", issue_on_signup=True, issuing_frequency="P0D")
    biller.sign_up("2031-01-15")
    biller.to("2031-01-10")
    biller.type_changed("silver", current_period="switch")
    biller.to("2031-01-20")
    assert biller.held() == ["2031-01-15 live"]
    biller.paid("2031-02-15")
    assert (biller.live("Gold"), biller.live("Silver")) == (["2031-01-15"], ["2031-02-15"])
    (welcome,) = [row for row in biller.book() if row.rule == "Welcome"]
    assert (str(welcome.period_start), welcome.valid_from) == ("2031-01-15", at("2031-02-15T08:00"))


@pytest.mark.parametrize(("current_period", "day"), [("switch", "10"), ("keep", "01")])
def test_a_coupon_used_before_the_change_is_not_given_again(biller: Biller, current_period: str, day: str) -> None:
    """Not for the period that was running; later ones give theirs."""
    biller.kind("silver")
    biller.rule("Gold")
    biller.rule("Silver", "silver", coupon="Gold")
    biller.sign_up("2031-01-01")
    biller.paid("2031-02-01", "2031-03-01")
    biller.redeem("2031-03-01")
    biller.to(f"2031-03-{day}T10:00")
    biller.type_changed("silver", current_period=current_period)
    assert biller.held() == ["2031-02-01 live", "2031-03-01 redeemed"]
    biller.paid("2031-04-01")
    assert biller.live("Silver") == ["2031-04-01"]


def test_an_automatic_type_charges_by_the_type_of_the_instant(biller: Biller) -> None:
    """A change later that day neither charges the period nor takes the charge back."""
    biller.kind("silver", "automatic")
    biller.rule("Gold")
    biller.rule("Silver", "silver")
    biller.sign_up("2031-01-01")
    biller.to("2031-02-01T10:00")
    biller.type_changed("silver")
    biller.to("2031-02-10")
    assert biller.held() == []
    biller.to("2031-03-01T10:00")
    biller.type_changed("gold")
    biller.to("2031-04-02")
    assert (biller.live("Gold"), biller.live("Silver")) == (["2031-03-01"], [])


def test_an_automatic_type_charges_a_date_moved_to_today_at_that_instant(biller: Biller) -> None:
    biller.kind("silver", "automatic")
    biller.rule("Silver", "silver")
    biller.sign_up("2031-01-01", kind="silver")
    biller.to("2031-02-10T09:00")
    biller.moved("2031-02-10")
    assert biller.live() == ["2031-01-01", "2031-02-01", "2031-02-10"][1:]
    biller.to("2031-03-09")
    assert biller.live() == ["2031-02-01", "2031-02-10"]


def test_a_promise_for_an_earlier_type_is_kept_too(biller: Biller) -> None:
    """A rule of the type that a membership has left, made now and `effective_from` before: it is looked at at once."""
    two_types(biller)
    biller.to("2031-02-10")
    biller.type_changed("silver")
    biller.rule("Older", effective_from="2030-12-01")
    biller.to("2031-02-10T01:00")
    assert biller.live("Older") == ["2031-02-01"]


def test_a_start_that_moves_leaves_a_billing_date_that_was_moved(biller: Biller) -> None:
    """Who moves the start moves the date too: then one yearly payment gives one credit (docs/decisions/0055)."""
    biller.rule(issue_on_signup=True)
    biller.sign_up("2031-01-29", time="2031-01-15")
    biller.to("2031-01-20")
    biller.moved("2031-01-29", billing_frequency="P1Y")
    biller.to("2031-01-22T14:00")
    biller.tell("membership.start_moved", starts_on="2031-01-22")
    biller.charge("succeeded", "2031-01-22", "2032-01-22")
    biller.to("2031-01-30")
    assert biller.live() == ["2031-01-22", "2031-01-29"]
    biller.moved("2031-01-22", time="2031-01-22T14:00", billing_frequency="P1Y")
    assert biller.live() == ["2031-01-22"]
    biller.to("2032-01-21")
    assert biller.live() == ["2031-01-22"]


def test_a_smaller_sum_after_a_refund_in_full_gives_nothing_back(biller: Biller) -> None:
    """Money that came back is told as succeeded, and what stands after it (docs/decisions/0055)."""
    biller.rule()
    biller.sign_up("2031-01-01")
    biller.to("2031-02-01T08:00")
    biller.charge("succeeded", "2031-02-01", amount=90)
    for day, amount in ((3, 90), (5, 40)):
        biller.to(f"2031-02-{day:02}")
        biller.charge("refunded", "2031-02-01", amount_refunded=amount)
        assert biller.live() == []
    biller.to("2031-02-06")
    biller.charge("succeeded", "2031-02-01")
    biller.charge("refunded", "2031-02-01", amount_refunded=40)
    assert biller.live() == ["2031-02-01"]
