"""After a sign-up or a charge many memberships have news of their own, are alike all the same, and decided together."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

import pytest

from issuance import measures
from issuance.database.connections import transaction, undone
from issuance.engine.pipeline import settle_these
from issuance.memberships import archiving
from tests.database.clubs import Club
from tests.database.test_groups import fingerprints, of, redeem, statements

NewClub = Callable[..., Club]


@pytest.fixture
def new_club(new_club: NewClub) -> Iterator[NewClub]:
    """Makes clubs that are billed from outside, whose credits end with their period."""
    made: list[Club] = []

    def new() -> Club:
        made.append(new_club("external", roll_over=False, issuing_frequency="billing_cycle"))
        return made[-1]

    yield new
    for club in made:
        club.engine.dispose()


def charge(club: Club, members: Sequence[UUID], what: str, time: str, *, month: str = "2031-02-28") -> None:
    """Their charges of a billing period are told of; nobody is told to settle them."""
    says = [
        {"membership_id": str(one), "charge_id": f"{one} {month}", "period_start": month, "amount": 5000}
        for one in members
    ]
    club.tell(f"charge.{what}", time, *says)


def periods(club: Club, membership_id: UUID) -> list[str]:
    """The periods of the credits that a membership has and that nobody took back."""
    return [str(credit[0]) for credit in of(club, membership_id) if credit[5] is None]


def test_charges_of_many_take_as_many_statements_as_those_of_few(new_club: NewClub) -> None:
    """250 memberships of whom a charge is told are settled by the statements that 60 take."""
    taken = []
    for size in (60, 250):
        club = new_club()
        members = club.sign_up(size)
        club.move_clock("2031-02-28T12:00")
        charge(club, members, "initiated", "2031-02-28T06:00")
        with statements(club) as said:
            club.settle(members)
        assert all(periods(club, one) == ["2031-01-31", "2031-02-28"] for one in members[:3])
        assert club.value("SELECT count(*) FROM credits") == 2 * size
        assert club.value("SELECT count(*) FROM charges WHERE state = 'initiated'") == size
        assert club.value("SELECT count(*) FROM billing_events WHERE settled_at IS NULL") == 0
        assert len(set(fingerprints(club))) == 1
        taken.append(len(said))
    assert taken[0] == taken[1]


def test_charges_told_late_of_many_are_told_apart_without_loading_them(new_club: NewClub) -> None:
    """Charges that happened before a settling and arrived after it: settled by the statements that 60 take, as long as
    they are later than all that was known."""
    taken = []
    for size in (60, 250):
        club = new_club()
        members = club.sign_up(size)
        club.move_clock("2031-02-28T12:00")
        club.settle(members)
        charge(club, members, "initiated", "2031-02-28T12:00")
        with statements(club) as said:
            club.settle(members)
        assert all(periods(club, one) == ["2031-01-31", "2031-02-28"] for one in members[:3])
        assert club.value("SELECT count(*) FROM credits") == 2 * size
        assert len(set(fingerprints(club))) == 1
        taken.append(len(said))
    assert taken[0] == taken[1]


def test_a_late_charge_before_what_is_known_is_decided_by_itself(new_club: NewClub) -> None:
    """Two failed before their late success, two after it: the same words, another outcome."""
    club = new_club()
    members = club.sign_up(4)
    club.move_clock("2031-02-28T12:00")
    charge(club, members[:2], "failed", "2031-02-28T08:00")
    charge(club, members[2:], "failed", "2031-02-28T10:00")
    club.settle(members)
    charge(club, members, "succeeded", "2031-02-28T09:00")
    club.settle(members)
    assert [len(periods(club, one)) for one in members] == [2, 2, 1, 1]


def test_sign_ups_of_many_take_as_many_statements_as_those_of_few(new_club: NewClub) -> None:
    """250 that signed up are settled by the statements that 60 take."""
    taken = []
    for size in (60, 250):
        club = new_club()
        members = club.accept(size)
        with statements(club) as said:
            club.settle(members)
        assert club.value("SELECT count(DISTINCT membership_id) FROM credits") == size
        taken.append(len(said))
    assert taken[0] == taken[1]


def test_together_comes_to_the_same_as_each_alone(new_club: NewClub) -> None:
    """Whatever their news is, and whatever became of their credits before, all have the credits that they have when
    each is settled by itself: those that are like others, and those that are not."""
    ends = []
    for settle in (_together, _each_alone):
        club = new_club()
        members = club.sign_up(12)
        late, failed, redeemed, archived, known, twice, *others = members
        redeem(club, redeemed)
        charge(club, [known], "initiated", "2031-01-31T11:30")
        settle(club, [known])
        club.move_clock("2031-02-28T05:00")
        settle(club, members)
        club.move_clock("2031-02-28T12:00")
        with transaction(club.engine, club.brand_id) as connection:
            archiving.archive(connection, club.brand_id, f"member {archived}", retain_balance=True)
        charge(club, [late], "initiated", "2031-01-31T11:00")
        charge(club, [failed], "failed", "2031-02-28T06:00")
        charge(club, [redeemed, archived, twice, *others], "initiated", "2031-02-28T06:00")
        charge(club, [known, twice], "succeeded", "2031-02-28T07:00")
        settle(club, members)
        assert {one: periods(club, one) for one in members} == {
            one: ["2031-01-31"] if one in (failed, archived) else ["2031-01-31", "2031-02-28"] for one in members
        }
        assert club.value("SELECT uses FROM credits WHERE redeemed_at IS NOT NULL") == 1
        charge(club, members, "succeeded", "2031-02-28T11:00")
        settle(club, members)
        club.move_clock("2031-03-31T12:00")
        charge(club, others, "initiated", "2031-03-31T06:00", month="2031-03-31")
        settle(club, members)
        ends.append([(of(club, one), _seen(club, one)) for one in members])
    assert ends[0] == ends[1]


@pytest.mark.parametrize("second", ["initiated", "failed"])
def test_charges_of_one_period_are_told_apart(new_club: NewClub, second: str) -> None:
    """Two charges of a period, one of which is paid in the end: whichever it is, and however the other stands."""
    ends = []
    for settle in (_together, _each_alone):
        club = new_club()
        members = club.sign_up(8)
        club.move_clock("2031-02-28T12:00")
        for number, what in enumerate(("failed", second)):
            _charge(club, members, what, f"2031-02-28T0{6 + number}:00", number)
            settle(club, members)
            if what == second == "failed" and number == 0:  # this trouble is over, that of the other charge is not
                club.tell(
                    "membership.status_changed",
                    "2031-02-28T06:30",
                    *({"membership_id": str(one), "status": "active"} for one in members),
                )
                settle(club, members)
        club.move_clock("2031-02-28T13:00")
        for number in (0, 1):
            _charge(club, members[number::2], "succeeded", "2031-02-28T12:30", number)
        settle(club, members)
        paid = club.rows("SELECT membership_id, right(charge_id, 1) FROM charges WHERE state = 'succeeded'")
        assert dict(map(tuple, paid)) == {one: str(place % 2) for place, one in enumerate(members)}
        kept = dict(map(tuple, club.rows("SELECT schedule_id, fingerprint FROM schedules")))
        assert kept[members[0]] != kept[members[1]], "which one was paid is what the next decision may depend on"
        ends.append([(of(club, one), _seen(club, one)) for one in members])
    assert ends[0] == ends[1]


def _charge(club: Club, members: Sequence[UUID], what: str, time: str, number: int) -> None:
    """One of several charges of the period of February is told of."""
    says = [
        {"membership_id": str(one), "charge_id": f"{one} {number}", "period_start": "2031-02-28", "amount": 5000}
        for one in members
    ]
    club.tell(f"charge.{what}", time, *says)


def test_each_has_the_outcome_of_its_own_news(new_club: NewClub) -> None:
    """Half of the alike memberships are charged for the period that begins, half for a later one."""
    club = new_club()
    members = club.sign_up(8)
    club.move_clock("2031-02-28T12:00")
    charge(club, members[::2], "initiated", "2031-02-28T06:00")
    charge(club, members[1::2], "initiated", "2031-02-28T06:00", month="2031-03-31")
    club.settle(members)
    assert [len(of(club, one)) for one in members] == [2, 1] * 4


def test_late_news_is_read_with_what_it_comes_before_or_after(new_club: NewClub) -> None:
    """A success between two failures that were settled already: it comes after the one, and before the other."""
    club = new_club()
    members = club.sign_up(8)
    paid, unpaid = members[:4], members[4:]
    club.move_clock("2031-02-28T12:00")
    charge(club, paid, "failed", "2031-02-28T06:00")
    charge(club, unpaid, "failed", "2031-02-28T06:30")
    club.settle(members)
    assert len(set(fingerprints(club))) == 1
    charge(club, members, "succeeded", "2031-02-28T06:15")
    club.settle(members)
    assert [len(of(club, one)) for one in members] == [2] * 4 + [1] * 4


def _together(club: Club, members: Sequence[UUID]) -> None:
    club.settle(members)


def _each_alone(club: Club, members: Sequence[UUID]) -> None:
    for one in members:
        club.settle([one])


def _seen(club: Club, membership_id: UUID) -> list[list[tuple[Any, ...]]]:
    """What lists show of a membership, and when it falls due."""
    shown = (
        "SELECT status, ends_on FROM memberships WHERE membership_id = :id",
        "SELECT state, period_start, period_end, amount FROM charges WHERE membership_id = :id ORDER BY charge_id",
        "SELECT due_at, settled_at FROM schedules WHERE schedule_id = :id",
    )
    return [[tuple(row) for row in club.rows(sql, id=membership_id)] for sql in shown]


def test_the_wait_of_every_event_is_measured_once_whoever_settles_it(new_club: NewClub) -> None:
    """That of an event whose hint is lost, too, when a sweep settles it; not while it is only tried."""

    def measured() -> float:
        return measures.samples().get(("issuance_event_settled_seconds_count", ()), 0.0) - before

    before = 0.0
    before = measured()
    club = new_club()
    members = club.sign_up(3)
    assert measured() == 3
    club.move_clock("2031-02-28T12:00")
    charge(club, members, "initiated", "2031-02-28T06:00")
    with undone(club.engine, club.brand_id) as connection:
        settle_these(connection, club.brand_id, members)
    assert measured() == 3
    club.sweep()
    assert measured() == 6
    club.settle(members)
    assert measured() == 6
