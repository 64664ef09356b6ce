"""Histories against the product's decisions in memory: no server, no database, hundreds of histories in minutes.

Only `issuance.deciding` and the parsing of events are held against the oracle; the driver plays the whole of it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from campaigns.model.brand import Brand, Row
from campaigns.model.driver import MismatchError, difference, predicted
from campaigns.model.histories import History
from campaigns.model.oracle import FLAGS, Oracle, said_then
from campaigns.model.words import GRANT, SIGN_UP, Fact
from campaigns.model.words import Credit as Given
from issuance import limits
from issuance.billing import cloud_events
from issuance.deciding.calendar import midnight
from issuance.deciding.facts import (
    NO_PERIOD,
    NO_RULE,
    Coupon,
    Credit,
    CreditKey,
    MembershipFacts,
    Rule,
    RuleVersion,
)
from issuance.deciding.frequency import IssuingFrequency, parse_validity
from issuance.deciding.history import History as Known
from issuance.deciding.manual_issue import issue_by_hand
from issuance.deciding.settlement import settle
from issuance.engine.event_facts import in_order, named_by, read_facts


class _Ids(Brand):
    """Ids for labels, of no server."""

    def __init__(self) -> None:
        self.ids, self.names = {}, {}


class Decided:
    """A brand in memory whose memberships are settled by `issuance.deciding`."""

    def __init__(self, timezone: str, now: datetime) -> None:
        self.zone, self.now, self.brand = ZoneInfo(timezone), now, _Ids()
        self.coupons: dict[str, Coupon] = {}
        self.automatic: set[UUID] = set()
        self.rules: dict[str, Rule] = {}
        self.said: dict[str, Row] = {}
        self.heard: set[tuple[str, str]] = set()
        self.events: dict[str, list[Any]] = {}
        self.signed_up: dict[str, None] = {}
        self.places: dict[str, dict[UUID, int]] = {}
        self.facts: dict[str, MembershipFacts] = {}
        self.credits: dict[str, dict[CreditKey, Credit]] = {}
        self.settled_at: dict[str, datetime] = {}
        self.due: dict[str, datetime | None] = {}

    # -- operations

    def coupon(self, name: str, validity: str | None) -> None:
        before = self.coupons.get(name)
        parsed = parse_validity(validity) if validity else None
        edited = before is not None and (before.edited or before.validity != parsed)
        former = () if before is None else before.former
        if before is not None and before.validity != parsed:
            former = (*former, (self.now, before.validity))
        self.coupons[name] = Coupon(name, parsed, edited, former)
        for label, rule in self.rules.items():
            versions = tuple(replace(one, coupon=self.coupons[one.coupon_id]) for one in rule.versions)
            self.rules[label] = replace(rule, versions=versions)

    def membership_type(self, name: str, billing: str) -> None:
        if billing == "automatic":
            self.automatic.add(UUID(self.brand.id(name)))

    def create_rule(
        self, rule: str, include_upcoming: bool = False, effective_from: date | None = None, **fields: Any
    ) -> None:
        said = self.said[rule] = said_then(self.said.get(rule, FLAGS), fields)
        before = self.rules.get(rule)
        version = RuleVersion(
            version=len(before.versions) + 1 if before else 1,
            created_at=midnight(effective_from, self.zone) if effective_from else self.now,
            membership_type_id=UUID(self.brand.id(said["membership_type"])),
            coupon_id=said["coupon"],
            coupon_name=rule,
            coupon=self.coupons[said["coupon"]],
            roll_over=said["roll_over"],
            issue_on_signup=said["issue_on_signup"],
            multi_use=said["multi_use"],
            for_lead_booker_only=said["for_lead_booker_only"],
            frequency=IssuingFrequency(said["issuing_frequency"]),
            include_upcoming=include_upcoming,
            max_uses=said["max_uses"],
            roll_over_limit=said["roll_over_limit"],
        )
        if before:
            self.rules[rule] = replace(before, versions=(*before.versions, version))
        else:
            self.rules[rule] = Rule(UUID(self.brand.id(rule)), (version,), None, self.now if effective_from else None)

    update_rule = create_rule

    def delete_rule(self, rule: str) -> None:
        self.rules[rule] = replace(self.rules[rule], deleted_at=self.now)

    def post(self, facts: list[Fact]) -> None:
        for fact in facts:
            second = fact.kind == SIGN_UP and fact.membership in self.signed_up
            if (fact.source, fact.id) in self.heard or second:
                continue
            self.heard.add((fact.source, fact.id))
            told = cloud_events.parse(self.brand.event(fact))
            if fact.kind == SIGN_UP:
                self.signed_up[fact.membership] = None
                member = fact.membership
                alone = [cloud_events.lead_alone(told.membership_id, member, member)]
                told.data["guests"] = told.data["guests"] or alone
            names = ("type", "time", "source", "event_id", "charge_id", "data")
            event = SimpleNamespace(**{name: getattr(told, name) for name in names})
            self.events.setdefault(fact.membership, []).append(event)
            self.facts.pop(fact.membership, None)

    def clock(self, now: datetime, jump: bool = False) -> None:
        before = self.now
        for membership in self.signed_up if not jump else ():
            self.now = before
            while (due := self.due.get(membership)) is not None and due <= now:
                self.now = max(due, self.now)
                self.settle_one(membership)
                assert self.due[membership] != due, f"{membership} stays due at {due}"
        self.now = now

    def issue(self, rule: str, include_upcoming: bool = False) -> None:
        self.settle()
        for membership in self.settled_at:
            own = self.credits[membership]
            known = Known(self.read(membership), list(own.values()), self.now)
            for given in issue_by_hand(known, self.rules[rule], include_upcoming=include_upcoming):
                if given.new is not None:
                    own[given.new.key] = given.new.credit

    # -- settling

    def read(self, membership: str) -> MembershipFacts:
        if membership not in self.facts:
            events = sorted(self.events[membership], key=in_order)
            named = named_by(UUID(self.brand.id(membership)), events)
            places = self.places.setdefault(membership, {})
            for number in sorted(named, key=lambda number: events[number].type != SIGN_UP):
                for who in named[number]:
                    places.setdefault(who.guest_id, len(places))
            self.facts[membership] = read_facts(events, named, places, self.zone, self.automatic)
        return self.facts[membership]

    def settle(self) -> None:
        for membership in self.signed_up:
            self.settle_one(membership)

    def settle_one(self, membership: str) -> None:
        facts = self.read(membership)
        if facts.signed_up_at > self.now:
            self.due[membership] = facts.signed_up_at
            return
        own = self.credits.setdefault(membership, {})
        known = Known(facts, list(own.values()), self.now)
        bounds = limits.current.settling
        most = {"most_credits": bounds.credits, "most_ever": bounds.credits_ever}
        settlement = settle(known, list(self.rules.values()), self.settled_at.get(membership), **most)
        own |= {change.before.key: change.after for change in settlement.change}
        own |= {new.key: new.credit for new in settlement.issue}
        self.settled_at[membership], self.due[membership] = self.now, settlement.due_at

    # -- what is there

    def keyed(self) -> dict[tuple[Any, ...], tuple[str, Credit]]:
        """Credits by the oracle's keys, with their membership."""
        found = {}
        for membership, own in self.credits.items():
            places = {place: guest for guest, place in self.places[membership].items()}
            for key, credit in own.items():
                guest = self.brand.names.get(str(places[key.place]), f"{membership} member")
                rule = GRANT if credit.is_grant else self.brand.names[str(key.credit_rule_id)]
                found[rule, membership, guest, key.period_start, key.reissue] = (membership, credit)
        return found

    def change(self, key: tuple[Any, ...], **fields: Any) -> None:
        membership, credit = self.keyed()[key]
        self.credits[membership][credit.key] = replace(credit, **fields)

    def give(self, given: Given) -> None:
        """A person gives a credit."""
        places, own = self.places[given.membership], self.credits[given.membership]
        guests = {
            self.brand.names.get(str(guest), f"{given.membership} member"): place for guest, place in places.items()
        }
        key = CreditKey(NO_RULE, guests[given.guest], NO_PERIOD, given.reissue)
        own[key] = Credit(
            key=key,
            rule_version=0,
            period_end=None,
            roll_over=True,
            multi_use=False,
            valid_from=self.now,
            expires_at=given.expires_at,
            validity_ends_at=given.expires_at,
            issued_at=self.now,
            manual=True,
        )

    def take_back(self, key: tuple[Any, ...]) -> None:
        found = self.keyed().get(key)
        if found is not None and found[1].revoked_by != "operator":
            self.change(key, revoked_at=self.now, revoked_by="operator")

    def shown(self, credit: Credit) -> Row:
        """A credit, field by field as in the driver's `predicted`."""
        status = "upcoming" if self.now < credit.valid_from else "live"
        if credit.expires_at is not None and credit.expires_at <= self.now:
            status = "expired"
        status = "revoked" if credit.revoked_at else status
        names = ("period_end", "valid_from", "expires_at", "rule_version", "multi_use", "max_uses", "uses")
        shown = {name: getattr(credit, name) for name in names}
        shown["flagged"] = credit.flagged_at is not None
        return {**shown, "status": "redeemed" if credit.redeemed_at else status}


