"""What is kept for a while and no longer, as the settings say (scheduler/tick.py)."""

from uuid import uuid4

import pytest

from issuance.billing import rejections
from issuance.billing.cloud_events import Refused
from issuance.database.connections import transaction
from issuance.engine import plans
from issuance.errors import PlanForgotten
from issuance.settings import OwnSettings
from scheduler.tick import tidy
from tests.database.clubs import Club
from tests.database.test_approvals import approve, plan_issue, rows_of

KEEP = OwnSettings(ISSUANCE_KEEP_PLANS_DAYS=10, ISSUANCE_KEEP_REFUSED_DAYS=20)


def test_a_plan_that_is_not_kept_any_more_is_neither_shown_nor_approved(club: Club) -> None:
    """It says so, and is never taken for a plan without rows; one whose approval is not done is kept, and so are the
    counts of each. An approval that was made before is still told of."""
    club.sign_up(3)
    club.rows("UPDATE credits SET uses = 1, redeemed_at = valid_from")
    young, old, done, under_way = (plan_issue(club) for _ in range(4))
    approved = approve(club, done["id"])
    with transaction(club.engine, club.brand_id) as connection:
        unfinished = plans.approve(connection, club.brand_id, under_way["id"], None)
    club.rows(
        "UPDATE runs SET finished_at = finished_at - interval '11 days' WHERE run_id <> :young", young=young["id"]
    )
    tidy(club.engine, KEEP)
    assert len(rows_of(club, young)) == len(rows_of(club, under_way)) == 3
    for plan in (old, done):
        with pytest.raises(PlanForgotten):
            rows_of(club, plan)
        assert club.run(plan["id"])["counts"] == {"issued": 3}
    with pytest.raises(PlanForgotten):
        approve(club, old["id"])
    assert approve(club, done["id"])["id"] == approved["id"]
    club.work(unfinished)
    assert sum(club.run(unfinished)["counts"].values()) == 3


def test_a_refused_event_waits_so_many_days(club: Club) -> None:
    """And goes with all that it said."""
    with transaction(club.engine, club.brand_id) as connection:
        refused = Refused("malformed", "no event")
        rejections.keep(connection, club.brand_id, [(str(uuid4()), refused), (str(uuid4()), refused)])
    for days, left in ((19, 2), (21, 1)):
        club.rows(
            f"UPDATE rejected_events SET received_at = now() - interval '{days} days'"
            " WHERE rejected_id = (SELECT min(rejected_id::text)::uuid FROM rejected_events)"
        )
        tidy(club.engine, KEEP)
        assert club.value("SELECT count(*) FROM rejected_events") == left
