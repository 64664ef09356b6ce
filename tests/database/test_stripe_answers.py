"""What Stripe answers a run that reconciles: too late, half of it, nothing; and a run that ends early."""

from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, text

from issuance.billers import reconciling, translation
from issuance.database.connections import Acting, transaction
from issuance.engine import runs
from issuance.errors import Conflict, Invalid
from issuance.webhooks import webhooks
from tests.database.stripe_asked import read, reconcile, worked
from tests.database.stripes import Club, new_club
from tests.database.test_stripe_reconcile import LASTING, came
from tests.database.test_stripe_sequences import EVENTS
from tests.limits import Limit
from tests.stripe.fake import FakeStripe


def test_it_is_polite_and_goes_on_after_429(fake: FakeStripe, asked: Club) -> None:
    fake.happen(EVENTS)
    fake.refuses = 3
    assert reconcile(asked)["state"] == "finished"
    assert came(asked) == LASTING


def test_a_biller_that_does_not_answer_ends_the_run_and_says_so(fake: FakeStripe, asked: Club, limit: Limit) -> None:
    limit("billers", longest_rest=0.01)
    fake.away = True
    with transaction(asked.engine, asked.brand_id) as connection:
        webhooks.create(connection, asked.brand_id, "https://example.com/", ["run.finished"])
    by_night = reconcile(asked, nightly=True)
    with transaction(asked.engine, asked.brand_id, Acting('{"kind": "command"}')) as connection:
        run_id = reconciling.start(connection, asked.brand_id, asked.biller_id)
    ended = worked(asked, run_id)
    for run in (by_night, ended):
        assert (run["state"], run["error"]) == ("cancelled", "The biller can not be asked: it answers 503.")
    with transaction(asked.engine, asked.brand_id) as connection:
        told = connection.scalars(text("SELECT data FROM webhook_events")).all()
    assert [(one["id"], one["state"], one["error"]) for one in told] == [(str(run_id), "cancelled", ended["error"])]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"data": None}, "is no list"),
        ({"data": [{"object": "invoice"}]}, "has no id"),
        ({"data": [None]}, "has no id"),
        ({"data": [], "has_more": True}, "has more, and does not say it"),
        ({"data": [{"id": "in_1", "object": "invoice", "status": "draft", "lines": []}], "has_more": True}, "has more"),
        (None, "has no list"),
        ([], "is no JSON object"),
    ],
)
def test_an_answer_that_is_half_of_one_ends_the_run_and_is_named(
    fake: FakeStripe, asked: Club, monkeypatch: pytest.MonkeyPatch, answer: Any, why: str
) -> None:
    """It is no success: where the run got to stays, and whoever reads the run sees why it ended."""
    monkeypatch.setattr(fake, "answer", lambda *_: (404 if answer is None else 200, answer))
    before = _reconciled_at(asked)
    ended = reconcile(asked)
    with transaction(asked.engine, asked.brand_id) as connection:
        shown = runs.read(connection, asked.brand_id, ended["id"])
    assert (shown["state"], _reconciled_at(asked)) == ("cancelled", before)
    assert why in shown["error"]


def test_an_answer_without_end_is_not_read_to_its_end(fake: FakeStripe, asked: Club, limit: Limit) -> None:
    """What is longer than anything of Stripe's is no answer."""
    limit("billers", longest_answer=10)
    assert "more than 10 bytes" in reconcile(asked)["error"]


def _reconciled_at(club: Club) -> Any:
    with transaction(club.engine, club.brand_id) as connection:
        return connection.scalar(text("SELECT reconciled_at FROM billers"))


def test_a_killed_run_goes_on_where_it_was(
    fake: FakeStripe, asked: Club, monkeypatch: pytest.MonkeyPatch, limit: Limit
) -> None:
    """Whoever takes it over asks for the pages that are left."""
    fake.happen(EVENTS)
    limit("billers", page=5)
    with transaction(asked.engine, asked.brand_id) as connection:
        run_id = reconciling.start(connection, asked.brand_id, asked.biller_id)
    told = translation.tell
    pages = iter(range(5))

    def dies(*arguments: Any) -> Any:
        if next(pages) == 4:
            raise KeyboardInterrupt
        return told(*arguments)

    monkeypatch.setattr(translation, "tell", dies)
    with pytest.raises(KeyboardInterrupt):
        reconciling.work(asked.engine, asked.brand_id, run_id, lambda _: None)
    monkeypatch.setattr(translation, "tell", told)
    reconciling.work(asked.engine, asked.brand_id, run_id, lambda _: None)
    assert read(asked, run_id)["state"] == "running", "it is held for a while"
    with transaction(asked.engine, asked.brand_id) as connection:
        connection.execute(text("UPDATE reconciliations SET next_at = clock_timestamp()"))
    fake.requests.clear()
    reconciling.work(asked.engine, asked.brand_id, run_id, lambda _: None)
    assert "starting_after" in next(path for path in fake.requests if "/v1/events" not in path)
    assert read(asked, run_id)["state"] == "finished"
    assert came(asked) == LASTING


def test_a_run_can_be_cancelled(fake: FakeStripe, asked: Club) -> None:
    fake.happen(EVENTS)
    with transaction(asked.engine, asked.brand_id) as connection:
        run_id = reconciling.start(connection, asked.brand_id, asked.biller_id)
        runs.cancel(connection, asked.brand_id, run_id)
    reconciling.work(asked.engine, asked.brand_id, run_id, lambda _: None)
    assert asked.facts() == []


def test_without_an_api_key_nobody_is_asked(engine: Engine) -> None:
    club = new_club(engine)
    with transaction(engine, club.brand_id) as connection, pytest.raises(Conflict):
        reconciling.start(connection, club.brand_id, club.biller_id)


def test_all_and_since_exclude_each_other(asked: Club) -> None:
    with transaction(asked.engine, asked.brand_id) as connection, pytest.raises(Invalid):
        reconciling.start(
            connection, asked.brand_id, asked.biller_id, since=datetime(2031, 1, 1, tzinfo=UTC), everything=True
        )
