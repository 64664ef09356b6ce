"""What Stripe says, in whole sequences: the credits are those worked out by hand, in any order (INTERFACE 7)."""

import json
import random
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.database.stripes import Club, new_club
from tests.stripe import sequences

SEQUENCES = sequences()
((ZONE, RULE, SETTLED_AT),) = {(one["zone"], json.dumps(one["rule"]), one["settled_at"]) for one in SEQUENCES}
#: Of those whose credits are said in words: the lead booker's periods, and the other guests'.
IN_WORDS: dict[str, tuple[list[str], list[str]]] = {
    "13 resumed 90 min before the renewal, paid": (["2031-01-15", "2031-02-15", "2031-03-15"], []),
    "17 quantity 1 > 3 > 2": (["2031-01-15", "2031-02-15", "2031-03-15"], ["2031-02-15", "2031-03-15"]),
    "18 billing_cycle_anchor: now": (["2031-01-15", "2031-02-03", "2031-03-03"], []),
    "23 weekly price": (["2031-01-15"], []),
}


def item_of(sequence: dict[str, Any]) -> tuple[str, str]:
    subscription = sequence["stripe_events"][0]["data"]["object"]
    return subscription["id"], subscription["items"]["data"][0]["id"]


def owed(sequence: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The periods of the lead booker's live credits, and of the other guests'."""
    if isinstance(sequence["credits"], str):
        return IN_WORDS[sequence["name"]]
    (listed,) = sequence["credits"].values()
    return [start for start, _, state in listed if state == "live"], []


def played(engine: Engine) -> Club:
    club = new_club(engine, ZONE, json.loads(RULE))
    club.map("price_gold")
    return club


@pytest.mark.parametrize("sequence", SEQUENCES, ids=lambda sequence: sequence["name"])
def test_a_sequence_gives_the_credits_worked_out_by_hand(engine: Engine, sequence: dict[str, Any]) -> None:
    """As Stripe means it: one after the other, each translated when it comes."""
    club = played(engine)
    for event in sequence["stripe_events"]:
        club.deliver([event])
        club.translate()
    club.settle(SETTLED_AT)
    assert (club.credits(*item_of(sequence)), club.credits(*item_of(sequence), lead=False)) == owed(sequence)
    assert club.why() == set()


@pytest.mark.parametrize("seed", range(10))
def test_any_order_and_any_repetition_gives_the_same(engine: Engine, seed: int) -> None:
    """All of them at once, doubled and shuffled, in batches of any size."""
    chance = random.Random(seed)
    club = played(engine)
    events = [event for sequence in SEQUENCES for event in sequence["stripe_events"]] * 2
    chance.shuffle(events)
    while events:
        size = chance.randint(1, 40)
        club.deliver(events[:size])
        if chance.random() < 0.5:
            club.translate(most=chance.randint(1, 50))
        events = events[size:]
    club.translate()
    club.settle(SETTLED_AT)
    came = {
        sequence["name"]: (club.credits(*item_of(sequence)), club.credits(*item_of(sequence), lead=False))
        for sequence in SEQUENCES
    }
    assert came == {sequence["name"]: owed(sequence) for sequence in SEQUENCES}
    assert club.why() == set()
