"""A brand's guard, as tests set it, speak of what it holds, and count what went out."""

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from issuance.database.connections import transaction
from issuance.engine import guard_limits, held_rules
from tests.database.clubs import Club, at
from tests.limits import Limit


@pytest.fixture(autouse=True)
def small_batches(limit: Limit) -> None:
    """Ten memberships a batch, and schedules that few can share."""
    limit("settling", batch=10, smallest_batch=10, fewest_sharing=5)


def guard(club: Club, most: int | None = None, times: str | None = None) -> None:
    """Set the brand's guard."""
    with transaction(club.engine, club.brand_id) as connection:
        number = None if times is None else Decimal(times)
        guard_limits.put(connection, club.brand_id, max_per_day=most, times_busiest_day=number)


def held(club: Club) -> list[dict[str, Any]]:
    with transaction(club.engine, club.brand_id) as connection:
        return held_rules.page(connection, club.brand_id, 1, 100)[0]


def speak(club: Club, verb: str) -> dict[str, Any]:
    """Approve or refuse what is held of the club's rule."""
    with transaction(club.engine, club.brand_id) as connection:
        spoken: dict[str, Any] = getattr(held_rules, verb)(connection, club.brand_id, club.rule_id, "as it should be")
    return spoken


def issued(club: Club, since: str = "2000-01-01") -> int:
    return int(club.value("SELECT count(*) FROM credits WHERE issued_at >= :since", since=at(since)))


def sweeps(club: Club) -> Counter[str]:
    """Sweep until nothing is due: the counts of all."""
    counts: Counter[str] = Counter()
    for _ in range(20):
        run = club.sweep()
        if run is None:
            return counts
        counts.update(run["counts"])
    raise AssertionError("it is due for ever")


def reserve(club: Club, instant: str, number: int) -> None:
    """What a worker reserved and never issued."""
    club.rows(
        """INSERT INTO guard_portions (brand_id, portion_id, credit_rule_id, epoch, issued_at, number, reserved)
           VALUES (:brand_id, gen_random_uuid(), :rule, 0, :instant, :number, true)""",
        rule=club.rule_id,
        instant=at(instant),
        number=number,
    )
