"""Plays a history against a running server and compares the answers with the oracle's prediction."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import httpx

from campaigns.model.brand import Brand, Row, Server
from campaigns.model.histories import History
from campaigns.model.oracle import Oracle
from campaigns.model.reasons import reasons, unexplained
from campaigns.model.times import local_date
from campaigns.model.words import Credit, Op


class MismatchError(AssertionError):
    """The server and the oracle disagree; the message says after which step, and about which credits."""

    def __init__(self, step: int, message: str) -> None:
        super().__init__(message)
        self.step = step


class Play:
    """One history on one fresh brand, beside the oracle."""

    def __init__(self, server: Server, history: History) -> None:
        self.history = history
        self.brand = Brand(server, history.timezone)
        self.oracle = Oracle(history.timezone, history.start)

    def run(self) -> None:
        self.brand.set_clock(self.history.start)
        try:
            for step, op in enumerate(self.history.ops):
                self.step = step
                self.play(op)
                if op.name in ("coupon", "membership_type"):
                    continue
                if op.name != "clock":  # an equal `now` waits until all of it is settled
                    self.brand.set_clock(self.oracle.now)
                self.compare()
            self.compare_reasons()
        except (AssertionError, httpx.HTTPError) as error:
            if isinstance(error, MismatchError):
                raise
            raise MismatchError(self.step, f"{type(error).__name__}: {error}") from error
        finally:
            self.brand.close()

    def compare(self) -> None:
        """Raises MismatchError where a credit differs from the prediction, is missing, or is one too many."""
        actual = {key: shown(row) for key, row in self.brand.credits().items()}
        expected = {credit.key: predicted(credit, self.oracle.now) for credit in self.oracle.credits}
        lines = []
        for key in sorted(actual.keys() | expected.keys(), key=str):
            lines += difference(key, expected.get(key), actual.get(key))
        if lines:
            raise MismatchError(self.step, f"at {self.oracle.now.isoformat()}\n" + "\n".join(lines))

    def compare_reasons(self) -> None:
        """Raises MismatchError where explain names a reason that does not hold, or says nothing of a turn."""
        lines = []
        for reading in self.oracle.readings():
            path = f"/customers/memberships/{self.brand.id(reading.membership)}/explain"
            for rule, versions in self.oracle.rules.items():
                own = [c for c in self.oracle.credits if (c.rule, c.membership) == (rule, reading.membership)]
                last = max(local_date(self.oracle.timezone, self.oracle.now), reading.starts_on)
                params = {"credit_rule_id": self.brand.id(rule), "from": str(reading.starts_on), "to": str(last)}
                told = {}
                for row in self.brand.call("GET", path, params=params)["data"]:
                    guest = self.brand.names.get(row["guest"]["id"], f"{reading.membership} member")
                    told[guest, date.fromisoformat(row["period_start"])] = row["reason"]
                wrong = unexplained(told, reasons(versions, reading, own))
                lines += [f"  {rule} {reading.membership} {line}" for line in wrong]
        if lines:
            raise MismatchError(len(self.history.ops), "explain\n" + "\n".join(lines))

    # -- operations

    def play(self, op: Op) -> None:
        """Does one step on both sides."""
        getattr(self, f"_{op.name}")(op)

    def _coupon(self, op: Op) -> None:
        self.oracle.play(op)
        name, validity = op.args["name"], op.args["validity"]
        discount = {"type": "percent", "value": 10}
        body = {"name": name, "description": name, "discount": discount, "validity": validity, "offerings": []}
        self.brand.call("PUT", f"/customers/coupons/{name}", (200, 201), json=body)

    def _membership_type(self, op: Op) -> None:
        self.oracle.play(op)
        answer = self.brand.call("POST", "/customers/membership-types", 201, json=op.args)
        self.brand.know(op.args["name"], answer["id"])

    def _body(self, op: Op) -> Row:
        body = {key: value for key, value in op.args.items() if key not in ("rule", "coupon", "membership_type")}
        if "coupon" in op.args:
            body["coupon_id"] = op.args["coupon"]
        if "membership_type" in op.args:
            body["membership_type_id"] = self.brand.id(op.args["membership_type"])
        if body.get("effective_from"):
            body["effective_from"] = str(body["effective_from"])
        return body

    def _create_rule(self, op: Op) -> None:
        self.oracle.play(op)
        body = {"coupon_name": op.args["rule"], **self._body(op)}
        answer = self.brand.call("POST", "/customers/membership-credit-rules", 201, json=body)
        self.brand.know(op.args["rule"], answer["id"])

    def _update_rule(self, op: Op) -> None:
        self.oracle.play(op)
        path = f"/customers/membership-credit-rules/{self.brand.id(op.args['rule'])}"
        answer = self.brand.call("PUT", path, json=self._body(op))
        expected = self.oracle.rules[op.args["rule"]][-1].number
        assert answer["version"] == expected, f"rule_version: expected {expected}, got {answer['version']}"

    def _delete_rule(self, op: Op) -> None:
        self.oracle.play(op)
        self.brand.call("DELETE", f"/customers/membership-credit-rules/{self.brand.id(op.args['rule'])}", 204)

    def _issue(self, op: Op) -> None:
        self.oracle.play(op)
        path = f"/customers/membership-credit-rules/{self.brand.id(op.args['rule'])}/issue"
        self.brand.call("POST", path, 204, json={"include_upcoming": op.args["include_upcoming"]})

    def _post(self, op: Op) -> None:
        answer = self.brand.post(op.args["facts"])
        expected = self.oracle.post(**op.args)
        got = {**answer, "rejected": len(answer["rejected"])}
        assert {key: got[key] for key in expected} == expected, f"expected {expected}, got {answer}"

    def _clock(self, op: Op) -> None:
        self.oracle.play(op)
        self.brand.set_clock(**op.args)

    def _redeem(self, op: Op) -> None:
        credit = self.oracle.redeem(**op.args)
        if credit:
            self.brand.call("POST", f"/customers/credits/{self._code(credit)}/redeem", json={})

    def _revoke(self, op: Op) -> None:
        credit = self.oracle.revoke(**op.args)
        if credit:
            self.brand.call("POST", f"/customers/credits/{self._code(credit)}/revoke", json={"reason": "model"})

    def _undo(self, op: Op) -> None:
        number, since = self.oracle.undo(**op.args)
        path = f"/customers/membership-credit-rules/{self.brand.id(op.args['rule'])}/undo"
        body = {"rule_version": number, "from": since.isoformat(), "reason": "model"}
        self.brand.call("POST", path, 202, json=body)

    def _extend(self, op: Op) -> None:
        extended = self.oracle.extend(**op.args)
        if extended:
            credit, until = extended
            self._correct(credit, "extend", expires_at=until.isoformat())

    def _reinstate(self, op: Op) -> None:
        credit = self.oracle.reinstate(**op.args)
        if credit:
            self._correct(credit, "reinstate")

    def _transfer(self, op: Op) -> None:
        credit = self.oracle.transfer(**op.args)
        if credit:
            assert credit.holder is not None, "it has just got one"
            self._correct(credit, "transfer", guest_id=self.brand.id(credit.holder))

    def _grant(self, op: Op) -> None:
        credit = self.oracle.grant(**op.args)
        if credit:
            body = {"membership_id": self.brand.id(credit.membership), "coupon_id": op.args["coupon"]}
            self.brand.call("POST", "/customers/credits", 201, json={**body, "reason": "model"})

    def _correct(self, credit: Credit, verb: str, **body: str) -> None:
        path = f"/customers/credits/{self._code(credit)}/{verb}"
        self.brand.call("POST", path, json={"reason": "model", **body})

    def _code(self, credit: Credit) -> str:
        code: str = self.brand.credits()[credit.key]["code"]
        return code


FIELDS = (
    "period_end",
    "status",
    "valid_from",
    "expires_at",
    "rule_version",
    "multi_use",
    "max_uses",
    "uses",
    "flagged",
)


def shown(row: Row) -> Row:
    """A credit as the API shows it, in the types of the oracle."""
    instants = {key: datetime.fromisoformat(row[key]) if row[key] else None for key in ("valid_from", "expires_at")}
    end = date.fromisoformat(row["period_end"]) if row["period_end"] else None
    said = {"rule_version": row["rule_version"] or 0, "flagged": row["flagged_at"] is not None}
    return {key: row[key] for key in FIELDS if key not in said} | instants | {"period_end": end} | said


def predicted(credit: Credit, now: datetime) -> Row:
    """A credit as the oracle sees it at `now`, field by field as in `shown`."""
    return {
        "period_end": credit.period_end,
        "status": credit.status(now),
        "valid_from": credit.valid_from,
        "expires_at": credit.expires_at,
        "rule_version": credit.version.number,
        "multi_use": credit.version.multi_use,
        "max_uses": credit.version.max_uses,
        "uses": credit.uses,
        "flagged": credit.flagged,
    }


def difference(key: tuple[Any, ...], expected: Row | None, got: Row | None) -> list[str]:
    rule, membership, guest, day, reissue = key
    name = f"  {rule} {membership} guest={guest!r} {day} reissue={reissue}:"
    if expected is None or got is None:
        side = "missing, expected" if got is None else "one too many, got"
        return [f"{name} {side} {_told(expected or got or {})}"]
    unlike = {field for field in FIELDS if expected[field] != got[field]}
    statuses = {expected["status"], got["status"]}
    if "revoked" in statuses <= {"expired", "revoked"}:  # over; the text does not say which word wins, nor what moves
        unlike -= {"status", "period_end", "expires_at"}
    if not unlike:
        return []
    one, other = ({field: row[field] for field in FIELDS if field in unlike} for row in (expected, got))
    return [f"{name} expected {_told(one)}, got {_told(other)}"]


def _told(row: Row) -> str:
    return " ".join(f"{key}={value.isoformat() if isinstance(value, date) else value}" for key, value in row.items())
