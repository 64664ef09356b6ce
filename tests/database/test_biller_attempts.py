"""Attempts at a biller's webhooks: what passes by itself uses none of them up."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from issuance.billers import attempts, translation
from issuance.billers.billers import New
from issuance.database.connections import transaction
from tests.database.stripes import Club, new_club
from tests.database.test_mapped import MAPPING, webhook

_ATTEMPTS = text("SELECT attempts FROM biller_deliveries WHERE brand_id = :brand_id")


@contextmanager
def refused(club: Club, state: str) -> Iterator[None]:
    """PostgreSQL refuses the club's events, for a reason."""
    with transaction(club.engine) as connection:
        connection.execute(
            text(f"""
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION USING ERRCODE = '{state}', MESSAGE = 'not now'; END $$;
            CREATE TRIGGER refuse BEFORE INSERT ON billing_events FOR EACH ROW
              WHEN (NEW.brand_id = '{club.brand_id}') EXECUTE FUNCTION refuse();
        """)
        )
    try:
        yield
    finally:
        with transaction(club.engine) as connection:
            connection.execute(text("DROP FUNCTION refuse CASCADE"))


@pytest.mark.parametrize("state", ["53100", "55P03", "40P01"], ids=["full", "locked", "deadlock"])
def test_what_passes_by_itself_uses_no_attempt_up(engine: Engine, state: str) -> None:
    """However often it is met: when there is room, what came is told."""
    club = new_club(engine, new=New("mapped", ["user:password"], mapping=MAPPING))
    club.map("gold")
    club.deliver(webhook(f"{club.brand_id} {n}") for n in range(5))
    with refused(club, state):
        for _ in range(2 + 3 * 5 + 1):
            with pytest.raises(DBAPIError):
                translation.translate(club.engine, club.brand_id, club.biller_id)
    with transaction(engine, club.brand_id) as connection:
        assert {*connection.scalars(_ATTEMPTS, {"brand_id": club.brand_id})} == {0}
    club.translate()
    assert {*club.states().values()} == {"translated"}


def test_a_standby_sets_nothing_apart(engine: Engine) -> None:
    """What a server refuses that has just become one is for the next."""
    club = new_club(engine, new=New("mapped", ["user:password"], mapping=MAPPING))
    club.map("gold")
    club.deliver([webhook(f"{club.brand_id} moved")])
    with refused(club, "25006"), pytest.raises(DBAPIError):
        translation.translate(club.engine, club.brand_id, club.biller_id)
    club.translate()
    assert {*club.states().values()} == {"translated"}


def test_what_breaks_off_again_and_again_is_set_apart(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the worker that translates it: alone after two attempts, and after five no more."""
    club = new_club(engine, new=New("mapped", ["user:password"], mapping=MAPPING))
    club.map("gold")
    club.deliver([webhook(f"{club.brand_id} dies")])

    def dies(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr(translation, "_halved", dies)
        for _ in range(attempts.MOST_ATTEMPTS):
            with pytest.raises(SystemExit):
                translation.translate(club.engine, club.brand_id, club.biller_id)
    club.translate()
    assert club.why() == {("unmappable", "error", None)}
