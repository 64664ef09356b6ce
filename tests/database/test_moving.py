"""A club moves to Issuance (docs/moving-to-issuance.md): what the dry run said is what then comes."""

import json
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from campaigns.moving import conversion, export
from issuance import database, health
from issuance.billing import events
from issuance.catalog import membership_types, rules
from issuance.catalog.membership_types import NewMembershipType
from issuance.catalog.rule_versions import NewCreditRule
from issuance.database.connections import transaction
from issuance.memberships import explanations
from issuance.memberships.dry_runs import DryRun
from tests.database.clubs import Club

_BY_MONTH = """
    SELECT credit_rule_id, to_char(period_start, 'YYYY-MM') AS month, count(*)
      FROM credits WHERE revoked_at IS NULL GROUP BY 1, 2
"""


@pytest.fixture
def moved(new_club: Callable[..., Club], tmp_path: Path) -> Iterator[tuple[Club, list[dict[str, Any]]]]:
    """A brand on 10 June 2031 whose rules are in force from June on, and the events of a club of 60."""
    club = new_club(issue_on_signup=False)
    club.rows("UPDATE brands SET clock_now = '2031-06-10T09:00Z'")
    export.write(tmp_path, 60, date(2031, 6, 10), seed=7)
    with transaction(club.engine, club.brand_id) as connection:
        types = {}
        for plan in ("Silver", "Gold"):
            kind = membership_types.create(connection, club.brand_id, NewMembershipType(name=plan, billing="external"))
            types[plan] = str(kind["id"])
            said = {"coupon_id": "tea", "coupon_name": plan, "include_upcoming": True, "effective_from": "2031-06-01"}
            new = {"membership_type_id": types[plan], "issuing_frequency": "P1M", "roll_over": True, **said}
            rules.create(connection, club.brand_id, NewCreditRule.model_validate(new))
    yield club, list(conversion.events(tmp_path, types))
    club.engine.dispose()


def test_a_dry_run_of_an_import_says_what_comes(moved: tuple[Club, list[dict[str, Any]]]) -> None:
    """All is understood, nothing comes for a period that was paid before June, and the files again change nothing."""
    club, told = moved
    assert json.loads(json.dumps(told)) == told
    with database.undone(club.engine, club.brand_id) as connection:
        trial = DryRun(connection, club.brand_id)
        for start in range(0, len(told), events.MOST_EVENTS):
            assert trial.take(events.read(told[start : start + events.MOST_EVENTS])).rejected == []
        said = trial.result()
    assert club.rows("SELECT FROM billing_events") == []
    with transaction(club.engine, club.brand_id) as connection:
        intake = events.accept(connection, club.brand_id, told)
    assert (intake.accepted, intake.rejected) == (len(told), [])
    club.settle(intake.membership_ids)
    issued = {(row.credit_rule_id, row.month): row.count for row in club.rows(_BY_MONTH)}
    assert issued == {(row["credit_rule_id"], row["month"]): row["now"] for row in said["credits"] if row["now"]}
    # One of May whose debit failed then may be collected in June: it was not owed before.
    assert {"2031-06"} <= {month for _, month in issued} <= {"2031-05", "2031-06"}
    statuses = dict(club.rows("SELECT status, count(*) FROM memberships GROUP BY 1"))
    assert said["memberships"] == {
        "signed_up": 60,
        "known": 0,
        "waiting_for_sign_up": 0,
        "by_status": dict(sorted(statuses.items())),
    }
    with transaction(club.engine, club.brand_id) as connection:
        assert events.accept(connection, club.brand_id, told).duplicates == len(told)
    with database.undone(club.engine, club.brand_id) as connection:
        again = DryRun(connection, club.brand_id)
        assert again.take(events.read(told)).duplicates == len(told)
        repeated = again.result()
    nobody = {"signed_up": 0, "known": 60, "waiting_for_sign_up": 0, "by_status": {}}
    assert (again.accepted, repeated["memberships"], repeated["credits"]) == ({}, nobody, [])


def test_charges_for_something_else_are_named(moved: tuple[Club, list[dict[str, Any]]]) -> None:
    """What the club sold beside its memberships covers no billing date: accepted with a warning, named by explain,
    counted by health, and no trouble."""
    club, told = moved
    sign_up = next(event for event in told if event["type"] == "membership.signed_up")
    membership_id, starts_on = sign_up["data"]["membership_id"], date.fromisoformat(sign_up["data"]["starts_on"])
    day = starts_on.replace(day=starts_on.day - 11 if starts_on.day > 15 else starts_on.day + 11)
    says = {"membership_id": membership_id, "charge_id": "shop", "period_start": str(day), "period_end": str(day)}
    shop = {**sign_up, "id": "shop", "type": "charge.failed", "data": says}
    with transaction(club.engine, club.brand_id) as connection:
        intake = events.accept(connection, club.brand_id, [sign_up, shop])
        assert [warning.code for warning in intake.warnings] == ["covers_no_boundary"]
    club.settle(intake.membership_ids)
    assert club.value("SELECT count(*) FROM charges WHERE pays_for_nothing") == 1
    assert club.value("SELECT status FROM memberships") == "upcoming"
    with transaction(club.engine, club.brand_id) as connection:
        (idle,) = explanations.explain(connection, club.brand_id, intake.membership_ids[0]).charges_for_nothing
    with transaction(club.engine) as connection:
        assert health.figures(connection)["charges_for_nothing"] == 1
    assert (idle["charge_id"], idle["state"]) == ("shop", "failed")
