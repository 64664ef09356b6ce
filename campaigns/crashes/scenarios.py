"""The scenarios that are disturbed. Each prepares a club, undisturbed, and returns the act that is disturbed.

The act does what clients do: it asks again until it is answered.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

from campaigns.faults.club import BEGINNING, PATIENCE, Club
from issuance.database.connections import transaction

_LATER = "2031-03-01T00:00:00Z"
_MEMBERS = 3
_SET_CLOCK = text("UPDATE brands SET clock_now = :now WHERE brand_id = :brand_id")
_SWEEP = """
    INSERT INTO runs (brand_id, run_id, kind, state, created_at, started_at, total)
    SELECT :brand_id, :run_id, 'sweep', 'running', now() - interval '1 minute', now(), count(*)
      FROM memberships WHERE brand_id = :brand_id
    ON CONFLICT DO NOTHING
"""
_ITS_BATCH = """
    INSERT INTO run_batches (brand_id, run_id, batch, first_id, last_id, size, attempts, claimed_at)
    SELECT :brand_id, :run_id, 0, (array_agg(membership_id ORDER BY membership_id))[1],
           (array_agg(membership_id ORDER BY membership_id DESC))[1], count(*), 1, now() - interval '1 minute'
      FROM memberships WHERE brand_id = :brand_id
    ON CONFLICT DO NOTHING
"""

Act = Callable[[], None]


@dataclass(frozen=True)
class Scenario:
    """`prepare` returns the act; `processes` names the processes whose steps are disturbed during it."""

    name: str
    processes: frozenset[str]
    prepare: Callable[[Club], Act]


def _sweep(club: Club) -> Act:
    """The clock passes a boundary: what falls due is found, planned and settled; credits are issued and expired."""
    club.sign_up(_MEMBERS)
    club.move_clock(BEGINNING)
    return lambda: _persist(lambda: club.let_time_pass(_LATER))


def _left_behind(club: Club) -> Act:
    """A worker that has died began the only batch of a sweep: it is begun again, in parts."""
    club.sign_up(_MEMBERS)
    club.move_clock(BEGINNING)
    which = {"brand_id": club.brand_id, "run_id": uuid4()}

    def act(connection: Connection) -> None:
        for statement in (_SWEEP, _ITS_BATCH):
            connection.execute(text(statement), which)
        connection.execute(_SET_CLOCK, {"now": _LATER, "brand_id": club.brand_id})

    return lambda: _persist(lambda: _in_transaction(club, act))


def _events(club: Club) -> Act:
    """A sign-up and its charge, of a type that is billed elsewhere, come in and are settled."""
    sign_up, paid = _billed_elsewhere(club)
    return lambda: club.post([sign_up, paid])


def _issue(club: Club) -> Act:
    """A manual issue of a rule that is newer than the memberships."""
    club.sign_up(_MEMBERS)
    club.move_clock(BEGINNING)
    rule_id = club.new_rule(club.type_id, coupon_name="Cake")
    return lambda: club.call("POST", f"/customers/membership-credit-rules/{rule_id}/issue", headers=_key())


def _replay(club: Club) -> Act:
    """A replay of a span whose credits somebody has deleted."""
    club.sign_up(_MEMBERS)
    club.move_clock(BEGINNING)
    club.write("DELETE FROM credits WHERE brand_id = :brand_id")
    span = {"credit_rule_id": club.rule_id, "from": "2031-01-01", "to": "2031-01-31"}
    return lambda: club.call("POST", "/replays", json=span, headers=_key())


def _redemption(club: Club) -> Act:
    """A credit is redeemed; points are spent, and given back."""
    club.sign_up(1)
    club.move_clock(BEGINNING)
    code = club.value("SELECT code FROM credits")
    club.call("POST", "/v1/wallet/credit", json={"externalUserID": "member 0", "amount": 100})
    keys = [_key(), _key()]

    def act() -> None:
        club.call("POST", "/v1/redemptions", json={"creditCode": code}, headers=keys[0])
        spend = {"points": 30, "externalUserID": "member 0"}
        spent = club.call("POST", "/v1/redemptions", json=spend, headers=keys[1])
        club.call("PATCH", f"/v1/redemptions/{spent['id']}", json={"status": "CANCELED"})

    return act


def _webhook(club: Club) -> Act:
    """Members are given points, of which a webhook is told."""
    assert club.receiver is not None, "webhooks need somebody to tell"
    club.call("POST", "/v1/webhooks", json={"url": club.receiver.url, "events": ["wallet.credited"]})
    club.call("PUT", "/v1/members/ada", json={})
    keys = [_key(), _key()]

    def act() -> None:
        for amount, key in enumerate(keys, start=1):
            club.call("POST", "/v1/wallet/credit", json={"externalUserID": "ada", "amount": amount}, headers=key)

    return act


def _billed_elsewhere(club: Club) -> list[dict[str, Any]]:
    """A sign-up and its charge."""
    type_id = club.new_type("Silver", billing="external")
    club.new_rule(type_id, coupon_name="Cake")
    [sign_up] = club.sign_ups(1, type_id)
    paid = {"membership_id": sign_up["data"]["membership_id"], "charge_id": "c", "period_start": "2031-01-31"}
    return [sign_up, club.event("charge", "charge.succeeded", **paid)]


def _key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid4())}


def _in_transaction(club: Club, work: Callable[[Connection], None]) -> None:
    with transaction(club.site.engine, club.brand_id) as connection:
        work(connection)


def _persist(work: Act) -> None:
    """Repeat a write to the database until it succeeds: the server may be down."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return work()
        except SQLAlchemyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


SCENARIOS = [
    Scenario("sweep", frozenset({"scheduler", "worker_bulk"}), _sweep),
    Scenario("left behind", frozenset({"scheduler", "worker_bulk"}), _left_behind),
    Scenario("events", frozenset({"web", "worker_events"}), _events),
    Scenario("issue", frozenset({"web", "worker_bulk"}), _issue),
    Scenario("replay", frozenset({"web", "worker_bulk"}), _replay),
    Scenario("redemption", frozenset({"web"}), _redemption),
    Scenario("webhook", frozenset({"scheduler", "web", "worker_webhooks"}), _webhook),
]
