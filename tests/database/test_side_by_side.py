"""What is done at the same time is done one after the other, or apart: the locks of settling (docs/decisions 4, 28)."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from issuance.billing import refused_texts
from issuance.catalog import rules
from issuance.catalog.rule_versions import NewCreditRule
from issuance.database.connections import transaction
from issuance.engine import sweeps
from issuance.members import redemptions
from issuance.members.redemptions import Booking
from issuance.memberships import archiving
from tests.database.beside import Amid, Beside
from tests.database.clubs import Club, at


def test_two_settlings_of_a_membership_come_one_after_the_other(club: Club, amid: Amid) -> None:
    """What the later one learned is not overwritten by the earlier one, which did not know it yet."""
    (member,) = club.sign_up()
    ends = {"membership_id": str(member), "status": "cancelled", "ends_on": "2031-02-10"}

    def settle_news() -> None:
        club.tell("membership.status_changed", "2031-01-31T11:30", ends)
        club.settle([member])

    assert amid(member, settle_news)
    assert club.value("SELECT due_at FROM schedules") == at("2031-02-10")


def test_a_sweep_passes_over_whom_somebody_else_settles(club: Club, beside: Beside) -> None:
    """It does not wait for them; they stay due, and the others have what they were due."""
    held, *others = club.sign_up(3)
    club.move_clock("2031-03-01")
    with transaction(club.engine, club.brand_id) as connection:
        connection.execute(text("SELECT FROM schedules WHERE schedule_id = :id FOR UPDATE"), {"id": held})
        assert not beside.begin(club.sweep)
    assert club.rows("SELECT schedule_id FROM schedules WHERE due_at <= '2031-03-01'") == [(held,)]
    assert len(club.credits()) == 3 + len(others)


def test_a_sandbox_clock_waits_for_the_settling_under_way(club: Club, amid: Amid) -> None:
    """What is decided under the old time is written under the old time."""
    (member,) = club.sign_up()
    assert amid(member, lambda: club.move_clock("2031-02-01"))


def test_a_deletion_waits_for_the_settling_under_way(club: Club, amid: Amid) -> None:
    """On a clock that runs, too: no work under way outruns a deletion."""
    (member,) = club.sign_up()
    club.let_run()

    def delete() -> None:
        with transaction(club.engine, club.brand_id) as connection:
            rules.delete(connection, club.brand_id, club.rule_id)

    assert amid(member, delete)


def test_on_a_standing_clock_a_rule_is_saved_before_or_after(club: Club, amid: Amid) -> None:
    """Both happen at one instant there: they must at least come one after the other. What is being settled was last
    settled at another instant, so that nothing else makes the rule wait."""
    (member,) = club.sign_up()
    club.move_clock("2031-02-01")

    def save() -> None:
        new = NewCreditRule(membership_type_id=club.type_id, coupon_id="tea", coupon_name="More tea")
        with transaction(club.engine, club.brand_id) as connection:
            rules.create(connection, club.brand_id, new)

    assert amid(member, save)


def test_archiving_waits_for_the_settling_under_way(club: Club, amid: Amid) -> None:
    """Or what that issues would live on after everything was revoked."""
    (member,) = club.sign_up()
    club.let_run()  # nor does the clock make it wait

    def archive() -> None:
        with transaction(club.engine, club.brand_id) as connection:
            archiving.archive(connection, club.brand_id, f"member {member}", retain_balance=True)

    assert amid(member, archive)


@pytest.fixture
def told(club: Club) -> Callable[[UUID, UUID], list[UUID]]:
    """Signs up a membership that names another's member as its guest: the memberships to settle."""

    def tell(membership_id: UUID, of: UUID) -> list[UUID]:
        ada = {"name": "Ada", "lead_booker": True, "external_user_id": f"member {membership_id}"}
        says = {
            "membership_id": str(membership_id),
            "membership_type_id": str(club.type_id),
            "external_user_id": f"member {membership_id}",
            "starts_on": "2031-01-31",
            "guests": [ada, {"name": "Bea", "external_user_id": f"member {of}"}],
        }
        return club.tell("membership.signed_up", "2031-01-31T11:00", says)

    return tell


def test_who_is_named_as_a_guest_is_not_archived_meanwhile(
    club: Club, beside: Beside, told: Callable[[UUID, UUID], list[UUID]]
) -> None:
    """Whoever names them comes before their archiving, which then sees the order, or after it. Else what the order
    gives them in the midst of their archiving would live on."""
    (bea,) = club.sign_up()
    order = uuid4()
    with transaction(club.engine, club.brand_id) as connection:
        archiving.archive(connection, club.brand_id, f"member {bea}", retain_balance=True)
        waited = beside.begin(lambda: club.settle(told(order, bea)))
    beside.end()
    assert waited
    assert club.value(_LIVE, id=order) == 1, "Ada has hers"


