"""Makes a failing history short, and describes it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from campaigns.model.brand import Server
from campaigns.model.driver import MismatchError, Play
from campaigns.model.histories import History, coherent
from campaigns.model.words import Op


def failure(server: Server, history: History, kind: type[Play] = Play) -> MismatchError | None:
    """Plays the history; the first mismatch, if there is one."""
    try:
        kind(server, history).run()
    except MismatchError as mismatch:
        return mismatch
    return None


def shrink(
    fails: Callable[[History], MismatchError | None], history: History, mismatch: MismatchError, seconds: float
) -> tuple[History, MismatchError]:
    """Drops operations while it still fails, for at most `seconds` of real time."""
    deadline = time.monotonic() + seconds
    history = replace(history, ops=history.ops[: mismatch.step + 1])
    progress = True
    while progress:
        progress = False
        for candidate in smaller(history):
            if time.monotonic() > deadline:
                return history, mismatch
            found = fails(candidate)
            if found and found.args[0].split()[0] == mismatch.args[0].split()[0]:
                history, mismatch = replace(candidate, ops=candidate.ops[: found.step + 1]), found
                progress = True
                break
    return history, mismatch


def smaller(history: History) -> Iterator[History]:
    """Without one membership, one rule, a run of operations, or a single one: the big cuts first."""
    ops = history.ops

    def without(dropped: Callable[[Op], bool]) -> Iterator[History]:
        kept = coherent([op for op in ops if not dropped(op)])
        if len(kept) < len(ops):
            yield replace(history, ops=tuple(kept))

    members = sorted({fact.membership for op in ops if op.name == "post" for fact in op.args["facts"]})
    for member in members:
        yield from without(lambda op, m=member: op.name == "post" and op.args["facts"][0].membership == m)  # type: ignore[misc]
    for rule in sorted({op.args["rule"] for op in ops if "rule" in op.args}):
        yield from without(lambda op, r=rule: op.args.get("rule") == r)  # type: ignore[misc]
    size = len(ops) // 2
    while size >= 1:
        for first in range(len(ops) - size, -1, -size):
            cut = {id(op) for op in ops[first : first + size] if op.name not in ("coupon", "membership_type")}
            if cut:
                yield from without(lambda op, c=cut: id(op) in c)  # type: ignore[misc]
        size //= 2


def account(history: History, mismatch: MismatchError) -> str:
    """The shortest useful account: the history as readable lines, and the credits that differ."""
    return f"{history}\n--> {mismatch}"


def check(server: Server, history: History, kind: type[Play] = Play, seconds: float = 60) -> None:
    """Plays the history; where the server and the oracle disagree, fails with a short account of it."""
    fails = partial(failure, server, kind=kind)
    mismatch = fails(history)
    if mismatch:
        raise AssertionError("\n" + account(*shrink(fails, history, mismatch, seconds))) from None