def failure(history: History) -> MismatchError | None:
    """Plays a history on both sides; the first mismatch, if there is one."""
    decided, oracle = Decided(history.timezone, history.start), Oracle(history.timezone, history.start)
    for step, op in enumerate(history.ops):
        if op.name == "undo":
            oracle.undo(**op.args)
            for gone in (credit for credit in oracle.credits if credit.revoked == "operator"):
                decided.take_back(gone.key)
            for over in (credit for credit in oracle.credits if credit.over):
                decided.change(over.key, expired_at=over.valid_from)
        elif op.name == "extend":
            extended = oracle.extend(**op.args)
            if extended is not None:
                until = extended[1]
                decided.change(extended[0].key, expires_at=until, extended_to=until, expired_at=None)
        elif op.name == "reinstate":
            lifted = oracle.reinstate(**op.args)
            if lifted is not None:
                decided.change(lifted.key, revoked_at=None, revoked_by=None)
        elif op.name == "transfer":
            oracle.transfer(**op.args)  # no decision knows of it
        elif op.name == "grant":
            given = oracle.grant(**op.args)
            if given is not None:
                decided.give(given)
        elif op.name in ("redeem", "revoke"):
            picked = getattr(oracle, op.name)(**op.args)
            if picked is not None and op.name == "redeem":
                used = decided.now if picked.redeemed else None
                decided.change(picked.key, uses=picked.uses, redeemed_at=used)
            elif picked is not None:
                decided.change(picked.key, revoked_at=decided.now, revoked_by="operator")
        else:
            oracle.play(op)
            getattr(decided, op.name)(**op.args)
        oracle.settle()
        decided.settle()
        actual = {key: decided.shown(credit) for key, (_, credit) in decided.keyed().items()}
        expected = {credit.key: predicted(credit, oracle.now) for credit in oracle.credits}
        keys = sorted(actual.keys() | expected.keys(), key=str)
        lines = [line for key in keys for line in difference(key, expected.get(key), actual.get(key))]
        if lines:
            return MismatchError(step, f"at {oracle.now.isoformat()}\n" + "\n".join(lines))
    return None
