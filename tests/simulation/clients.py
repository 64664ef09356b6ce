"""What clients ask for: each a request of one transaction, told to the oracle when it commits."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from sqlalchemy import Connection

from issuance import (
    archiving,
    coupons,
    credits,  # noqa: A004 - the word is the domain's
    events,
    hints,
    members,
    membership_types,
    redemptions,
    rules,
)
from issuance.coupons import CouponBody
from issuance.errors import IssuanceError
from issuance.members import MemberProfile
from issuance.membership_types import NewMembershipType
from issuance.redemptions import Booking
from issuance.rules import CreditRuleChange, NewCreditRule
from issuance.settling import runs
from tests.model.words import Credit, Fact, Guest
from tests.simulation.mirror import Run
from tests.simulation.processes import Fault, Process

if TYPE_CHECKING:
    from tests.simulation.world import World

#: Labels become ids in here, so that the same history has the same ids.
SPACE = UUID("6f0b2a3e-7f0f-4f52-9d0c-5a5e6a4b1c01")

_CODE = """
    SELECT code FROM credits
     WHERE brand_id = %s AND credit_rule_id = %s AND membership_id = %s AND guest_id = ANY(%s) AND period_start = %s
       AND reissue = %s
"""
_GUESTS = "SELECT guest_id FROM guests WHERE brand_id = %s AND membership_id = %s"
_REDEMPTIONS = """
    SELECT r.redemption_id, c.credit_rule_id::text, c.membership_id::text, c.guest_id::text, c.period_start, c.reissue
      FROM redemptions r JOIN credits c USING (brand_id, credit_id)
     WHERE brand_id = %s AND r.status <> 'CANCELED' ORDER BY r.redemption_id
"""
_ENDS = """
    SELECT event_id, time, membership_id::text FROM billing_events WHERE brand_id = %s AND source = %s ORDER BY event_id
