"""Credits that expire soon are told of, once a credit and lead (SEMANTICS 19)."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import IntegrityError

from issuance.corrections import desk
from issuance.corrections.wanted import Extend, Reinstate, Revoke
from issuance.database.connections import transaction
from issuance.engine import reminders
from issuance.errors import Invalid
from issuance.members import moves, redemptions
from issuance.members.redemptions import Booking
from issuance.webhooks import webhooks
from tests.database.clubs import Club, at


@pytest.fixture
def club(new_club: Any) -> Any:
    """Signed up on 31 January, its credits expire on 28 February at midnight, and so on by the billing date."""
    club = new_club(roll_over=False)
    yield club
    club.engine.dispose()


def ask(club: Club, *leads: str) -> UUID:
    """A webhook that is told of credits that expire soon."""
    with transaction(club.engine, club.brand_id) as connection:
        made = webhooks.create(connection, club.brand_id, "https://example.com/", ["credit.expiring"], leads)
        reminders.begin(connection, club.brand_id, made)
    club.settle_due()
    webhook_id: UUID = made["id"]
    return webhook_id


def pass_time(club: Club, now: str, *, jump: bool = False) -> None:
    club.move_clock(now, jump=jump)
    club.settle_due()


def told(club: Club, webhook_id: UUID | None = None) -> list[tuple[str, str, str]]:
    """The lead, when it was told, and the credit's expiry, of each reminder."""
    found = club.rows(
        """
        SELECT e.data ->> 'lead' AS lead, e.occurred_at, e.data ->> 'expires_at' AS expires_at
          FROM webhook_events e JOIN deliveries d USING (brand_id, event_id)
         WHERE e.type = 'credit.expiring' AND coalesce(d.webhook_id = :webhook_id, true)
         ORDER BY e.occurred_at, e.event_id
        """,
        webhook_id=webhook_id,
    )
    return [(lead, f"{when:%m-%dT%H:%M}", expires[5:10]) for lead, when, expires in found]


def codes(club: Club) -> Sequence[str]:
    found = club.rows("SELECT code FROM credits WHERE period_start = '2031-01-31' ORDER BY credit_id")
    return [code for (code,) in found]


def use(club: Club, code: str) -> UUID:
    with transaction(club.engine, club.brand_id) as connection:
        used: UUID = redemptions.redeem_credit(connection, club.brand_id, code, Booking())["redemption"]["id"]
    return used


def correct(club: Club, correction: Any) -> None:
    with transaction(club.engine, club.brand_id) as connection:
        desk.correct(connection, club.brand_id, correction)
    club.settle_due()


@pytest.mark.parametrize("size", [1, 30], ids=["one", "a group that shares its schedule"])
def test_each_lead_is_told_once_on_the_brands_wall_clock(club: Club, size: int) -> None:
    """At its own instant where time passes, with the credit and the lead; not again, however often one looks."""
    club.sign_up(size)
    ask(club, "P7D", "P1D")
    pass_time(club, "2031-02-20T23:00")
    assert told(club) == []
    pass_time(club, "2031-02-22T00:00")
    seven = [("P7D", "02-21T00:00", "02-28")] * size
    assert told(club) == seven
    club.settle(club.members)
    club.rows("UPDATE schedules SET due_at = '2031-02-22Z' WHERE due_at IS NOT NULL")  # as a restart might
    club.settle_due()
    assert told(club) == seven
    pass_time(club, "2031-03-05T00:00")
    assert told(club) == [*seven, *[("P1D", "02-27T00:00", "02-28")] * size]
    (data,) = club.rows("SELECT data FROM webhook_events ORDER BY event_id LIMIT 1")[0]
    assert (data["status"], data["revision"], data["lead"]) == ("live", 1, "P7D")


@pytest.mark.parametrize("size", [1, 30], ids=["one", "a group"])
@pytest.mark.parametrize("guests", [1, 2])
def test_what_is_issued_and_falls_due_in_one_move_is_told_too(club: Club, size: int, guests: int) -> None:
    """Each lead at its own instant, for each guest, however many memberships are alike."""
    party = [{"name": f"Guest {number}", "lead_booker": number == 0} for number in range(guests)]
    says = {"membership_type_id": str(club.type_id), "external_user_id": "ada", "starts_on": "2031-01-31"}
    signed_up = [{"membership_id": str(uuid4()), **says, "guests": party} for _ in range(size)]
    club.settle(club.tell("membership.signed_up", "2031-01-31T10:00", *signed_up))
    ask(club, "P7D")
    pass_time(club, "2031-04-28T00:00")
    leads = [("02-21", "02-28"), ("03-24", "03-31"), ("04-23", "04-30")]
    assert told(club) == [("P7D", f"{day}T00:00", end) for day, end in leads for _ in range(size * guests)]


