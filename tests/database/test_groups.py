"""Memberships of one fingerprint are decided together, and nobody can tell by the credits (docs/decisions 27)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, event, text

from issuance.database.connections import transaction
from issuance.engine import schedules
from issuance.members import redemptions
from issuance.members.redemptions import Booking
from issuance.webhooks import webhooks
from issuance.webhooks.outbox import EventType
from tests.database.clubs import Club
from tests.hooks import ALL_BUT_REMINDERS
from tests.limits import Limit


@pytest.fixture
def spa(new_club: Callable[..., Club]) -> Iterator[Club]:
    """A club whose credits end with their month."""
    club = new_club(roll_over=False)
    yield club
    club.engine.dispose()


@contextmanager
def statements(club: Club) -> Iterator[list[str]]:
    said: list[str] = []

    def listen(_connection: Any, statement: object, *_: Any) -> None:
        said.append(str(statement))

    event.listen(club.engine, "before_execute", listen)
    yield said
    event.remove(club.engine, "before_execute", listen)


def redeem(club: Club, membership_id: UUID) -> None:
    code = club.value("SELECT code FROM credits WHERE membership_id = :id AND expired_at IS NULL", id=membership_id)
    with transaction(club.engine, club.brand_id) as connection:
        redemptions.redeem_credit(connection, club.brand_id, code, Booking())


def states(club: Club, what: str) -> list[Any]:
    """Columns of the schedules by which memberships wait, in the order of the memberships' ids."""
    by_ids = "FROM membership_schedules JOIN schedules USING (brand_id, schedule_id) ORDER BY membership_id"
    return [tuple(row) for row in club.rows(f"SELECT {what} {by_ids}")]


def fingerprints(club: Club) -> list[UUID | None]:
    return [fingerprint for (fingerprint,) in states(club, "fingerprint")]


def of(club: Club, membership_id: UUID) -> list[tuple[Any, ...]]:
    return [credit[1:] for credit in club.credits() if credit[0] == membership_id]


def each_for_itself(club: Club) -> None:
    with transaction(club.engine, club.brand_id) as connection:
        schedules.leave(connection, club.brand_id, club.members)
    club.rows("UPDATE schedules SET fingerprint = NULL WHERE NOT shared")


def test_many_cost_as_many_statements_as_few(new_club: Callable[..., Club]) -> None:
    """A month of 25 alike memberships and one of 60 take the same statements."""
    taken = []
    for size in (25, 60):
        club = new_club(roll_over=False)
        club.sign_up(size)
        assert len(set(fingerprints(club))) == 1
        club.move_clock("2031-03-01")
        with statements(club) as said:
            run = club.sweep()
        assert run is not None
        assert run["counts"] == {"issued": size}
        assert [credit[7] is not None for credit in club.credits()] == [True, False] * size
        taken.append(len(said))
        club.engine.dispose()
    assert taken[0] == taken[1]


@pytest.mark.parametrize("fewest", [2, 20])
@pytest.mark.parametrize("roll_over", [False, True])
@pytest.mark.parametrize("jump", [False, True])
def test_together_comes_to_the_same_as_each_for_itself(
    new_club: Callable[..., Club], limit: Limit, roll_over: bool, jump: bool, fewest: int
) -> None:
    """Over a year of months, one of them skipped, every credit and due instant is the same; on shared schedules too."""
    limit("settling", fewest_sharing=fewest)
    ends = []
    for alone in (False, True):
        club = new_club(roll_over=roll_over, issuing_frequency="billing_cycle")
        club.sign_up(6)
        counted: dict[str, int] = {}
        for month in (2, 3, 5, 6, 12):
            club.move_clock(f"2031-{month:02}-28T12:00", jump=jump)
            while True:
                if alone:
                    each_for_itself(club)
                run = club.sweep()
                if run is None:
                    break
                for reason, n in run["counts"].items():
                    counted[reason] = counted.get(reason, 0) + n
        assert (None in fingerprints(club)) is alone
        due = states(club, "due_at, settled_at")
        credits_of = [of(club, member) for member in sorted(club.members)]
        assert all(one == credits_of[0] for one in credits_of)
        ends.append((credits_of[0], due, counted))
        club.engine.dispose()
    assert ends[0] == ends[1]


