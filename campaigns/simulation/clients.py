"""What clients ask for: each a request of one transaction, told to the oracle when it commits."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

from campaigns.model.words import Fact, Guest
from campaigns.simulation.desk import Desk
from campaigns.simulation.mirror import Run
from campaigns.simulation.processes import Fault
from campaigns.simulation.requests import Work
from issuance import hints
from issuance.billing import events
from issuance.catalog import coupons, membership_types, rules
from issuance.catalog.coupons import CouponBody
from issuance.catalog.membership_types import NewMembershipType
from issuance.catalog.rule_versions import CreditRuleChange, NewCreditRule
from issuance.engine import guard_limits, runs, undos


class Clients(Desk):
    """The clients of a brand: its operator and its biller here, its members and its till in `Till`, who corrects in
    `Desk`."""

    # -- the operator

    def coupon(self, name: str, validity: str | None) -> None:
        body = {"name": name, "discount": {"type": "percent", "value": 10}, "validity": validity}
        said = CouponBody.model_validate(body)
        self.request(
            "coupon",
            lambda connection: coupons.put(connection, self.brand_id, name, said),
            lambda _: self.oracle.coupon(name, validity),
        )

    def membership_type(self, name: str, billing: Any) -> None:
        def happened(made: Any) -> None:
            self.know(name, made["id"])
            self.oracle.membership_type(name, billing)

        said = NewMembershipType(name=name, billing=billing)
        self.request("type", lambda connection: membership_types.create(connection, self.brand_id, said), happened)

    def _said(self, fields: dict[str, Any]) -> dict[str, Any]:
        names = {"coupon": "coupon_id", "membership_type": "membership_type_id"}
        said = {names.get(name, name): value for name, value in fields.items()}
        if "membership_type" in fields:
            said["membership_type_id"] = self.id(fields["membership_type"])
        return said

    def create_rule(self, rule: str, fault: Fault | None = None, **fields: Any) -> None:
        said = NewCreditRule.model_validate({"coupon_name": rule, **self._said(fields)})

        def happened(made: Any) -> None:
            self.know(rule, made["id"])
            self.oracle.save(rule, **fields)

        self.request(
            "create_rule", lambda connection: rules.create(connection, self.brand_id, said), happened, fault=fault
        )

    def update_rule(self, rule: str, fault: Fault | None = None, rest: int = 0, **fields: Any) -> None:
        if not self._is_there(rule):
            return
        said = CreditRuleChange.model_validate(self._said(fields))

        def happened(made: Any) -> None:
            self.oracle.save(rule, **fields)
            assert made["version"] == self.oracle.rules[rule][-1].number, f"rule_version: got {made['version']}"

        rule_id = self.id(rule)
        self.request(
            "update_rule",
            lambda connection: rules.change(connection, self.brand_id, rule_id, said),
            happened,
            fault=fault,
            rest=rest,
        )

    def delete_rule(self, rule: str, fault: Fault | None = None, rest: int = 0) -> None:
        if self._is_there(rule):
            rule_id = self.id(rule)
            self.request(
                "delete_rule",
                lambda connection: rules.delete(connection, self.brand_id, rule_id),
                lambda _: self.oracle.delete_rule(rule),
                fault=fault,
                rest=rest,
            )

    def _is_there(self, rule: str | None) -> bool:
        return rule in self.oracle.rules and not self.oracle.rules[rule][-1].deleted

    def guard(self, most: int | None) -> None:
        self.request(
            "guard",
            lambda connection: guard_limits.put(connection, self.brand_id, max_per_day=most, times_busiest_day=None),
            lambda _: None,
        )

    def issue(self, rule: str, include_upcoming: bool, fault: Fault | None = None, rest: int = 0) -> None:
        if self._is_there(rule):
            rule_id = self.id(rule)
            self._start(
                lambda connection: runs.start_issue(
                    connection, self.brand_id, rule_id, include_upcoming=include_upcoming
                ),
                Run(rule, include_upcoming),
                fault,
                rest,
            )

    def replay(
        self, first: date, last: date, rule: str | None = None, dry: bool = False, fault: Fault | None = None
    ) -> None:
        if rule is None or rule in self.oracle.rules:
            rule_id = None if rule is None else self.id(rule)
            self._start(
                lambda connection: runs.start_replay(
                    connection, self.brand_id, credit_rule_id=rule_id, first=first, last=last, dry_run=dry
                ),
                Run(rule, span=(first, last), dry=dry),
                fault,
                0,
            )

    def undo(self, rule: str, pick: int, days: int, fault: Fault | None = None, rest: int = 0) -> None:
        """Takes back what a version issued in the last days: of a deleted rule too."""
        if rule in self.oracle.rules:
            rule_id, (number, since) = self.id(rule), self.oracle.undone(rule, pick, days)
            self._start(
                lambda connection: undos.start_of_version(connection, self.brand_id, rule_id, number, since, "model"),
                Run(rule, undoes=(number, since)),
                fault,
                rest,
            )

    def _start(self, work: Work, run: Run, fault: Fault | None, rest: int) -> None:
        def happened(run_id: UUID) -> None:
            self.runs[run_id] = run

        def hint(run_id: UUID) -> None:
            hints.work_on_run(self.queue, self.brand_id, run_id)

        name = "undo" if run.undoes else "replay" if run.span else "issue"
        self.request(name, work, happened, hint, fault, rest)

    def steer(self, pick: int, verb: str, fault: Fault | None = None) -> None:
        """Pauses, resumes or cancels a run; one that is over takes no order."""
        if self.runs:
            run_id = list(self.runs)[pick % len(self.runs)]
            steer = {"pause": runs.pause, "resume": runs.resume, "cancel": runs.cancel}[verb]
            self.request(
                verb,
                lambda connection: steer(connection, self.brand_id, run_id),
                lambda _: None,
                lambda _: hints.work_on_run(self.queue, self.brand_id, run_id),
                fault,
            )

    # -- the biller

    def post(self, facts: list[Fact], fault: Fault | None = None, rest: int = 0) -> None:
        facts = [_by_id(fact) for fact in facts]
        bodies = [self._event(fact) for fact in facts]

        def happened(intake: Any) -> None:
            expected = self.oracle.hear(facts)
            got = {
                "accepted": intake.accepted,
                "duplicates": intake.duplicates,
                "rejected": len(intake.rejected),
            }
            assert got == expected, f"intake: expected {expected}, got {intake}"

        self.request(
            "post",
            lambda connection: events.accept(connection, self.brand_id, bodies),
            happened,
            lambda intake: hints.settle(self.queue, self.brand_id, intake.membership_ids),
            fault,
            rest,
        )

    def _event(self, fact: Fact) -> dict[str, Any]:
        data: dict[str, Any] = {"membership_id": self.id(fact.membership)}
        for name, value in fact.data.items():
            if name in ("membership_type", "charge"):
                data[f"{name}_id"] = self.id(value)
            elif name == "guests":
                data["guests"] = [self._guest(guest) for guest in value]
            elif value is not None:
                data[name] = value
        if fact.kind == "membership.signed_up":
            data["external_user_id"] = fact.membership
        head = {"specversion": "1.0", "id": fact.id, "source": fact.source, "type": fact.kind}
        body: dict[str, Any] = json.loads(json.dumps({**head, "time": fact.time, "data": data}, default=_text))
        return body

    def _guest(self, guest: Guest) -> dict[str, Any]:
        return {"guest_id": self.id(guest.label), "name": guest.name, "lead_booker": guest.lead_booker}


def _by_id(fact: Fact) -> Fact:
    """The fact with every guest known by an id, namesakes as one: whom lists without ids mean the campaign of the model
    tries."""
    guests = fact.data.get("guests")
    if not guests:
        return fact
    lead = next((guest.label for guest in guests if guest.lead_booker), None)
    named = {
        guest.label: replace(guest, lead_booker=guest.label == lead, by_id=True, email=None, external_user_id=None)
        for guest in guests
    }
    return replace(fact, data={**fact.data, "guests": [*named.values()]})


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, date | datetime) else str(value)
