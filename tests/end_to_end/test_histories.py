"""Random histories against a live server: the credits are the oracle's, and law 8, whatever the order of events."""

from __future__ import annotations

import os
from dataclasses import replace
from random import Random

import pytest

from campaigns.model.brand import Server
from campaigns.model.driver import Play, shown
from campaigns.model.guarded import GuardedPlay, without_people
from campaigns.model.histories import History, history
from campaigns.model.shrink import check

SEEDS = range(int(os.environ.get("ISSUANCE_MODEL_SEEDS", "24")))
START = int(os.environ.get("ISSUANCE_MODEL_START", "0"))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_history_ends_as_the_oracle_says(model_server: Server, seed: int) -> None:
    """SEMANTICS 2-10: after every step of the history each credit is the one the oracle predicts."""
    check(model_server, history(START + seed))


@pytest.mark.parametrize("seed", range(0, len(SEEDS), 8))
def test_beside_a_guard_no_credit_is_too_many_and_none_is_lost(model_server: Server, seed: int) -> None:
    """SEMANTICS 17: whoever approves or refuses now and then, the credits are the oracle's, or held."""
    check(model_server, without_people(history(START + seed)), GuardedPlay)


@pytest.mark.parametrize("seed", range(0, len(SEEDS), 6))
def test_order_and_repetition_of_events_change_nothing(model_server: Server, seed: int) -> None:
    """Law 8: the same events at one standing clock, in order or shuffled and doubled, end in the same live credits."""
    whole = history(START + seed)
    in_order = live_credits(model_server, whole, shuffled=False)
    assert live_credits(model_server, whole, shuffled=True) == in_order, f"law 8\n{whole}"


def live_credits(model_server: Server, whole: History, shuffled: bool) -> set[str]:
    """Sets the rules up, lets the clock stand at the history's end, posts all its events there; what is then live."""
    setting = [op for op in whole.ops if op.name in ("coupon", "membership_type", "create_rule")]
    facts = [fact for op in whole.ops if op.name == "post" for fact in op.args["facts"]]
    first: dict[str, str] = {}
    for fact in facts:  # of several sign-ups the first to arrive counts, so only that one may be shuffled
        if fact.kind == "membership.signed_up":
            first.setdefault(fact.membership, fact.id)
    facts = [fact for fact in facts if fact.kind != "membership.signed_up" or first[fact.membership] == fact.id]
    facts = sorted(set(facts), key=lambda fact: fact.order)
    if shuffled:
        facts += facts[::2]
        Random(whole.seed).shuffle(facts)
    end = next(op.args["now"] for op in reversed(whole.ops) if op.name == "clock")
    play = Play(model_server, replace(whole, ops=()))
    play.brand.set_clock(whole.start)
    for op in setting:
        play.play(op)
    play.brand.set_clock(end, jump=True)
    size = 1 if shuffled else 7
    for number in range(0, len(facts), size):
        play.brand.post(facts[number : number + size])
    play.brand.set_clock(end)
    return {f"{key} {shown(row)}" for key, row in play.brand.credits().items() if row["status"] in ("live", "upcoming")}