@pytest.mark.parametrize("types", [["credit.issued", "credit.expired"], ALL_BUT_REMINDERS])
@pytest.mark.parametrize("jump", [False, True])
def test_webhooks_are_told_the_same_as_each_for_itself(
    new_club: Callable[..., Club], types: list[EventType], jump: bool
) -> None:
    """Every credit issued and expired together is told of once, at its instant, as it stands then."""
    news = []
    for alone in (False, True):
        club = new_club(roll_over=False)
        club.sign_up(6)
        with transaction(club.engine, club.brand_id) as connection:
            webhooks.create(connection, club.brand_id, "https://example.com/", types)
        for day in ("2031-03-01", "2031-05-01"):
            club.move_clock(day, jump=jump)
            while True:
                if alone:
                    each_for_itself(club)
                if club.sweep() is None:
                    break
        told = club.rows("SELECT type, occurred_at, data FROM webhook_events")
        codes = [row.code for row in club.rows("SELECT code FROM credits WHERE issued_at > '2031-02-01'")]
        assert sorted(row.data["code"] for row in told if row.type == "credit.issued") == sorted(codes)
        own = ("id", "code", "membership_id", "guest", "holder", "run_id", "credit_rule_id")
        news.append(
            sorted(
                (row.type, row.occurred_at, repr({name: row.data[name] for name in row.data if name not in own}))
                for row in told
            )
        )
        club.engine.dispose()
    assert news[0] == news[1]
    assert len(news[0]) >= 24


@pytest.mark.parametrize("nth", [0, 1, 5])
def test_who_redeemed_meanwhile_keeps_what_they_redeemed(spa: Club, nth: int) -> None:
    """A redeemed credit never expires, be its owner decided for all or not; everyone goes on alike."""
    members = sorted(spa.sign_up(6))
    redeem(spa, members[nth])
    for day in ("2031-03-01", "2031-04-01"):
        spa.move_clock(day)
        assert spa.sweep() is not None
    for member in members:
        expired = [credit[6] is not None for credit in of(spa, member)]
        assert expired == ([False, True, False] if member == members[nth] else [True, True, False])
    assert spa.rows("SELECT FROM schedules WHERE due_at <= '2031-04-01'") == []


def test_a_redeemed_credit_hides_nobody_elses_expiry(new_club: Callable[..., Club]) -> None:
    """Where the first of a group redeemed what others still hold, theirs expires on its day."""
    club = new_club(issuing_frequency="P0D", roll_over=True)
    club.rows("UPDATE coupons SET validity = 'P40D'")
    members = sorted(club.sign_up(6))
    for member in members[:3]:
        redeem(club, member)
    for day in ("2031-03-01", "2031-03-13"):
        club.move_clock(day)
        club.sweep()
    assert [credit[6] is not None for member in members for credit in of(club, member)] == [False] * 3 + [True] * 3


def test_who_has_news_is_settled_with_it_and_the_others_without(spa: Club) -> None:
    """A pause that is known but not settled yet when the sweep comes takes effect for its membership alone."""
    members = sorted(spa.sign_up(6))
    spa.tell("membership.status_changed", "2031-02-10T10:00", {"membership_id": str(members[0]), "status": "paused"})
    spa.move_clock("2031-03-01")
    run = spa.sweep()
    assert run is not None
    assert run["counts"] == {"issued": 5, "membership_paused": 1}
    assert [len(of(spa, member)) for member in members] == [1, 2, 2, 2, 2, 2]


def test_issued_by_hand_is_news(spa: Club) -> None:
    """After a manual issue and a replay, memberships are what they have become, not what their fingerprint said."""
    members = sorted(spa.sign_up(6))
    redeem(spa, members[0])
    assert spa.issue()["counts"]["issued"] == 1
    assert spa.replay()["counts"] == {"already_issued": 6}
    spa.move_clock("2031-03-01")
    spa.sweep()
    assert [len(of(spa, member)) for member in members] == [3, 2, 2, 2, 2, 2]
    assert [credit[6] is not None for credit in of(spa, members[0])] == [False, True, False]


def test_one_whose_rows_are_refused_is_set_apart(spa: Club) -> None:
    """PostgreSQL refuses one of a group: it alone has the error, the others have their credits."""
    members = sorted(spa.sign_up(6))
    spa.refuse_credits_of(members[3])
    spa.move_clock("2031-03-01")
    run = spa.sweep()
    assert run is not None
    assert run["counts"] == {"issued": 5, "error": 1}
    assert [row[0] for row in spa.rows("SELECT schedule_id FROM schedules WHERE attempts > 0")] == [members[3]]
    assert [len(of(spa, member)) for member in members] == [2, 2, 2, 1, 2, 2]


def test_the_planner_is_left_no_double_loop(spa: Club) -> None:
    """Guests and what is fresh for them are joined by hashing, though nothing is known of the tables' sizes."""
    spa.sign_up(6)
    spa.move_clock("2031-03-01")
    plans: list[str] = []

    def explain(connection: Connection, statement: object, many: object, parameters: Any, options: object) -> None:
        if str(statement).lstrip().startswith("INSERT INTO credits"):
            plans.append("\n".join(connection.scalars(text(f"EXPLAIN {statement}"), parameters)))

    event.listen(spa.engine, "before_execute", explain)
    spa.sweep()
    event.remove(spa.engine, "before_execute", explain)
    assert plans
    assert all("Hash Join" in plan and "Nested Loop" not in plan for plan in plans), plans
