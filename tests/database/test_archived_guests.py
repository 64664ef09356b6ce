"""An archived member is given nothing more, as a guest of others neither (SEMANTICS 12)."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from issuance.billing import events
from issuance.corrections import desk
from issuance.corrections.wanted import Transfer
from issuance.database.connections import transaction
from issuance.members import members
from issuance.members.profiles import MemberBody
from issuance.memberships import archiving
from tests.database.billers import Biller
from tests.database.clubs import Club
from tests.database.test_webhook_outbox import listen
from tests.limits import Limit


@pytest.mark.parametrize("bound", ["archived_orders", "archived_credits"])
def test_archiving_over_http_is_bounded(club: Club, limit: Limit, bound: str) -> None:
    """As a whole: who has too much stays as they were. The command line has no bound."""
    (ada,) = club.sign_up(1)
    name = f"member {ada}"
    out = "SELECT count(*) FROM credits WHERE membership_id = :ada AND revoked_at IS NULL"
    before = club.value(out, ada=ada)
    assert before > 0
    limit("members", **{bound: 0})
    with pytest.raises(archiving.TooMuchToArchive), transaction(club.engine, club.brand_id) as connection:
        archiving.archive(connection, club.brand_id, name, retain_balance=True, bounded=True)
    assert club.value(out, ada=ada) == before
    assert club.value("SELECT count(*) FROM members WHERE archived_at IS NOT NULL") == 0
    limit("members", **{bound: before})
    with transaction(club.engine, club.brand_id) as connection:
        archiving.archive(connection, club.brand_id, name, retain_balance=True, bounded=True)
    assert club.value(out, ada=ada) == 0


@pytest.mark.parametrize("archived_first", [True, False])
def test_a_party_that_names_an_archived_member_gives_them_nothing(club: Club, archived_first: bool) -> None:
    """Not even in the settling that hears of the party for the first time; the others of the party go on."""
    bea, order = club.sign_up(2)
    guests = [
        {"guest_id": str(uuid4()), "name": "Ada", "lead_booker": True},
        {"guest_id": str(uuid4()), "name": "Bea", "external_user_id": f"member {bea}"},
    ]

    def archive() -> None:
        with transaction(club.engine, club.brand_id) as connection:
            archiving.archive(connection, club.brand_id, f"member {bea}", retain_balance=True)
        club.settle([bea])

    if archived_first:
        archive()
    club.tell("membership.guests_changed", "2031-02-01T11:00", {"membership_id": str(order), "guests": guests})
    if not archived_first:
        archive()
    club.move_clock("2031-03-01")
    club.settle([order])
    given = club.rows(
        """
        SELECT g.name FROM credits c JOIN guests g USING (brand_id, membership_id, guest_id)
         WHERE c.membership_id = :order AND c.period_start > '2031-02-01'
        """,
        order=order,
    )
    assert [row.name for row in given] == ["Ada"]


@pytest.mark.parametrize(("now", "later"), [(None, "bea"), ("bea", "cy")], ids=["nobody's yet", "hers until then"])
def test_a_list_ahead_does_not_say_yet_who_a_guest_is(biller: Biller, now: str | None, later: str) -> None:
    """Who is or was removed gets nothing while they are the guest, and the guest gets what they are given."""
    biller.rule(roll_over=False)
    ada, ben = ({"guest_id": str(uuid4()), "name": name, "lead_booker": name == "Ada"} for name in ("Ada", "Ben"))
    with biller.open() as connection:
        members.ensure(connection, biller.club.brand_id, ["bea", "cy"])
    biller.sign_up("2031-01-01", guests=[ada, ben if now is None else {**ben, "external_user_id": now}])
    biller.to("2031-02-10")
    with biller.open() as connection:
        archiving.archive(connection, biller.club.brand_id, "bea", retain_balance=True)
    biller.club.settle([biller.ids["m"]])
    biller.guests(ada, {**ben, "external_user_id": later}, time="2031-04-01")
    biller.paid("2031-03-01", "2031-04-01")
    given = [row.period_start.month for row in biller.book() if row.name == "Ben"]
    assert given == ([3] if now is None else [4])


@pytest.mark.parametrize(
    ("was", "said", "ahead"),
    [(None, "bea", False), ("bea", "cy", False), ("bea", "cy", True)],
    ids=["found to be hers", "hers until then", "hers until then, as was told ahead"],
)
def test_a_list_that_no_settling_has_seen_says_who_a_guest_is(
    biller: Biller, was: str | None, said: str, *, ahead: bool
) -> None:
    """What is out is revoked of who is removed, and of nobody else."""
    biller.rule()
    ada, ben = ({"guest_id": str(uuid4()), "name": name, "lead_booker": name == "Ada"} for name in ("Ada", "Ben"))
    with biller.open() as connection:
        members.ensure(connection, biller.club.brand_id, ["bea", "cy"])
    biller.sign_up("2031-01-01", guests=[ada, ben if was is None else {**ben, "external_user_id": was}])
    biller.paid("2031-02-01")
    listed = [ada, {**ben, "external_user_id": said}]
    if ahead:
        biller.guests(*listed, time="2031-02-10T10:00")
    biller.club.move_clock("2031-02-10T10:00", jump=True)
    if not ahead:
        with biller.open() as connection:
            event = biller.event("membership.guests_changed", "2031-02-10T10:00", guests=listed)
            assert events.accept(connection, biller.club.brand_id, [event]).membership_ids
    biller.archive("bea")
    states = {row.name: row.status for row in biller.book()}
    assert states == {"Ada": "live", "Ben": "revoked" if said == "bea" else "live"}


@pytest.mark.parametrize("back", [False, True])
def test_who_was_archived_gets_nothing_of_that_time_as_somebody_else(biller: Biller, back: bool) -> None:
    """What began before a list named them otherwise, or before the member was back, is lost."""
    biller.rule()
    ada, ben = ({"guest_id": str(uuid4()), "name": name, "lead_booker": name == "Ada"} for name in ("Ada", "Ben"))
    with biller.open() as connection:
        members.ensure(connection, biller.club.brand_id, ["bea", "cy"])
    biller.sign_up("2031-01-01", guests=[ada, {**ben, "external_user_id": "bea"}])
    biller.to("2031-02-10")
    biller.archive("bea")
    biller.paid("2031-03-01", "2031-04-01")
    if back:
        biller.to("2031-04-20")
        biller.revive("bea")
    biller.paid("2031-05-01")
    biller.to("2031-05-20")
    biller.guests(ada, {**ben, "external_user_id": "cy"})
    biller.paid("2031-06-01")
    given = [row.period_start.month for row in biller.book() if row.name == "Ben"]
    assert given == ([5, 6] if back else [6])
    text = "It began on 2031-03-01, when Ben was listed as a member who was archived."
    assert text in [row["text"] for row in biller.explain("2031-03-01", "2031-03-01").rows]


@pytest.mark.parametrize("listed", ["2031-01-05", "2031-04-01"], ids=["before it", "after it"])
def test_an_archiving_of_a_time_when_a_guest_was_not_that_member_takes_nothing(biller: Biller, listed: str) -> None:
    """It was over before a list named them so, or began when they were somebody else already."""
    biller.rule()
    ada, ben = ({"guest_id": str(uuid4()), "name": name, "lead_booker": name == "Ada"} for name in ("Ada", "Ben"))
    bea = {**ben, "external_user_id": "bea"}
    is_after = listed == "2031-04-01"
    with biller.open() as connection:
        members.ensure(connection, biller.club.brand_id, ["bea", "cy"])
    biller.sign_up("2031-01-01", guests=[ada, ben if is_after else bea])
    if not is_after:
        biller.to(listed)
        biller.guests(ada, {**ben, "external_user_id": "cy"})
    biller.to("2031-01-10")
    biller.archive("bea")
    biller.to("2031-03-15")
    biller.revive("bea")
    if is_after:
        biller.to(listed)
        biller.guests(ada, bea)
    biller.to("2031-04-05")
    biller.charge("succeeded", "2031-02-01")
    assert [row.period_start.month for row in biller.book() if row.name == "Ben"] == [2]


@pytest.mark.parametrize("who", ["the guest", "who signed up"])
def test_explain_says_who_is_archived_and_who_was_until_then(biller: Biller, who: str) -> None:
    """Of one who is back it does not say that they are archived."""
    biller.rule()
    member = "bea" if who == "the guest" else "member m"
    ada, bea = ({"guest_id": str(uuid4()), "name": name, "lead_booker": name == "Ada"} for name in ("Ada", "Bea"))
    with biller.open() as connection:
        members.ensure(connection, biller.club.brand_id, ["bea"])
    biller.sign_up("2031-01-01", guests=[ada, {**bea, "external_user_id": "bea"}])
    biller.to("2031-02-10")
    biller.archive(member)

    def said(name: str, start: str) -> str:
        return next(str(row["text"]) for row in biller.explain(start, start).rows if row["guest"]["name"] == name)

    biller.paid("2031-03-01")
    if who == "the guest":
        assert said("Bea", "2031-03-01") == "Bea is archived."
    biller.to("2031-03-20")
    biller.revive(member)
    biller.status("active", time="2031-02-11")
    biller.charge("succeeded", "2031-02-01")
    named = "Bea" if who == "the guest" else "the member who signed up"
    assert said("Bea", "2031-02-01") == f"It began on 2031-02-01, before {named} was brought back after an archiving."


def test_what_is_kept_changes_once_and_with_an_entry(club: Club) -> None:
    """Who retained a balance of nothing retains it no longer once they are archived without; again, nothing is new."""
    (ada,) = club.sign_up(1)

    def archive(*, retain_balance: bool) -> tuple[bool, int, list[Any]]:
        with transaction(club.engine, club.brand_id) as connection:
            archiving.archive(connection, club.brand_id, f"member {ada}", retain_balance=retain_balance)
        club.settle([ada])
        ((kept, revision),) = club.rows("SELECT balance_retained, revision FROM members WHERE archived_at IS NOT NULL")
        entries = club.rows("SELECT after FROM audit_entries WHERE action = 'member.archived' ORDER BY entry_id")
        return kept, revision, [row.after for row in entries]

    kept, first, entries = archive(retain_balance=True)
    assert (kept, entries) == (True, [{"forfeited": 0, "balance_retained": True}])
    entries.append({"forfeited": 0, "balance_retained": False})
    assert archive(retain_balance=False) == (False, first + 1, entries)
    for retain_balance in (False, True):
        assert archive(retain_balance=retain_balance) == (False, first + 1, entries)


def test_who_is_found_to_be_an_archived_member_keeps_what_they_held_until_they_are_removed_again(club: Club) -> None:
    """Nothing more is given to them; removing them again has an entry, as it changes something."""
    bea, order = club.sign_up(2)
    lead = {"name": "Ada", "lead_booker": True, "external_user_id": f"member {order}"}
    guest = {"guest_id": str(uuid4()), "name": "Bea", "lead_booker": False}

    def listed(time: str, guest: dict[str, Any]) -> None:
        said = {"membership_id": str(order), "guests": [lead, guest]}
        club.settle(club.tell("membership.guests_changed", time, said))

    def archive() -> None:
        with transaction(club.engine, club.brand_id) as connection:
            removed = archiving.archive(connection, club.brand_id, f"member {bea}", retain_balance=True)
        club.settle(removed.membership_ids)

    def live() -> int:
        held = "SELECT count(*) FROM credits WHERE membership_id = :order AND guest_id = :guest AND revoked_at IS NULL"
        return int(club.value(held, order=order, guest=guest["guest_id"]))

    listed("2031-01-31T11:00", guest)
    club.issue()
    archive()
    listed("2031-01-31T12:00", {**guest, "external_user_id": f"member {bea}"})
    club.move_clock("2031-03-01")
    club.sweep()
    assert live() == 1
    for _ in range(2):
        archive()
        assert live() == 0
        assert club.value("SELECT count(*) FROM audit_entries WHERE action = 'member.archived'") == 2


@pytest.mark.parametrize("whose", ["their own", "as a guest of others", "given to them"])
@pytest.mark.parametrize("swept", [True, False])
@pytest.mark.parametrize("back", [True, False])
def test_what_had_expired_lives_no_more(new_club: Callable[..., Club], whose: str, swept: bool, back: bool) -> None:
    """A billing date that is moved late gives a removed member no time back. That it expired is told, and once."""
    club = new_club(roll_over=False)
    order, bea = club.sign_up(2)
    who = f"member {order if whose == 'their own' else bea}"
    with transaction(club.engine, club.brand_id) as connection:
        listen(connection, club.brand_id, "credit.expired")
        if whose == "given to them":
            code = club.value("SELECT code FROM credits WHERE membership_id = :order", order=order)
            desk.correct(connection, club.brand_id, Transfer(code, "x", external_user_id=who))
    if whose == "as a guest of others":
        lead = {"name": "Ada", "lead_booker": True, "external_user_id": f"member {order}"}
        guests = [lead, {"name": "Bea", "external_user_id": who, "lead_booker": False}]
        said = {"membership_id": str(order), "guests": guests}
        club.settle(club.tell("membership.guests_changed", "2031-01-31T12:00", said))
        club.issue()  # for who joined later
    club.move_clock("2031-03-01")
    if swept:
        club.sweep()
    with transaction(club.engine, club.brand_id) as connection:
        removed = archiving.archive(connection, club.brand_id, who, retain_balance=True)
    club.settle(removed.membership_ids)
    if back:
        with transaction(club.engine, club.brand_id) as connection:
            _, woken = members.upsert(connection, club.brand_id, who, MemberBody())
        club.settle(woken)
    moved = {"membership_id": str(order), "billing_anchor": "2031-03-15"}
    club.settle(club.tell("membership.billing_date_moved", "2031-02-10", moved))
    live = club.rows(
        """
        SELECT g.name FROM credits c JOIN guests g USING (brand_id, membership_id, guest_id)
         WHERE c.membership_id = :order AND c.revoked_at IS NULL AND c.expires_at > '2031-03-01'
        """,
        order=order,
    )
    assert len(live) == (whose == "as a guest of others"), "only Ada's lives longer"
    told = club.rows("SELECT data ->> 'id' FROM webhook_events WHERE type = 'credit.expired'")
    assert len(told) == len(set(told)) > 0