def test_what_is_over_by_then_is_not_told(club: Club) -> None:
    """Used, taken back or expired: no reminder. What is given back after a lead is told of the next one."""
    club.sign_up(4)
    ask(club, "P7D", "P1D")
    used, canceled, revoked, reinstated = codes(club)
    use(club, used)
    cancel = use(club, canceled)
    correct(club, Revoke(revoked, "a mistake"))
    correct(club, Revoke(reinstated, "a mistake"))
    pass_time(club, "2031-02-24T00:00")
    assert told(club) == []
    with transaction(club.engine, club.brand_id) as connection:
        moves.move(connection, club.brand_id, cancel, "CANCELED")
    correct(club, Reinstate(reinstated, "no mistake"))
    assert told(club) == []
    pass_time(club, "2031-02-27T12:00")
    assert told(club) == [("P1D", "02-27T00:00", "02-28")] * 2


def test_a_later_expiry_is_told_anew_as_far_as_it_lies_ahead(club: Club) -> None:
    """A lead of the new expiry that lay before the extension is not told."""
    club.sign_up(2)
    ask(club, "P7D", "P1D")
    pass_time(club, "2031-02-25T10:00")
    far, near = codes(club)
    correct(club, Extend(far, at("2031-03-20"), "closed"))
    correct(club, Extend(near, at("2031-03-02"), "closed"))
    pass_time(club, "2031-03-14T00:00")
    about_old = [one for one in told(club) if one[2] not in ("03-20", "03-02")]
    assert about_old[:2] == [("P7D", "02-21T00:00", "02-28")] * 2
    assert [one for one in told(club) if one[2] == "03-02"] == [("P1D", "03-01T00:00", "03-02")]
    assert [one for one in told(club) if one[2] == "03-20"] == [("P7D", "03-13T00:00", "03-20")]


def test_what_was_missed_is_told_late_and_only_the_nearest(club: Club) -> None:
    """After an outage one reminder comes, of the lead next to the expiry; after the expiry none."""
    club.sign_up(1)
    wide, narrow = ask(club, "P7D", "P1D"), ask(club, "P7D")
    pass_time(club, "2031-02-27T12:00", jump=True)
    assert told(club, wide) == [("P1D", "02-27T12:00", "02-28")]
    assert told(club, narrow) == [("P7D", "02-27T12:00", "02-28")]
    pass_time(club, "2031-04-02T00:00", jump=True)  # past the expiry of March's, and its leads
    assert len(told(club)) == 2


def test_who_asks_is_told_of_what_comes_after(club: Club) -> None:
    """Of memberships that rest until later too. A lead that lay before the webhook was made, or while it was disabled,
    is not told."""
    club.sign_up(30)
    pass_time(club, "2031-02-10T00:00")  # whatever they share, no lead is known to it
    early = ask(club, "P7D")
    pass_time(club, "2031-02-24T00:00")
    late = ask(club, "P7D", "P1D")
    with transaction(club.engine, club.brand_id) as connection:
        webhooks.disable(connection, club.brand_id, early, "a test")
    pass_time(club, "2031-02-27T12:00")
    assert told(club, early) == [("P7D", "02-21T00:00", "02-28")] * 30
    assert told(club, late) == [("P1D", "02-27T00:00", "02-28")] * 30
    pass_time(club, "2031-03-25T12:00")
    with transaction(club.engine, club.brand_id) as connection:
        reminders.begin(connection, club.brand_id, webhooks.enable(connection, club.brand_id, early))
    club.settle_due()
    pass_time(club, "2031-03-26T12:00")
    assert len(told(club, early)) == 30, "March's lead, on the 24th, came while it was disabled"


def test_leads_and_the_event_go_together(club: Club) -> None:
    """Neither without the other, in the database too."""
    with transaction(club.engine, club.brand_id) as connection:
        with pytest.raises(Invalid):
            webhooks.create(connection, club.brand_id, "https://example.com/", ["credit.expiring"])
        with pytest.raises(Invalid):
            webhooks.create(connection, club.brand_id, "https://example.com/", ["credit.issued"], ["P1D"])
    with pytest.raises(IntegrityError, match="webhooks_leads_with_expiring"):
        club.rows("""
            INSERT INTO webhooks (brand_id, webhook_id, url, events, signing_secret)
            VALUES (:brand_id, gen_random_uuid(), 'https://a.b/', '{credit.expiring}', CAST(repeat('s', 32) AS bytea))
        """)


def test_what_a_replay_issues_is_told_of_too(club: Club) -> None:
    """At its lead, though nothing else falls due before its expiry."""
    club.sign_up(1)
    ask(club, "P7D")
    club.rows("DELETE FROM credits")
    club.rows("UPDATE schedules SET due_at = '2031-02-28Z'")  # as if it had never been issued
    assert club.replay()["counts"]["issued"] == 1
    pass_time(club, "2031-02-24T00:00")
    assert told(club) == [("P7D", "02-21T00:00", "02-28")]
