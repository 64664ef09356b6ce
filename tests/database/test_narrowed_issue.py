"""A manual issue that is narrowed to some memberships or members (SEMANTICS 9)."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from issuance.database.connections import transaction
from issuance.engine import plans, runs
from issuance.errors import Invalid
from issuance.members import members
from tests.database.clubs import Club

PARTY: list[dict[str, Any]] = [
    {"name": "Ada", "lead_booker": True},
    {"name": "Bea", "external_user_id": "bea", "lead_booker": False},
    {"name": "Cy", "lead_booker": False},
]


@pytest.fixture
def club(new_club: Callable[..., Club]) -> Club:
    """Two orders, Ada's with Bea on it and Bea's own; nobody holds anything."""
    club = new_club("external", issue_on_signup=False)
    for member, party in (("ada", PARTY), ("bea", None)):
        said = {"membership_id": str(uuid4()), "membership_type_id": str(club.type_id), "external_user_id": member}
        guests = {} if party is None else {"guests": party}
        club.members += club.tell(
            "membership.signed_up", "2031-01-31T10:00", {**said, "starts_on": "2031-01-31", **guests}
        )
    club.settle(club.members)
    return club


def issue(club: Club, *, dry_run: bool = False, **narrowed: Any) -> UUID:
    with transaction(club.engine, club.brand_id) as connection:
        run_id = runs.start_issue(
            connection, club.brand_id, club.rule_id, include_upcoming=True, dry_run=dry_run, **narrowed
        )
    club.work(run_id)
    return run_id


def given(club: Club, run_id: UUID) -> list[str]:
    """`membership guest` of each credit of a run; a membership by whose it is."""
    rows = club.rows(
        "SELECT p.external_user_id, g.name FROM credits c JOIN guests g USING (brand_id, membership_id, guest_id)"
        " JOIN memberships m USING (brand_id, membership_id) JOIN members p ON p.member_id = m.member_id"
        " WHERE c.run_id = :run_id",
        run_id=run_id,
    )
    return sorted(f"{owner} {name}" for owner, name in rows)


def test_only_some_memberships_are_given_something(club: Club) -> None:
    """With all their guests; the run is as long as they are many."""
    run_id = issue(club, membership_ids=[club.members[0]])
    assert given(club, run_id) == ["ada Ada", "ada Bea", "ada Cy"]
    assert (club.run(run_id)["total"], club.run(run_id)["counts"]) == (1, {"issued": 3})


def test_only_some_members_are_given_something(club: Club) -> None:
    """On every order that they are a guest of; nobody else on it. Whoever the list does not name is not they, but the
    lead booker of their own order."""
    assert given(club, issue(club, external_user_ids=["bea"])) == ["ada Bea", "bea bea"]
    assert given(club, issue(club, external_user_ids=["ada"])) == ["ada Ada"]


def test_a_party_that_was_told_of_a_moment_ago_is_meant_too(club: Club) -> None:
    """Though no settling has seen the list that names them."""
    with transaction(club.engine, club.brand_id) as connection:
        members.ensure(connection, club.brand_id, ["dan"])
    party = [*PARTY, {"name": "Dan", "external_user_id": "dan", "lead_booker": False}]
    club.tell("membership.guests_changed", "2031-01-31T11:00", {"membership_id": str(club.members[0]), "guests": party})
    assert given(club, issue(club, external_user_ids=["dan"])) == ["ada Dan"]


def test_both_narrow(club: Club) -> None:
    run_id = issue(club, membership_ids=[club.members[1]], external_user_ids=["ada", "bea"])
    assert given(club, run_id) == ["bea bea"]


def test_a_narrowed_plan_is_approved_as_it_is(club: Club) -> None:
    """It has rows of those members alone, and gives to them alone."""
    plan_id = issue(club, dry_run=True, external_user_ids=["bea"])
    assert club.run(plan_id)["counts"] == {"issued": 2}
    with transaction(club.engine, club.brand_id) as connection:
        run_id = plans.approve(connection, club.brand_id, plan_id, None)
    club.work(run_id)
    assert given(club, run_id) == ["ada Bea", "bea bea"]


@pytest.mark.parametrize(
    "narrowed", [{"membership_ids": [uuid4()]}, {"external_user_ids": ["bea", "nobody"]}], ids=["membership", "member"]
)
def test_whoever_is_not_there_is_refused(club: Club, narrowed: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        issue(club, **narrowed)
    assert club.value("SELECT count(*) FROM runs WHERE kind = 'issue'") == 0


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "known until then without an id"])
def test_who_was_told_to_be_a_guest_and_is_not_settled_yet_is_one(club: Club, is_new: bool) -> None:
    """At that moment they are on the order, by all that is accepted."""
    with transaction(club.engine, club.brand_id) as connection:
        members.ensure(connection, club.brand_id, ["dan"])
    dan = {"name": "Dan" if is_new else "Cy", "external_user_id": "dan", "lead_booker": False}
    party = [*(PARTY if is_new else PARTY[:2]), dan]
    club.tell("membership.guests_changed", "2031-01-31T11:00", {"membership_id": str(club.members[0]), "guests": party})
    club.move_clock("2031-01-31T12:00")
    run_id = issue(club, external_user_ids=["dan"])
    assert (club.run(run_id)["total"], given(club, run_id)) == (1, [f"ada {dan['name']}"])


@pytest.mark.parametrize("settled", [True, False])
def test_a_list_ahead_does_not_say_yet_who_is_meant(club: Club, settled: bool) -> None:
    with transaction(club.engine, club.brand_id) as connection:
        members.ensure(connection, club.brand_id, ["dan"])
    party = [*PARTY[:2], {"name": "Cy", "external_user_id": "dan", "lead_booker": False}]
    told = {"membership_id": str(club.members[0]), "guests": party}
    club.tell("membership.guests_changed", "2031-03-01T11:00", told)
    if settled:
        club.settle(club.members)
    assert given(club, issue(club, external_user_ids=["dan"])) == []
    club.move_clock("2031-03-01T12:00", jump=True)
    club.settle(club.members)
    assert given(club, issue(club, external_user_ids=["dan"])) == ["ada Cy"]


@pytest.fixture
def orders(new_club: Callable[..., Club]) -> Club:
    """Two orders of equal facts, Dora's with Bea on it and Bea's with Carl on it: settled together, decided once."""
    club = new_club("external", issue_on_signup=False)
    orders = []
    for owner, guest in (("dora", "bea"), ("bea", "carl")):
        guests = [{"name": name, "external_user_id": name, "lead_booker": name == owner} for name in (owner, guest)]
        said = {"membership_type_id": str(club.type_id), "external_user_id": owner, "starts_on": "2031-01-31"}
        orders.append({**said, "membership_id": str(uuid4()), "guests": guests})
    club.members += club.tell("membership.signed_up", "2031-01-31T10:00", *orders)
    club.settle(club.members)
    return club


@pytest.mark.parametrize("by", ["issue", "approval"])
def test_of_orders_alike_each_gives_to_whom_it_is_for(orders: Club, by: str) -> None:
    """A member who leads one order and is a guest of the other gets one on each, and nobody else does: also where a
    plan said so."""
    run_id = issue(orders, dry_run=by == "approval", external_user_ids=["bea"])
    if by == "approval":
        with transaction(orders.engine, orders.brand_id) as connection:
            run_id = plans.approve(connection, orders.brand_id, run_id, None)
        orders.work(run_id)
    assert given(orders, run_id) == ["bea bea", "dora bea"]
