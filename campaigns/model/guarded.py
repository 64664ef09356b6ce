"""Plays a history in a brand with a guard: no credit too many, and nothing lost to it (SEMANTICS 17).

The oracle knows no guard. So what is there must be as it says; what is missing must be of a rule that is held, or have
been refused; and after an approval nothing is missing that is still good.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

from campaigns.model.brand import Server
from campaigns.model.driver import MismatchError, Play, difference, predicted, shown
from campaigns.model.histories import History

Key = tuple[Any, ...]
_DAY = timedelta(days=1)
#: What people do with credits depends on which are there, and a manual issue on which are held.
_PLAYED = frozenset({"coupon", "membership_type", "create_rule", "update_rule", "delete_rule", "post", "clock"})


def without_people(history: History) -> History:
    """The same history as it can be played beside a guard."""
    return replace(history, ops=tuple(op for op in history.ops if op.name in _PLAYED))


class GuardedPlay(Play):
    """One history in a fresh brand that lets out at most some credits of a rule a day."""

    def __init__(self, server: Server, history: History) -> None:
        super().__init__(server, history)
        self.random = Random(f"guard {history.seed}")
        self.most = self.random.choice([1, 1, 2, 3, 5])
        #: Credits that no limit counts any more: let out by a person, or before they last spoke.
        self.uncounted: set[Key] = set()
        #: Credits that are skipped for good.
        self.refused: set[Key] = set()
        self.here: set[Key] = set()
        self.held: set[str] = set()

    def run(self) -> None:
        self.brand.call("PUT", "/brand/guard", json={"max_per_day": self.most})
        super().run()

    def compare(self) -> None:
        """Raises MismatchError, also where a limit was passed or a rule that was held went on."""
        self._look(spoken=False)
        for rule in sorted(self.held):
            if self.random.random() < 0.25:
                self._speak(rule, "refuse" if self.random.random() < 0.2 else "approve")
        while self.step == len(self.history.ops) - 1 and self.held:  # at the end nothing may be left
            self._speak(min(self.held), "approve")

    def compare_reasons(self) -> None:
        """Explain is compared where no guard is set."""

    def _speak(self, rule: str, word: str) -> None:
        missing = {key for key in self._expected() if key[0] == rule} - self.here
        self.brand.call("POST", f"/held-rules/{self.brand.id(rule)}/{word}", json={"reason": "model"})
        if word == "refuse":
            self.refused |= missing
        else:
            self.uncounted |= {key for key in self.here if key[0] == rule}
        self.brand.set_clock(self.oracle.now)
        self._look(spoken=True, rule=rule, approved=word == "approve")

    def _expected(self) -> dict[Key, dict[str, Any]]:
        return {credit.key: predicted(credit, self.oracle.now) for credit in self.oracle.credits}

    def _look(self, *, spoken: bool, rule: str | None = None, approved: bool = False) -> None:
        rows, expected = self.brand.credits(), self._expected()
        held = {self.brand.names[row["credit_rule_id"]] for row in self.brand.all("/held-rules")}
        actual = {key: shown(row) for key, row in rows.items()}
        lines: list[str] = []
        for key in sorted(actual.keys() | expected.keys(), key=str):
            there, due = actual.get(key), expected.get(key)
            if there is not None:
                lines += difference(key, due, there)
                if key in self.refused:
                    lines.append(f"  {key}: it was refused")
            elif due is not None and due["status"] in ("live", "upcoming") and key not in self.refused:
                may_wait = key[0] in held and not (approved and key[0] == rule)
                lines += [] if may_wait else difference(key, due, None)
        fresh = actual.keys() - self.here
        if approved:
            self.uncounted |= {key for key in fresh if key[0] == rule}
        elif not spoken:
            lines += [f"  {key}: its rule was held" for key in fresh if key[0] in self.held]
        lines += self._too_many({key: datetime.fromisoformat(row["issued_at"]) for key, row in rows.items()})
        self.here, self.held = set(actual), held
        if lines:
            raise MismatchError(self.step, f"guard {self.most} at {self.oracle.now.isoformat()}\n" + "\n".join(lines))

    def _too_many(self, issued: dict[Key, datetime]) -> list[str]:
        counted = {key: at for key, at in issued.items() if key not in self.uncounted}
        worst: Counter[str] = Counter()
        for key, at in counted.items():
            number = sum(other[0] == key[0] and at - _DAY < since <= at for other, since in counted.items())
            worst[key[0]] = max(worst[key[0]], number)
        return [f"  {rule}: {number} in 24 hours" for rule, number in worst.items() if number > self.most]
