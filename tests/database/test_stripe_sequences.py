"""What Stripe says, in whole lives: the credits are those worked out by hand, in any order (INTERFACE 7)."""

import json
import random
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine

from issuance.billers.stripe.told import membership_of
from tests.database.stripes import Club, new_club
from tests.stripe import sequences
from tests.stripe.free_lives import free_lives
from tests.stripe.hard_lives import hard_lives
from tests.stripe.owed import MAP, HardLife, gold
from tests.stripe.rare_lives import rare_lives

SEQUENCES = sequences()
((ZONE, RULE, SETTLED_AT),) = {(one["zone"], json.dumps(one["rule"]), one["settled_at"]) for one in SEQUENCES}
#: Of those whose credits are said in words: the lead booker's periods, and the other guests'.
IN_WORDS: dict[str, list[str]] = {
    "13 resumed 90 min before the renewal, paid": gold("2031-01-15", "2031-02-15", "2031-03-15"),
    "17 quantity 1 > 3 > 2": [
        *gold("2031-01-15", "2031-02-15", "2031-03-15"),
        *(f"{start} Gold Guest 2" for start in ("2031-02-15", "2031-03-15")),
    ],
    "18 billing_cycle_anchor: now": gold("2031-01-15", "2031-02-03", "2031-03-03"),
    "23 weekly price": gold("2031-01-15"),
}
#: What came and went between two looks can't be told at the end.
_NOT_LASTING = ("17 quantity 1 > 3 > 2",)


def _life(sequence: dict[str, Any]) -> HardLife:
    name, subscription = sequence["name"], sequence["stripe_events"][0]["data"]["object"]
    if isinstance(sequence["credits"], str):
        owed = IN_WORDS[name]
    else:
        (listed,) = sequence["credits"].values()
        owed = gold(*(start for start, _, state in listed if state == "live"))
    of = subscription["id"], subscription["items"]["data"][0]["id"]
    return HardLife(name, sequence["stripe_events"], {of: owed}, name not in _NOT_LASTING)


LIVES = [*map(_life, SEQUENCES), *hard_lives(), *rare_lives(), *free_lives()]
EVENTS = [event for life in LIVES for event in life.events]
#: The subscriptions that have ended: nothing goes on after that.
ENDED = {event["data"]["object"]["id"] for event in EVENTS if event["type"] == "customer.subscription.deleted"}


def owed_of(lives: list[HardLife]) -> dict[UUID, list[str]]:
    """What is owed, by membership; nothing where that is nothing."""
    return {membership_of(*of): sorted(owed) for life in lives for of, owed in life.owed.items() if owed}


def named(held: dict[UUID, list[str]]) -> dict[str, list[str]]:
    """The same, by what the memberships are at Stripe."""
    refs = {membership_of(*of): "/".join(of) for life in LIVES for of in life.owed}
    return {refs[membership_id]: found for membership_id, found in held.items()}


def plugged_in(engine: Engine, api_key: str | None = None) -> Club:
    """A club with the types and the price map of all lives."""
    club = new_club(engine, ZONE, json.loads(RULE), ("Gold", "Silver", "Platinum"), api_key)
    for price, (kind, current_period) in MAP.items():
        club.map(price, kind, current_period)
    return club


def test_each_life_gives_the_credits_worked_out_by_hand(engine: Engine) -> None:
    """As Stripe means it: one after the other, each translated when it comes."""
    club = plugged_in(engine)
    for event in EVENTS:
        club.deliver([event])
        club.translate()
    club.settle(SETTLED_AT)
    assert named(club.held()) == named(owed_of(LIVES))
    assert club.why() == set()
    assert club.going_on() & ENDED == set()


@pytest.mark.parametrize("seed", range(10))
def test_any_order_and_any_repetition_gives_the_same(engine: Engine, seed: int) -> None:
    """All of them at once, doubled and shuffled, in batches of any size."""
    chance = random.Random(seed)
    club = plugged_in(engine)
    events = EVENTS * 2
    chance.shuffle(events)
    while events:
        size = chance.randint(1, 40)
        club.deliver(events[:size])
        if chance.random() < 0.5:
            club.translate(most=chance.randint(1, 50))
        events = events[size:]
    club.translate()
    club.settle(SETTLED_AT)
    assert named(club.held()) == named(owed_of(LIVES))
    assert club.why() == set()
    assert club.going_on() & ENDED == set()
