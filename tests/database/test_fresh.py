"""A sign-up's own transaction counts the first attempt to settle it (SEMANTICS 14, docs/decisions 27)."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from issuance.engine import arrivals, pipeline
from tests.database.clubs import Club
from tests.database.test_guarded import deaths_of
from tests.database.test_settling import WORTHLESS


@contextmanager
def commits(club: Club) -> Iterator[list[int]]:
    """Grows by one with each transaction that is committed."""
    seen: list[int] = []

    def committed(_: object) -> None:
        seen.append(1)

    event.listen(club.engine, "commit", committed)
    yield seen
    event.remove(club.engine, "commit", committed)


def test_fresh_ones_are_settled_in_one_transaction(club: Club) -> None:
    """Nothing is left to be counted; others' attempts are committed before their work."""
    fresh = sorted(club.accept(3))
    with commits(club) as seen:
        club.settle(fresh)
    assert len(seen) == 1
    assert len(club.credits()) == 3
    assert club.rows("SELECT DISTINCT attempts, retry_at FROM schedules") == [(0, None)]
    club.tell("membership.status_changed", "2031-01-31T11:00", {"membership_id": str(fresh[0]), "status": "paused"})
    with commits(club) as seen:
        club.settle(fresh)
    assert len(seen) == 2


def test_one_that_kills_its_worker_is_counted_from_the_sign_up_on(club: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five times it is tried, the first time without anything being written before; then nobody tries again."""
    (member,) = club.accept()
    assert deaths_of(club, member, monkeypatch) == 5
    assert club.value("SELECT quarantined_at IS NOT NULL FROM schedules") is True


def test_where_fresh_ones_fail_together_each_is_settled_by_itself(club: Club, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that fails has its attempt and its error, its neighbours their credits; and it has four left."""
    fresh = sorted(club.accept(3))
    settle = pipeline.settle_these

    def raising(*args: object) -> object:
        if fresh[1] in args[2]:  # type: ignore[operator]
            raise ZeroDivisionError("poison")
        return settle(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(arrivals, "settle_these", raising)
    club.settle(fresh)
    assert {row[0] for row in club.credits()} == {fresh[0], fresh[2]}
    apart = club.rows("SELECT schedule_id, attempts, last_error FROM schedules WHERE attempts > 0")
    assert apart == [(fresh[1], 1, "ZeroDivisionError")]


def test_a_worker_that_comes_late_counts_for_itself(club: Club) -> None:
    """The sign-up's attempt holds as long as its back-off."""
    (member,) = club.accept()
    club.rows(WORTHLESS)
    with commits(club) as seen:
        club.settle([member])
    assert len(seen) == 2
    assert len(club.credits()) == 1
