"""What everybody who acts in a brand has: requests, a look at all credits, and laws that compare two looks."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar
from uuid import UUID, uuid5

from campaigns.model.brand import Brand, Row, Server
from campaigns.model.histories import History
from campaigns.model.words import GRANT, NO_PERIOD, Op

Key = tuple[Any, ...]
#: All credits of a brand, each as `seen`.
Look = dict[Key, Row]
Thing = TypeVar("Thing")

#: Labels become ids in here.
_SPACE = UUID("5f2f8a34-36a5-4d2c-9a06-2c8f1f1b7d55")
#: What is compared of a credit. Not its code and revision: to take back what was done changes both.
FIELDS = (
    *("status", "period_end", "valid_from", "expires_at", "rule_version", "coupon_id", "multi_use", "max_uses", "uses"),
    *("issued_at", "redeemed_at", "revoked_at", "extended_at", "flagged_at"),
)
#: What is still to be used.
OUT = ("live", "upcoming")
WHY = {"reason": "random"}


class BrokenError(AssertionError):
    """A law is broken; the message's first word says which."""


def same(law: str, expected: object, got: object) -> None:
    """Raises BrokenError where they differ; of mappings it says in what."""
    if expected == got:
        return
    if isinstance(expected, dict) and isinstance(got, dict):
        keys = sorted((key for key in expected.keys() | got.keys() if expected.get(key) != got.get(key)), key=str)
        lines = [f"  {_named(key)}: expected {_unlike(expected, got, key)}" for key in keys]
        raise BrokenError("\n".join([law, *lines]))
    raise BrokenError(f"{law}: expected {expected}, got {got}")


def _named(key: object) -> str:
    return " ".join(str(part) for part in key) if isinstance(key, tuple) else str(key)


def _unlike(expected: dict[Any, Any], got: dict[Any, Any], key: object) -> str:
    one, other = expected.get(key), got.get(key)
    if isinstance(one, dict) and isinstance(other, dict):
        names = [name for name in one if one[name] != other.get(name)]
        one, other = ({name: row.get(name) for name in names} for row in (one, other))
    return f"{one}, got {other}"


class Sender(Brand):
    """A brand whose ids follow from labels and a `salt`. `twice`: each POST is sent again under its Idempotency-Key."""

    def __init__(self, server: Server, timezone: str, salt: str, *, twice: bool) -> None:
        super().__init__(server, timezone)
        self._salt, self._twice, self._sent = salt, twice, 0
        #: Whether anything was asked for but to be told.
        self.changed = True

    def id(self, label: str) -> str:
        if label not in self.ids:
            self.know(label, str(uuid5(_SPACE, f"{self._salt} {label}")))
        return self.ids[label]

    def call(self, method: str, path: str, status: int | tuple[int, ...] = 200, **sent: Any) -> Any:
        self.changed = self.changed or method != "GET"
        if method != "POST" or not self._twice:
            return super().call(method, path, status, **sent)
        self._sent += 1
        key = {"Idempotency-Key": f"{self._sent}"}
        sent["headers"] = {**sent.get("headers", {}), **key}
        first = super().call(method, path, status, **sent)
        same("sent-again-it-has-the-same-answer", first, super().call(method, path, status, **sent))
        return first

    def code_of(self, method: str, path: str, **sent: Any) -> str | None:
        """Sends something that may be refused: the error's code in lower case, None where it is not refused."""
        answer = self.call(method, path, tuple(range(200, 500)), **sent)
        error = answer.get("error") if isinstance(answer, dict) else None
        return None if error is None else str(error["code"]).lower()


class Acting:
    """One history in one fresh brand: what is known of it, and how it is looked at."""

    def __init__(self, server: Server, history: History, salt: str = "", *, twice: bool = False) -> None:
        self.history = history
        self.brand = Sender(server, history.timezone, f"{history.seed} {salt}", twice=twice)
        self.now = history.start
        #: Rules that are there, and coupons, by label.
        self.rules: list[str] = []
        self.coupons: list[str] = []
        self.types: dict[str, str] = {}
        #: Members that facts or people have named.
        self.memberships: list[str] = []
        self.members: list[str] = []
        #: The rows of the last look, and what was looked at of them.
        self.rows: dict[Key, Row] = {}
        self._looked: Look = {}
        #: What was said along the way, to be compared with a twin.
        self.said: list[object] = []
        #: The credits that a rule may have a day, where a guard says so.
        self.most: int | None = None

    def settle(self) -> None:
        """Wait until all that was asked for is done."""
        self.brand.set_clock(self.now)

    def look(self) -> Look:
        """All credits, once everything is settled."""
        if self.brand.changed:
            self.settle()
            self.rows = self.brand.credits()
            self._looked = {key: self._seen(row) for key, row in self.rows.items()}
            self.brand.changed = False
        return self._looked

    def _seen(self, row: Row) -> Row:
        holder, taken = row["holder"], row["revoked_by"]
        name = self.brand.names.get(holder["id"]) or holder["external_user_id"]
        return {field: row[field] for field in FIELDS} | {
            "holder": name,
            "taken_by": None if taken is None else f"{taken['kind']} {taken['name']}",
        }

    def key_of(self, row: Row) -> Key:
        """The key of a credit that some answer shows."""
        return next(key for key, known in self.rows.items() if known["id"] == row["id"])

    def periods(self, rows: Iterable[Row]) -> list[Key]:
        """Rows of a plan by whom they are for, in order."""
        names = self.brand.names
        found = [
            (names[row["credit_rule_id"]], names[row["membership_id"]], self._guest(row), row["period_start"])
            for row in rows
        ]
        return sorted(found)

    def _guest(self, row: Row) -> str:
        membership = self.brand.names[row["membership_id"]]
        return self.brand.names.get(row["guest"]["id"], f"{membership} member")

    def run(self, run_id: str) -> Row:
        run: Row = self.brand.call("GET", f"/runs/{run_id}")
        same("a-run-ends", "finished", run["state"])
        self.said.append((run["kind"], run["dry_run"], run["counts"], run["total"]))
        return run

    def plan(self, run_id: str) -> list[Row]:
        return self.brand.all(f"/runs/{run_id}/plan")

    def do(self, op: Op) -> None:
        getattr(self, f"_{op.name}")(**op.args)


def short(keys: Iterable[Key]) -> list[Key]:
    """Keys of credits by whom and when they are for, in order."""
    return sorted((rule, membership, guest, day.isoformat()) for rule, membership, guest, day, _ in keys)


def without(look: Look, keys: Collection[Key]) -> Look:
    return {key: row for key, row in look.items() if key not in keys}


def picked(things: Collection[Thing], pick: int, by: Callable[[Thing], Any] = str) -> Thing | None:
    """One of them, whatever order they came in; None where there are none."""
    found: Sequence[Thing] = sorted(things, key=by)
    return found[pick % len(found)] if found else None


def is_grant(key: Key) -> bool:
    return bool(key[0] == GRANT and key[3] == NO_PERIOD)
