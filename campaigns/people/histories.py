"""Random histories of what people do, woven into what billers tell. A seed reproduces its history exactly."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from campaigns.model.guarded import without_people
from campaigns.model.histories import FREQUENCIES, History
from campaigns.model.histories import history as told
from campaigns.model.words import Op

#: What people do, and how often.
SHARES = {
    "issue": 10,
    "approve": 5,
    "replay": 4,
    "undo": 5,
    "undo_version": 2,
    "correct": 12,
    "use": 12,
    "give_back": 8,
    "points": 5,
    "book": 7,
    "archive": 2,
    "revive": 3,
    "preview": 5,
    "speak": 5,
    "guard": 2,
}
_UNGUARDED = [name for name in SHARES if name not in ("speak", "guard")]


def history(seed: int) -> History:
    """The facts, rules and clock of the model's history of that seed, and people beside them."""
    random = Random(f"people {seed}")
    of_billers = without_people(told(seed))
    names = list(SHARES) if random.random() < 0.3 else _UNGUARDED
    busy = random.choice([0.2, 0.5, 0.8])
    ops: list[Op] = []
    if len(names) == len(SHARES):
        ops.append(Op("guard", {"most": random.choice([1, 2, 3])}))
    for op in of_billers.ops:
        ops.append(op)
        while op.name == "clock" and random.random() < busy:
            name = random.choices(names, [SHARES[each] for each in names])[0]
            ops.append(Op(name, _drawn(random, name)))
            if random.random() < 0.3:  # at one instant much is done
                break
    return replace(of_billers, ops=tuple(ops))


def _drawn(random: Random, name: str) -> dict[str, Any]:
    args: dict[str, Any] = {"pick": random.randrange(1000)}
    if name == "issue":
        args |= {
            "include_upcoming": random.random() < 0.6,
            "narrowed": random.choice(["", "", "memberships", "members"]),
        }
        args |= {"then": random.choice(["issue", "issue", "approve", "later", "later"])}
    elif name == "replay":
        args |= {"over": random.choice(["rule", "type", "membership", "all"]), "back": random.choice([0, 40, 400])}
        args |= {"ahead": random.choice([0, 40])}
    elif name == "undo_version":
        args |= {"days": random.choice([0, 1, 20, 60])}
    elif name == "correct":
        args["wanted"] = [_correction(random) for _ in range(random.choice([1, 1, 1, 2, 4]))]
    elif name == "use":
        args |= {"back_at_once": random.random() < 0.3, "how": random.choice(["credit", "credit", "member"])}
    elif name == "give_back":
        args |= {"to": random.choice(["CANCELED"] * 4 + ["COMPLETED", "OPEN"])}
    elif name == "points":
        args |= {"amount": random.choice([1, 50, 300]), "spent": random.choice([0, 40, 100])}
    elif name == "book":
        args |= {"offer": random.choice(["massage", "cinema", "tour", "credit"])}
    elif name == "archive":
        args |= {"retained": random.random() < 0.4}
    elif name == "preview":
        args |= {"change": _change(random), "saved": random.random() < 0.5, "months": random.choice([1, 3, 8])}
    elif name == "speak":
        args |= {"word": random.choice(["approve", "approve", "refuse"])}
    elif name == "guard":
        args = {"most": random.choice([None, 1, 2, 5])}
    return args


def _correction(random: Random) -> dict[str, Any]:
    action = random.choice(["grant", "extend", "extend", "transfer", "transfer", "revoke", "revoke", "reinstate"])
    wanted: dict[str, Any] = {"action": action, "pick": random.randrange(1000)}
    if action in ("grant", "transfer"):
        wanted["to"] = random.randrange(1000)
        wanted["by"] = random.choice(["guest", "member"])
    if action in ("grant", "extend"):
        wanted["days"] = random.choice([1, 7, 30, 200])
    return wanted


def _change(random: Random) -> dict[str, Any]:
    """Fields of a rule that would be saved."""
    change: dict[str, Any] = {
        "roll_over": random.random() < 0.5,
        "issue_on_signup": random.random() < 0.5,
        "multi_use": random.random() < 0.3,
        "for_lead_booker_only": random.random() < 0.5,
        "issuing_frequency": random.choice(FREQUENCIES),
    }
    named = random.sample(list(change), random.randrange(1, 4))
    return {name: change[name] for name in named} | {"include_upcoming": random.random() < 0.6}