"""

Work = Callable[[Connection], Any]


class Clients:
    """The clients of a world's brand."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.seed = world, seed
        self.brand_id, self.oracle, self.queue = world.brand_id, world.oracle, world.queue
        self.ids: dict[str, UUID] = {}
        self.names: dict[str, str] = {}

    def id(self, label: str) -> UUID:
        if label not in self.ids:
            self.know(label, uuid5(SPACE, f"{self.seed} {label}"))
        return self.ids[label]

    def know(self, label: str, identity: UUID) -> None:
        self.ids[label] = identity
        self.names[str(identity)] = label

    def request(
        self,
        name: str,
        work: Work,
        happened: Callable[[Any], None],
        hint: Callable[[Any], None] | None = None,
        fault: Fault | None = None,
        rest: int = 0,
    ) -> Process:
        """One request. A client whose request had no effect for a fault sends it again."""
        answers: list[Any] = []

        def program() -> None:
            with self.world.transaction() as connection:
                answers[:] = [work(connection)]
            if hint is not None:
                hint(answers[0])

        def once(fault: Fault | None) -> Process:
            process = Process(name, fault, rest)
            process.on_commit = lambda: happened(answers[0])
            return self.world.begin(process, program)

        process = once(fault)
        if process.done and fault is not None and process.on_commit is not None:
            process = once(None)
        return process

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

    def _start(self, work: Work, run: Run, fault: Fault | None, rest: int) -> None:
        def happened(run_id: UUID) -> None:
            self.world.mirror.runs[run_id] = run

        def hint(run_id: UUID) -> None:
            hints.work_on_run(self.queue, self.brand_id, run_id)

        self.request("replay" if run.span else "issue", work, happened, hint, fault, rest)

    def steer(self, pick: int, verb: str, fault: Fault | None = None) -> None:
        """Pauses, resumes or cancels a run; one that is over takes no order."""
        if self.world.mirror.runs:
            run_id = list(self.world.mirror.runs)[pick % len(self.world.mirror.runs)]
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
        return {"guest_id": self.id(guest.name), "name": guest.name, "lead_booker": guest.lead_booker}

    # -- members and the till

    def redeem(self, pick: int, fault: Fault | None = None, rest: int = 0) -> None:
        self._use(pick, ("live",), "redeem", fault, rest)

    def revoke(self, pick: int, fault: Fault | None = None, rest: int = 0) -> None:
        self._use(pick, ("live", "upcoming"), "revoke", fault, rest)

    def _use(self, pick: int, statuses: tuple[str, ...], verb: str, fault: Fault | None, rest: int) -> None:
        """Redeems or revokes the `pick`-th credit with one of the statuses."""
        found = self.oracle.with_status(*statuses)
        if not found:
            return
        credit = found[pick % len(found)]
        code = self._code(credit)

        def work(connection: Connection) -> None:
            if verb == "redeem":
                redemptions.redeem_credit(connection, self.brand_id, code, Booking())
            else:
                credits.revoke(connection, self.brand_id, code, "model")

        def happened(_: Any) -> None:
            assert credit.status(self.oracle.now) in statuses, f"{verb} of what is {credit.status(self.oracle.now)}"
            if verb == "redeem":
                self.oracle.use(credit)
            else:
                credit.revoked = "operator"

        process = self.request(verb, work, happened, fault=fault, rest=rest)
        if isinstance(process.error, IssuanceError) and not rest:
            raise AssertionError(f"{verb} refused of {credit.key}: {process.error}")

    def _code(self, credit: Credit) -> str:
        look, membership_id = self.world.looking, self.id(credit.membership)
        guests = [row[0] for row in look.execute(_GUESTS, (self.brand_id, membership_id)).fetchall()]
        lone = credit.guest not in self.ids  # the member alone, whose guest's id the server made up
        holders = [guest for guest in guests if str(guest) not in self.names] if lone else [self.id(credit.guest)]
        which = (self.brand_id, self.id(credit.rule), membership_id, holders, credit.period_start, credit.reissue)
        found = look.execute(_CODE, which).fetchone()
        assert found, f"no such credit: {credit.key}"
        return str(found[0])

    def cancel(self, pick: int, fault: Fault | None = None, rest: int = 0) -> None:
        """Cancels a redemption: the credit is given back."""
        found = self.world.looking.execute(_REDEMPTIONS, (self.brand_id,)).fetchall()
        if not found:
            return
        redemption_id, rule, membership, guest, day, reissue = found[pick % len(found)]
        names = self.names
        holder = names.get(guest, f"{names[membership]} member")
        key = (names[rule], names[membership], holder, day, reissue)
        (credit,) = (credit for credit in self.oracle.credits if credit.key == key)
        before = credit.uses

        def happened(_: Any) -> None:
            if credit.uses == before:
                self.oracle.give_back(credit)

        self.request(
            "cancel",
            lambda connection: redemptions.move(connection, self.brand_id, redemption_id, "CANCELED"),
            happened,
            lambda answer: hints.settle(self.queue, self.brand_id, answer[1]),
            fault,
            rest,
        )

    def archive(self, member: str, fault: Fault | None = None, rest: int = 0) -> None:
        """Removes a member; the facts that end the membership are the server's own."""

        def happened(_: Any) -> None:
            rows = self.world.looking.execute(_ENDS, (self.brand_id, archiving.SOURCE)).fetchall()
            told = [
                Fact(
                    event_id,
                    time,
                    "membership.status_changed",
                    self.names[membership],
                    {"status": "cancelled"},
                    archiving.SOURCE,
                )
                for event_id, time, membership in rows
            ]
            self.oracle.archive(member, told)

        if member in self.oracle.sign_ups:
            self.request(
                "archive",
                lambda connection: archiving.archive(connection, self.brand_id, member, retain_balance=False),
                happened,
                lambda ids: hints.settle(self.queue, self.brand_id, ids),
                fault,
                rest,
            )

    def revive(self, member: str, fault: Fault | None = None, rest: int = 0) -> None:
        if member in self.oracle.archived:
            self.request(
                "revive",
                lambda connection: members.upsert(connection, self.brand_id, member, MemberProfile()),
                lambda _: self.oracle.revive(member),
                lambda answer: hints.settle(self.queue, self.brand_id, answer[1]),
                fault,
                rest,
            )


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, date | datetime) else str(value)