def test_archiving_waits_for_whoever_names_the_member(
    club: Club, beside: Beside, told: Callable[[UUID, UUID], list[UUID]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (bea,) = club.sign_up()
    order = uuid4()
    waited: list[bool] = []

    def archive() -> None:
        with transaction(club.engine, club.brand_id) as connection:
            archiving.archive(connection, club.brand_id, f"member {bea}", retain_balance=True)

    def and_archive(*given: Any) -> Any:
        patch.undo()  # archiving tells of something, too
        waited.append(beside.begin(archive))
        return keep(*given)

    keep = refused_texts.keep
    with monkeypatch.context() as patch:
        patch.setattr(refused_texts, "keep", and_archive)  # at the end of the intake, before its commit
        told(order, bea)
    beside.end()
    club.settle([order])
    assert waited[0]
    assert club.value(_LIVE, id=order) == 1, "Ada has hers"


def test_archiving_finds_the_party_that_is_told_of_and_not_settled(club: Club, beside: Beside) -> None:
    """The order's guests are not written yet; its settling waits all the same."""
    bea, order = club.sign_up(2)
    party = [
        {"guest_id": str(uuid4()), "name": "Ada", "lead_booker": True},
        {"guest_id": str(uuid4()), "name": "Bea", "external_user_id": f"member {bea}"},
    ]
    club.tell("membership.guests_changed", "2031-01-31T11:00", {"membership_id": str(order), "guests": party})
    with transaction(club.engine, club.brand_id) as connection:
        archiving.archive(connection, club.brand_id, f"member {bea}", retain_balance=True)
        assert beside.begin(lambda: club.settle([order]))
    beside.end()


def test_settling_a_party_beside_the_archiving_of_who_is_in_it_is_no_circle(club: Club, amid: Amid) -> None:
    """The archiving holds the member and waits for the order; the settling, which holds the order, writes a guest who
    is that member and waits for nobody."""
    bea, order = club.sign_up(2)
    party = [
        {"guest_id": str(uuid4()), "name": "Ada", "lead_booker": True},
        {"guest_id": str(uuid4()), "name": "Bea", "external_user_id": f"member {bea}"},
    ]
    club.tell("membership.guests_changed", "2031-01-31T11:00", {"membership_id": str(order), "guests": party})

    def archive() -> None:
        with transaction(club.engine, club.brand_id) as connection:
            archiving.archive(connection, club.brand_id, f"member {bea}", retain_balance=True)

    assert amid(order, archive)
    assert club.value("SELECT count(*) FROM members WHERE archived_at IS NOT NULL") == 1, "both came to their end"
    assert club.value("SELECT count(*) FROM guests WHERE name = 'Bea'") == 1


def test_redeeming_beside_the_archiving_of_the_member_is_no_circle(club: Club, beside: Beside) -> None:
    """The archiving holds the member and waits for the credit; the redemption, which has used the credit, is over
    with whatever it needs."""
    (bea,) = club.sign_up()
    code = club.value("SELECT code FROM credits")

    def archive() -> None:
        with transaction(club.engine, club.brand_id) as connection:
            archiving.archive(connection, club.brand_id, f"member {bea}", retain_balance=True)

    with transaction(club.engine, club.brand_id) as connection:
        redemptions.redeem_credit(connection, club.brand_id, code, Booking())
        assert beside.begin(archive), "it waits"
    beside.end()
    assert club.value("SELECT count(*) FROM members WHERE archived_at IS NOT NULL") == 1, "both came to their end"
    assert club.value("SELECT count(*) FROM redemptions") == 1


_LIVE = "SELECT count(*) FROM credits WHERE membership_id = :id AND revoked_at IS NULL"


def test_schedulers_that_look_at_once_plan_one_sweep(club: Club, beside: Beside) -> None:
    """One that saw no sweep because another's is not committed yet plans none beside it."""
    club.sign_up(3)
    club.move_clock("2031-03-01")
    planned: list[int] = []
    with transaction(club.engine, club.brand_id) as connection:
        now = at("2031-03-01")
        assert sweeps.plan(connection, club.brand_id, now) is not None
        assert beside.begin(lambda: planned.append(club.tick().sweeps))
    beside.end()
    assert planned == [0]
    assert club.value("SELECT count(*) FROM runs") == 1
    assert club.value("SELECT count(*) FROM run_batches") == 1
