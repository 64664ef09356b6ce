"""How many bytes of facts are in memory at once is bounded, however many memberships, facts and guests there are."""

import json
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from issuance import limits
from issuance.corrections import desk
from issuance.corrections.wanted import Correction, Grant
from issuance.database.connections import transaction
from issuance.database.statements import Row
from issuance.engine import facts, horizons, news
from issuance.laws import LAWS, look
from issuance.memberships.dry_runs import DryRun
from tests.database.clubs import Club
from tests.limits import Limit

WORTHLESS = "UPDATE schedules SET retry_at = clock_timestamp() - interval '1 second' WHERE retry_at IS NOT NULL"
#: A list of sixty guests with long names has some 12 kB.
GUESTS = [{"guest_id": str(uuid4()), "name": f"Guest {place} " + "x" * 80} for place in range(60)]
GUESTS[0]["lead_booker"] = True  # type: ignore[assignment]
#: Room for two of these.
ROOM = 30_000


@pytest.fixture
def club(new_club: Callable[..., Club]) -> Club:
    return new_club(for_lead_booker_only=True)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch, limit: Limit) -> list[int]:
    """How many bytes of facts were loaded together, each time."""
    limit("settling", loaded_bytes=ROOM, fewest_sharing=2)
    loaded: list[int] = []
    real = facts.assembled

    def assembled(connection: Any, brand_id: UUID, zone: ZoneInfo, rows: Any, told: Iterable[Row], out: Any) -> Any:
        told = list(told)
        loaded.append(sum(len(json.dumps(event.data)) for event in told))
        return real(connection, brand_id, zone, rows, told, out)

    for module in (facts, horizons):
        monkeypatch.setattr(module, "assembled", assembled)
    return loaded


def parties(club: Club, number: int, starts_on: str = "2031-01-31") -> list[UUID]:
    """Sign-ups of sixty guests each; nobody is told to settle them."""
    ids = [uuid4() for _ in range(number)]
    for one in ids:
        says = {"membership_id": str(one), "membership_type_id": str(club.type_id), "external_user_id": str(one)}
        club.tell("membership.signed_up", "2031-01-31T10:00", {**says, "starts_on": starts_on, "guests": GUESTS})
    return ids


def test_parties_are_settled_some_at_a_time(club: Club, at_once: list[int]) -> None:
    """After events, and by the clock where one of each group stands for all: also where no two groups fit together."""
    days = ["2031-01-29", "2031-01-30", "2031-01-31"]
    everybody = [one for day in days for one in parties(club, 4, day)]
    club.settle(everybody)
    assert club.value("SELECT count(*) FROM billing_events WHERE settled_at IS NULL") == 0
    before = club.value("SELECT count(*) FROM credits")
    assert before == len(everybody)
    after_events = len(at_once)
    club.move_clock("2031-03-15", jump=True)
    club.sweep()
    assert club.value("SELECT count(*) FROM credits") == 2 * before
    assert len(at_once) - after_events < len(everybody), "they were not settled one by one"
    assert max(at_once) <= ROOM


def test_whoever_looks_at_many_reads_some_at_a_time(club: Club, at_once: list[int]) -> None:
    """The check of all laws, a dry run of events, and many corrections by command."""
    everybody = parties(club, 5)
    club.settle(everybody)
    with transaction(club.engine, club.brand_id) as connection:
        for found in look(connection, club.brand_id, LAWS):
            assert not any(found.values())
        trial = DryRun(connection, club.brand_id, touched=set(everybody))
        assert trial.result()["reasons"] == {"not_lead_booker": 5 * 59}
        gifts: list[Correction] = [Grant(one, "tea", "they waited") for one in everybody]
        made = desk.correct_all(connection, club.brand_id, gifts, reason="they waited", dry_run=False)
    assert (len(made.credits), made.refused) == (5, {})
    assert max(at_once) <= ROOM


def test_a_membership_of_too_many_bytes_is_set_apart_and_not_read(club: Club, at_once: list[int]) -> None:
    """Its neighbours are settled, and whoever asks for it is told that it is too much."""
    told, other = parties(club, 2)
    for _ in range(3):
        club.tell("membership.guests_changed", "2031-01-31T11:00", {"membership_id": str(told), "guests": GUESTS})
    for _ in range(limits.current.settling.attempts + 2):
        club.settle([told, other])
        club.rows(WORTHLESS)
    unsettled = "SELECT schedule_id FROM schedules WHERE quarantined_at IS NOT NULL OR settled_at IS NULL"
    assert [row[0] for row in club.rows(unsettled)] == [told]
    with transaction(club.engine, club.brand_id) as connection, pytest.raises(facts.FactLimit):
        facts.load(connection, club.brand_id, ZoneInfo("UTC"), [told])
    assert max(at_once) <= ROOM


def test_news_that_is_long_or_much_is_not_compared(club: Club, monkeypatch: pytest.MonkeyPatch, limit: Limit) -> None:
    """Who has it is loaded, some at a time; what the others heard is still compared."""
    limit("settling", news=6)
    compared: list[Any] = []
    real = news._said

    def said(events: list[Row], *others: Any) -> Any:
        compared.extend(event.data for event in events)
        return real(events, *others)

    monkeypatch.setattr(news, "_said", said)
    everybody = [*parties(club, 4), *club.accept(4)]
    club.settle(everybody)
    assert club.value("SELECT count(*) FROM billing_events WHERE settled_at IS NULL") == 0
    assert club.value("SELECT count(*) FROM credits") == len(everybody)
    assert len(compared) <= 6
    assert all(one is None or len(json.dumps(one)) < limits.current.settling.news_bytes for one in compared)
