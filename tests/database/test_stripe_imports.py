"""Imports while Stripe's webhooks come: nobody is left out who stood on the plan."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from issuance.billers import reconciling
from issuance.billers.adapter import Asked, Json
from issuance.billers.stripe.adapter import Stripe
from issuance.database.connections import transaction
from tests.database.stripe_asked import reconcile, worked
from tests.database.stripes import Club
from tests.database.test_stripe_nights import meanwhile
from tests.stripe.fake import FakeStripe
from tests.stripe.lives import Life, item


def two_years(fake: FakeStripe, club: Club) -> list[Life]:
    """Two whom no webhook told of, billed by the year: the plan of an import has both."""
    start, end = "2031-01-02 10:30", "2032-01-02 10:30"
    lives = [Life(name, start, items=[item(f"si_{name}", "price_gold_year")]) for name in ("told", "read")]
    for life in lives:
        life.bill("year", start, end)
    fake.happen([event for life in lives for event in life.events])
    reconcile(club, everything=True)
    return lives


def charged(club: Club) -> list[str]:
    """Whose year was told as paid, after a look at the last weeks too."""
    reconcile(club, since=datetime(2031, 3, 19, tzinfo=UTC))
    return sorted(name for kind, _, name, _ in club.facts() if kind == "charge.succeeded")


@pytest.mark.parametrize("translated", [False, True])
@pytest.mark.parametrize("what", ["a change", "an invoice", "the end"])
def test_who_is_imported_while_a_webhook_of_them_comes_is_imported_whole(
    fake: FakeStripe, asked: Club, monkeypatch: pytest.MonkeyPatch, what: str, translated: bool
) -> None:
    """With charges that no later look lists: what is left out of a page is asked for anew."""
    lives = two_years(fake, asked)
    life, at = lives[0], "2031-03-19 11:00"
    if what == "a change":
        life.change(at, metadata={"colour": "green"})
    elif what == "an invoice":
        line = life.line(at, "2032-01-02 10:30", proration=True)
        life.tell("invoice.created", at, life.invoice("more", at, "draft", [line]))
    else:
        life.end(at)
    meanwhile(fake, asked, monkeypatch, life, translated=translated)
    assert reconcile(asked, everything=True)["state"] == "finished"
    assert charged(asked) == ["in_read_year/si_read/succeeded", "in_told_year/si_told/succeeded"]


def test_a_worker_that_dies_while_it_asks_anew_leaves_nobody_out(
    fake: FakeStripe, asked: Club, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one reads that page again."""
    lives = two_years(fake, asked)
    lives[0].change("2031-03-19 11:00", metadata={"colour": "green"})
    meanwhile(fake, asked, monkeypatch, lives[0], translated=True)
    with transaction(asked.engine, asked.brand_id) as connection:
        run_id = reconciling.start(connection, asked.brand_id, asked.biller_id, everything=True)
    ask_stripe = Stripe.ask

    def dies(adapter: Stripe, way: Asked, key: str) -> Json:
        if key == lives[0].id:
            raise KeyboardInterrupt
        return ask_stripe(adapter, way, key)

    monkeypatch.setattr(Stripe, "ask", dies)
    with pytest.raises(KeyboardInterrupt):
        reconciling.work(asked.engine, asked.brand_id, run_id, lambda _: None)
    with transaction(asked.engine, asked.brand_id) as connection:
        connection.execute(text("UPDATE reconciliations SET next_at = clock_timestamp()"))
    assert worked(asked, run_id)["state"] == "finished"
    assert charged(asked) == ["in_read_year/si_read/succeeded", "in_told_year/si_told/succeeded"]
