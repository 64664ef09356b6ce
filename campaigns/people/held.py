"""A guard, and people who approve and refuse what it holds (SEMANTICS 17)."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from campaigns.people.acting import WHY, Acting, Key, Look, picked, same, short, without

_DAY = timedelta(days=1)


class Held(Acting):
    """Who sets the guard, and who answers for what it holds."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        #: Credits that no limit counts: let out by a person, or out before they last spoke or the limit was set.
        self.uncounted: set[Key] = set()

    def _guard(self, most: int | None) -> None:
        self.uncounted |= set(self.look())
        self.brand.call("PUT", "/brand/guard", json={"max_per_day": most})
        self.most = most

    def _speak(self, pick: int, word: str) -> None:
        """Answers for one of the rules that are held."""
        before = self.look()
        held = {self.brand.names[row["credit_rule_id"]]: row["held"] for row in self.brand.all("/held-rules")}
        rule = picked([each for each in held if each in self.rules], pick)
        if rule is None:
            return
        self.check_limit(before)
        self.brand.call("POST", f"/held-rules/{self.brand.id(rule)}/{word}", json=WHY)
        after = self.look()
        new = after.keys() - before.keys()
        same("speaking-changes-nothing-that-is-out", before, without(after, new))
        if word == "approve":
            let_out = +Counter({rule: held[rule]})
            same("an-approval-lets-out-what-is-held", let_out, Counter(key[0] for key in new))
            self.uncounted |= {key for key in after if key[0] == rule}
        else:
            same("a-refusal-gives-nothing", [], short(new))

    def check_limit(self, look: Look) -> None:
        """Of no rule more than the limit went out in 24 hours."""
        if self.most is None:
            return
        counted = without(look, self.uncounted)
        issued = {key: datetime.fromisoformat(row["issued_at"]) for key, row in counted.items()}
        for rule in self.rules:
            times = sorted(at for key, at in issued.items() if key[0] == rule)
            worst = max((sum(at - _DAY < one <= at for one in times) for at in times), default=0)
            same(f"never-one-more {rule}", True, worst <= self.most)
