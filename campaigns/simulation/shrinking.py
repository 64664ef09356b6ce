"""Makes a failing history short: fewer memberships, rules and operations, then less weather."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

from campaigns.model.histories import History
from campaigns.model.shrink import smaller
from campaigns.model.words import Op
from campaigns.simulation.outcome import Mismatch
from campaigns.simulation.world import WEATHER, World


def failure(world: World, history: History) -> Mismatch | None:
    """Plays the history; the first mismatch, if there is one."""
    try:
        world.play(history)
    except Mismatch as mismatch:
        return mismatch
    return None


def shrink(world: World, history: History, mismatch: Mismatch, seconds: float) -> tuple[History, Mismatch]:
    """Drops operations and weather while it still fails in the same way, for at most `seconds` of real time."""
    deadline = time.monotonic() + seconds
    history = _cut(history, mismatch)
    progress = True
    while progress:
        progress = False
        for candidate in chain(_calm(history), smaller(history), _calmer(history)):
            if time.monotonic() > deadline:
                return history, mismatch
            found = failure(world, candidate)
            if found and _kind(found) == _kind(mismatch):
                history, mismatch = _cut(candidate, found), found
                progress = True
                break
    return history, mismatch


def _cut(history: History, mismatch: Mismatch) -> History:
    return replace(history, ops=history.ops[: mismatch.step + 1])


def _kind(mismatch: Mismatch) -> str:
    return str(mismatch).split()[0]


def _calm(history: History) -> Iterator[History]:
    """Without any weather in the drains; then without any at all but ticks."""
    calm = tuple(_without(op, "storm", "asked", "check", "fault", "rest") for op in history.ops)
    quiet = tuple(op for op in calm if op.name not in WEATHER or op.name in ("clock", "jump", "tick"))
    for ops in (quiet, calm, tuple(_without(op, "storm", "asked", "check") for op in history.ops)):
        if ops != history.ops:
            yield replace(history, ops=ops)


def _calmer(history: History) -> Iterator[History]:
    """Without one fault or rest."""
    for number, op in enumerate(history.ops):
        if "fault" in op.args or "rest" in op.args:
            ops = [*history.ops[:number], _without(op, "fault", "rest"), *history.ops[number + 1 :]]
            yield replace(history, ops=tuple(ops))


def _without(op: Op, *names: str) -> Op:
    return Op(op.name, {name: value for name, value in op.args.items() if name not in names})
