"""How much an export and an erasure read over HTTP (SEMANTICS 20)."""

import json

import pytest
from sqlalchemy import text

from campaigns.limited import limited
from issuance import limits
from issuance.memberships import exporting, forgetting
from tests.database.canaries import ADA, EMAIL, NAME, Story, story
from tests.database.clubs import Club
from tests.limits import Limit

__all__ = ["story"]


@pytest.mark.parametrize("bound", ["exported_rows", "exported_bytes"])
def test_an_export_over_http_is_bounded(story: Story, limit: Limit, bound: str) -> None:
    """The command line has no bound."""
    limit("members", **{bound: 10})
    with story.work() as connection:
        with pytest.raises(exporting.TooMuchToExport):
            exporting.export(connection, story.club.brand_id, ADA, bounded=True)
        exporting.export(connection, story.club.brand_id, ADA)


def test_an_export_is_measured_before_it_is_read(story: Story) -> None:
    """By what it holds, not by what PostgreSQL makes of it: a hundred megabytes of one letter are few on its disk."""
    club = story.club
    for day in (1, 2, 3):
        club.tell(
            "membership.status_changed", f"2031-01-0{day}T00:00", {"membership_id": str(story.own), "status": "active"}
        )
    _say_much(club)
    with story.work() as connection:
        small = connection.scalar(text("SELECT sum(pg_column_size(unknown_fields)) FROM billing_events"))
        assert small < limits.current.members.exported_bytes / 10
        with pytest.raises(exporting.TooMuchToExport):
            exporting.export(connection, club.brand_id, ADA, bounded=True)
        assert len(exporting.export(connection, club.brand_id, ADA)["facts"]) >= 3


def _say_much(club: Club) -> None:
    """What else events said was kept whatever its length, once."""
    club.rows("""
        UPDATE billing_events SET unknown_fields = jsonb_build_object('said', repeat('x', 1400000))
         WHERE type = 'membership.status_changed'
    """)


@pytest.mark.parametrize(("bound", "most"), [("erased_facts", 1), ("erased_bytes", 1_000_000)])
def test_erasing_over_http_is_bounded(story: Story, bound: str, most: int) -> None:
    """By what was told of their orders, before it is read. The command line has no bound."""
    says = {"membership_id": str(story.own), "status": "active"}
    story.club.tell("membership.status_changed", "2031-01-01T00:00", says)
    _say_much(story.club)
    story.archive()
    with story.work() as connection, limited("members", **{bound: most}), pytest.raises(forgetting.TooMuchToErase):
        forgetting.erase(connection, story.club.brand_id, ADA, bounded=True)
    with story.work() as connection:
        forgetting.erase(connection, story.club.brand_id, ADA, bounded=True)


def test_an_export_has_all_of_one_person_and_nothing_of_others(story: Story) -> None:
    with story.work() as connection:
        document = exporting.export(connection, story.club.brand_id, ADA)
    said = json.dumps(document, default=str)
    assert NAME in said
    assert EMAIL in said
    assert "phone" in said
    assert f"for {NAME}" in said
    assert "bob" not in said.lower()
    assert {str(one["membership_id"]) for one in document["facts"]} == {str(story.own), str(story.bobs)}
    assert len(document["credits"]) == len({one["id"] for one in document["credits"]}) == 2
    assert [one["id"] for one in document["memberships"]] == [story.own]
